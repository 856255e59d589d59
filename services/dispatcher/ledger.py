"""LEDGER: where executions are kept. Loads them, and commits state, tasks and timer as one atomic batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from nats.aio.client import Client

from services.dispatcher.decider import Decision
from services.dispatcher.outbox import tasks
from services.dispatcher.plan import Plan
from services.dispatcher.state import State
from shared.bus import lookup
from shared.bus.envelope import EXPECTED_LAST_SUBJECT_SEQUENCE, SCHEDULE, SCHEDULE_TARGET
from shared.bus.publish import Publisher, Record, record
from shared.bus.topology import EVENTS, LEDGER, MAX_BATCH, state_subject
from shared.errors import LostRace, PublishFailed
from shared.events import CaseFinished, SuiteSaved, decode
from shared.events.ids import instant

SOURCE = "webguard/dispatcher"
# A message stays under the server's limit of 1 MB; larger plans are stored in parts.
PART_BYTES = 900_000

_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode
_decode_plan = msgspec.json.Decoder(Plan).decode


@dataclass
class Entry:
    """An execution in this process's memory.

    Attributes:
        sequence: of the stored state, for compare-and-set; 0: not stored yet.
        chain: the unbroken chain of deliveries since which this process has seen every result; see Memory.
        fresh: read from the ledger, so what it has to say may never have been said.
        durations: case name → ms, of results seen since loading.
    """

    plan: Plan
    state: State
    sequence: int
    chain: int
    fresh: bool = True
    durations: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """An execution with what was decided for it, to be committed."""

    entry: Entry
    decision: Decision


class Ledger:
    """Reads and writes executions. Keeps nothing itself."""

    def __init__(self, nc: Client, publisher: Publisher) -> None:
        self._nc = nc
        self._publisher = publisher

    async def load(self, tenant: str, execution_id: UUID, chain: int) -> Entry | None:
        """An execution as it is stored; None where there is none.

        Raises:
            Unavailable: the server does not answer.
        """
        stored = await lookup.last(self._nc, LEDGER.name, state_subject(tenant, str(execution_id)))
        if stored is None:
            return None
        state = _decode_state(stored.data)
        subject = _plan_subject(tenant, execution_id)
        parts = [m async for m in lookup.messages(self._nc, LEDGER.name, f"{subject}.*")]
        plan = _decode_plan(b"".join(part.data for part in parts[: state.parts]))
        return Entry(plan, state, stored.sequence, chain)

    async def results_after(self, tenant: str, execution_id: UUID, applied: int) -> list[tuple[int, CaseFinished]]:
        """The results in EVENTS that a state does not hold yet, in order."""
        subject = f"wg.{tenant}.event.case.finished.{execution_id}"
        return [
            (message.sequence, decode(message.data, CaseFinished, tenant=tenant))
            async for message in lookup.messages(self._nc, EVENTS.name, subject, applied)
        ]

    async def suite(self, tenant: str, suite: str) -> SuiteSaved | None:
        """The suite as it is saved now; None: unknown or deleted."""
        return await lookup.saved_suite(self._nc, tenant, suite)

    async def durations(self, tenant: str, suite: str) -> dict[str, float]:
        """Recorded durations of a suite's cases, in ms."""
        stored = await lookup.last(self._nc, LEDGER.name, _durations_subject(tenant, suite))
        return msgspec.json.decode(stored.data, type=dict[str, float]) if stored else {}

    async def commit(self, changes: Sequence[Change]) -> list[Change]:
        """Commit changes, as many together as fit a batch.

        Returns:
            Those that were not committed, or whose fate is not known: load them again and decide again.
        """
        lost: list[Change] = []
        batch: list[tuple[Change, list[Record]]] = []
        size = 0
        for change in changes:
            records = records_of(change)
            if size + len(records) > MAX_BATCH and batch:
                lost += await self._commit(batch)
                batch, size = [], 0
            batch.append((change, records))
            size += len(records)
        if batch:
            lost += await self._commit(batch)
        return lost

    async def _commit(self, batch: Sequence[tuple[Change, list[Record]]]) -> list[Change]:
        try:
            stored = await self._publisher.publish_batch([item for _, records in batch for item in records])
        except LostRace:
            if len(batch) == 1:
                return [batch[0][0]]
            # One lost race refuses the whole batch: the others go alone.
            lost = await asyncio.gather(*[self._commit([item]) for item in batch])
            return [change for part in lost for change in part]
        except PublishFailed:
            return [change for change, _ in batch]
        sequence = stored.first
        for change, records in batch:
            change.entry.sequence = sequence
            change.entry.state = change.decision.state
            sequence += len(records)
        return []


def records_of(change: Change) -> list[Record]:
    """One execution's part of a commit: its state first, then its plan when it is new, tasks and timer."""
    entry, decision = change.entry, change.decision
    plan, new = entry.plan, decision.state
    execution_id = str(plan.execution_id)
    timer = f"wg.{plan.tenant}.timer.{execution_id}"
    headers = {EXPECTED_LAST_SUBJECT_SEQUENCE: str(entry.sequence), "Nats-Rollup": "sub"}
    if new.timer_at is None and entry.state.timer_at is not None:
        headers |= {"Nats-Scheduler": timer, "Nats-Schedule-Next": "purge"}
    records = [Record(state_subject(plan.tenant, execution_id), _encode(new), headers)]
    if entry.sequence == 0:
        subject = _plan_subject(plan.tenant, plan.execution_id)
        records += [Record(f"{subject}.{n:04}", part) for n, part in enumerate(split(_encode(plan)))]
    records += [record(task, SOURCE) for task in tasks(plan, new, decision.release)]
    # One timer an execution: a later message on its subject takes the place of the earlier.
    if new.timer_at is not None and (entry.sequence == 0 or new.timer_at != entry.state.timer_at):
        at = instant(new.timer_at)
        due = {SCHEDULE: f"@at {at}", SCHEDULE_TARGET: f"wg.{plan.tenant}.fired.{execution_id}"}
        records.append(Record(timer, _encode({"at": at}), due))
    if new.finished_at is not None and entry.durations:
        recorded = {case.name: ms for case, ms in zip(plan.cases, plan.expected_ms, strict=False) if ms}
        averages = average_durations(recorded, entry.durations)
        if averages:
            # No roll-up: the server refuses a batch with two of them on one subject, and several executions
            # of a suite may end in one commit.
            records.append(Record(_durations_subject(plan.tenant, plan.suite), _encode(averages)))
    return records


def average_durations(recorded: dict[str, float], seen: dict[str, int]) -> dict[str, float] | None:
    """Recorded durations moved a third of the way to those just seen; None where that changes little."""
    averages = dict(recorded)
    changed = False
    for name, ms in seen.items():
        old = recorded.get(name)
        value = max(1.0, round(ms if old is None else old + (ms - old) / 3, 1))
        averages[name] = value
        changed |= old is None or abs(value - old) > max(5.0, old / 5)
    return averages if changed else None


def split(data: bytes) -> list[bytes]:
    return [data[start : start + PART_BYTES] for start in range(0, len(data), PART_BYTES)]


def _plan_subject(tenant: str, execution_id: UUID) -> str:
    return f"wg.{tenant}.plan.{execution_id}"


def _durations_subject(tenant: str, suite: str) -> str:
    return f"wg.{tenant}.durations.{suite}"
