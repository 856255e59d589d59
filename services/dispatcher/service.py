"""The dispatcher's loop: hints in, decisions committed, what follows said.

Every message is a hint that an execution may have something to do. A round takes all that has come in,
groups it by execution, decides each, commits all decisions as one atomic batch, says what they say, and only
then acks. Killed anywhere, the hints come back and the same follows from the stored state.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.dispatcher import outbox
from services.dispatcher import state as s
from services.dispatcher.decider import Decision, Hints, begin, decide, own_results
from services.dispatcher.ledger import Change, Entry, Ledger, split
from services.dispatcher.plan import PlannedCase, Refused, compile_cases, make_plan
from shared.bus.delivery import Delivery
from shared.bus.topology import EVENTS, LEDGER, REQUESTS, stop_signal_subject
from shared.errors import Malformed, Permanent, Unavailable
from shared.events import (
    CancelRequest,
    CaseFinished,
    ExecuteRequest,
    ExecutionRefused,
    Message,
    SuiteSaved,
    decode,
)
from shared.events.ids import execution_id as execution_id_of
from shared.events.ids import suite_id, token
from shared.service import App
from shared.suites import SuiteDefinition

log = logging.getLogger(__name__)

REMEMBERED = 5_000  # executions
CANCEL_TRIES = 5
MAX_ROUNDS = 100  # of one handler call; more would be a decider that does not settle


@dataclass
class Inbox:
    """All that a batch of deliveries says of one execution."""

    tenant: str
    execution_id: UUID
    request: ExecuteRequest | None = None
    new: bool = False  # asked for by a message that nobody has seen before
    results: list[tuple[int, CaseFinished]] = field(default_factory=list)
    cancel: str | None = None
    cancel_delivery: Delivery | None = None
    fired_at: datetime | None = None
    read_again: bool = False  # its state was read from the ledger for the sake of its timer

    @property
    def hints(self) -> Hints:
        return Hints(sorted(self.results, key=lambda item: item[0]), self.cancel)


class Fired(msgspec.Struct, frozen=True):
    at: datetime


class Dispatcher:
    """Any number of these run side by side; the compare-and-set on each state decides between them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._ledger = Ledger(app.nc, app.publisher)
        self._entries: OrderedDict[UUID, Entry] = OrderedDict()
        self._compiled: OrderedDict[tuple[UUID, int], tuple[SuiteDefinition, list[PlannedCase]]] = OrderedDict()
        # Deliveries of the consumer on EVENTS are numbered. While no number is missing this process has seen
        # every result, and an execution that it knows needs no look into the stream.
        self._chain = 0
        self._last_delivery = 0

    async def handle(self, batch: Sequence[Delivery]) -> None:
        """One round. Everything it decides is stored and said before it returns.

        Raises:
            Unavailable, PublishFailed: the server does not answer; the same batch is to be handed over again.
        """
        began = time.perf_counter()
        inboxes = await self._read(batch)
        waiting = list(inboxes.values())
        for _ in range(MAX_ROUNDS):
            if not waiting:
                break
            waiting = await self._round(waiting)
        else:
            raise Unavailable("decisions do not settle; other dispatchers may be winning every race")
        self._app.metrics.dispatch_seconds.observe(time.perf_counter() - began)

    async def _read(self, batch: Sequence[Delivery]) -> dict[UUID, Inbox]:
        """Group a batch by execution; what cannot be read goes to DEAD and stops nobody."""
        inboxes: dict[UUID, Inbox] = {}
        for delivery in batch:
            try:
                self._read_one(delivery, inboxes)
            except Permanent as error:
                await self._app.dead.bury(delivery, str(error))
        return inboxes

    def _read_one(self, delivery: Delivery, inboxes: dict[UUID, Inbox]) -> None:
        tenant = token(delivery.tenant, "tenant")

        def inbox(execution_id: UUID) -> Inbox:
            return inboxes.setdefault(execution_id, Inbox(tenant, execution_id))

        if delivery.stream == EVENTS.name:
            if delivery.consumer_seq != self._last_delivery + 1:
                self._chain += 1
            self._last_delivery = delivery.consumer_seq
            result = decode(delivery.data, CaseFinished)
            if result.tenant != tenant or not delivery.subject.endswith(str(result.execution_id)):
                raise Malformed(f"tenant or execution of the body is not that of the subject {delivery.subject}")
            inbox(result.execution_id).results.append((delivery.stream_seq, result))
        elif delivery.stream == LEDGER.name:
            target = inbox(_uuid(delivery.subject.rsplit(".", 1)[-1]))
            at = _decode_fired(delivery.data).at
            target.fired_at = max(target.fired_at or at, at)
        elif delivery.subject.endswith(".request.execute"):
            request = decode(delivery.data, ExecuteRequest, tenant=tenant)
            token(request.suite, "suite")
            key = request.idempotency_key or f"{REQUESTS.name}:{delivery.stream_seq}"
            target = inbox(execution_id_of(tenant, key))
            target.request = target.request or request
            target.new = delivery.epoch == 1
        elif delivery.subject.endswith(".request.cancel"):
            cancel = decode(delivery.data, CancelRequest, tenant=tenant)
            target = inbox(cancel.execution_id)
            target.cancel, target.cancel_delivery = cancel.reason, delivery
        else:
            raise Malformed(
                f"no request is known by {delivery.subject!r}; there are request.execute and request.cancel"
            )

    async def _round(self, inboxes: Sequence[Inbox]) -> list[Inbox]:
        """Decide, commit and say. Returns those to be decided again."""
        now = datetime.now(UTC)
        changes: list[Change] = []
        said: list[Message] = []
        again: list[Inbox] = []
        by_execution = {inbox.execution_id: inbox for inbox in inboxes}
        known = {inbox.execution_id: entry for inbox in inboxes if (entry := self._known(inbox)) is not None}
        unknown = [inbox for inbox in inboxes if inbox.execution_id not in known]
        for inbox, found in zip(
            unknown, await asyncio.gather(*[self._find(i, now, said) for i in unknown]), strict=True
        ):
            if found is not None:
                known[inbox.execution_id] = found
        for execution_id, entry in known.items():
            inbox = by_execution[execution_id]
            if entry.sequence == 0:
                decision = begin(entry.plan, now, entry.state.parts)
            else:
                at = max(now, inbox.fired_at) if inbox.fired_at else now
                decision = decide(entry.plan, entry.state, inbox.hints, at)
                _note_durations(entry, inbox)
            if entry.sequence == 0 or decision.state != entry.state:
                changes.append(Change(entry, decision))
            elif inbox.fired_at is not None and not inbox.read_again and entry.state.finished_at is None:
                # A timer that changes nothing: another replica may have set it, from a later state than ours.
                # Where a decision does change something, the compare-and-set finds that out.
                inbox.read_again = True
                self._entries.pop(execution_id, None)
                again.append(inbox)
            elif entry.fresh:
                said += _say(entry, None, decision, now)
                entry.fresh = False
        before = {change.entry.plan.execution_id: change.entry.state for change in changes}
        lost = await self._ledger.commit(changes)
        lost_ids = {change.entry.plan.execution_id for change in lost}
        for change in changes:
            execution_id = change.entry.plan.execution_id
            inbox = by_execution[execution_id]
            if execution_id in lost_ids:
                # Another replica was first, or nobody knows: its state decides.
                self._entries.pop(execution_id, None)
                self._app.metrics.lost_races.inc()
                again.append(inbox)
                continue
            entry = change.entry
            said += _say(entry, None if entry.fresh else before[execution_id], change.decision, now)
            entry.fresh = False
            self._remember(entry)
            if change.decision.stopped:
                await self._signal_stop(entry)
            if change.decision.more:
                again.append(Inbox(inbox.tenant, execution_id))
            elif entry.state.applied == 0 and entry.state.stop is None and inbox.request and inbox.cancel:
                again.append(inbox)  # begun just now: the cancel that came with the request is next
        try:
            if said:
                await self._app.events.publish(*said)
        except BaseException:
            # The hints come back, and then nobody knows what was said: read from the ledger all of it is said again.
            for execution_id in known:
                self._entries.pop(execution_id, None)
            raise
        return again

    def _known(self, inbox: Inbox) -> Entry | None:
        """The execution, if it is in memory and no result up to those in `inbox` can have been missed."""
        entry = self._entries.get(inbox.execution_id)
        if entry is None or (inbox.results and entry.chain != self._chain):
            return None
        self._entries.move_to_end(inbox.execution_id)
        return entry

    async def _find(self, inbox: Inbox, now: datetime, said: list[Message]) -> Entry | None:
        """The execution as it is stored, with every result that EVENTS holds for it put into `inbox`; a new one
        where it was asked for; None where there is nothing to decide."""
        entry = self._entries.get(inbox.execution_id)
        if entry is None and inbox.new:
            # Most likely it is not stored; where it is, the compare-and-set says so and we come here again.
            inbox.new = False
            return await self._begin(inbox, now, said)
        if entry is None:
            entry = await self._ledger.load(inbox.tenant, inbox.execution_id, self._chain)
            if entry is None:
                return await self._begin(inbox, now, said)
            self._remember(entry)
        if entry.state.finished_at is None:
            missed = await self._ledger.results_after(inbox.tenant, inbox.execution_id, entry.state.applied)
            had = {sequence for sequence, _ in inbox.results}
            inbox.results += [item for item in missed if item[0] not in had]
        entry.chain = self._chain
        return entry

    async def _begin(self, inbox: Inbox, now: datetime, said: list[Message]) -> Entry | None:
        """A new execution; None where nothing is to be done, with what is to be said about it."""
        request = inbox.request
        if request is None:
            if inbox.cancel_delivery is not None and inbox.cancel_delivery.epoch < CANCEL_TRIES:
                # Another dispatcher may be about to begin it.
                await inbox.cancel_delivery.nak(1)
            elif inbox.cancel is not None or inbox.results:
                log.warning("message for an unknown execution", extra={"execution_id": str(inbox.execution_id)})
            return None
        try:
            saved, durations = await asyncio.gather(
                self._ledger.suite(inbox.tenant, request.suite), self._ledger.durations(inbox.tenant, request.suite)
            )
            if saved is None:
                raise Refused(f"there is no suite {request.suite!r}; save it first")
            compiled = self._compile(saved)
            plan = make_plan(saved, compiled, request, inbox.execution_id, now, durations)
        except Refused as error:
            stored = await self._ledger.load(inbox.tenant, inbox.execution_id, self._chain)
            if stored is not None:
                return stored  # asked for again; it was accepted when the suite could still be run
            log.warning("request refused", extra={"suite": request.suite, "reason": str(error)})
            said.append(_refused(inbox, request, str(error), now))
            return None
        parts = len(split(msgspec.json.encode(plan))) if len(plan.cases) > 500 else 1
        return Entry(plan, s.State(cases="", parts=parts), 0, self._chain)

    def _compile(self, saved: SuiteSaved) -> tuple[SuiteDefinition, list[PlannedCase]]:
        key = (saved.suite_id, saved.revision)
        if key not in self._compiled:
            self._compiled[key] = compile_cases(saved)
            while len(self._compiled) > 256:
                self._compiled.popitem(last=False)
        return self._compiled[key]

    def _remember(self, entry: Entry) -> None:
        self._entries[entry.plan.execution_id] = entry
        self._entries.move_to_end(entry.plan.execution_id)
        while len(self._entries) > REMEMBERED:
            self._entries.popitem(last=False)

    async def _signal_stop(self, entry: Entry) -> None:
        """For speed only: executors look at the state themselves, sooner or later."""
        plan, state = entry.plan, entry.state
        subject = stop_signal_subject(plan.tenant, str(plan.execution_id))
        await self._app.nc.publish(subject, msgspec.json.encode({"reason": state.stop, "message": state.stop_message}))


def _say(entry: Entry, before: s.State | None, decision: Decision, now: datetime) -> list[Message]:
    """What an execution says after a commit. From a state just read all of it: nobody knows what was said."""
    plan, state = entry.plan, decision.state
    said: list[Message] = []
    if before is None:
        said.append(outbox.started(plan))
    if any(letter in state.cases for letter in (s.SKIPPING, s.CANCELLING, s.TIMING_OUT)):
        own = own_results(plan, state, now)
        if before is not None:
            own = [r for r in own if before.cases[plan.positions[r.case]] != state.cases[plan.positions[r.case]]]
        said += own
    finished = outbox.finished(plan, state)
    if finished is not None and (before is None or before.finished_at is None):
        said.append(finished)
        log.info(
            "execution finished",
            extra={"execution_id": str(plan.execution_id), "suite": plan.suite, "status": finished.status},
        )
    return said


def _note_durations(entry: Entry, inbox: Inbox) -> None:
    for _, result in inbox.results:
        if result.epoch and result.status == "passed":
            entry.durations[result.case] = result.duration_ms


def _refused(inbox: Inbox, request: ExecuteRequest, reason: str, now: datetime) -> ExecutionRefused:
    return ExecutionRefused(
        tenant=inbox.tenant,
        execution_id=inbox.execution_id,
        suite=request.suite,
        suite_id=suite_id(inbox.tenant, request.suite),
        reason=reason,
        triggered_by=request.triggered_by,
        executed_at=now,
        requested_by=request.requested_by,
        ci_commit_sha=request.ci_commit_sha,
        ci_branch=request.ci_branch,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not an execution id") from error


def _decode_fired(data: bytes) -> Fired:
    try:
        return msgspec.json.decode(data, type=Fired)
    except msgspec.DecodeError as error:
        raise Malformed(f"timer: {error}") from error
