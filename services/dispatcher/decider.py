"""What follows from what is known of an execution. Pure: no I/O, no clock, no randomness of its own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.dispatcher import state as s
from services.dispatcher.plan import Plan
from services.dispatcher.state import State
from shared.events import CaseFinished, FinalStatus, ResultStatus

# How long executors have to end what runs, once told to stop, before the dispatcher says it for them.
STOP_GRACE = timedelta(seconds=20)
# Tasks of one decision, so that state and tasks fit one atomic batch of 1,000.
MAX_RELEASE = 900


@dataclass(frozen=True)
class Hints:
    """What has come in for one execution since its last decision."""

    results: Sequence[tuple[int, CaseFinished]] = ()  # by sequence in EVENTS, ascending
    cancel: str | None = None  # the reason


@dataclass(frozen=True)
class Decision:
    """What follows: the next state, and what it takes to get there."""

    state: State
    release: list[int] = field(default_factory=list)  # positions whose attempt starts now, most urgent first
    stopped: bool = False  # executors are to be told
    more: bool = False  # not all fitted: decide again at once


def begin(plan: Plan, now: datetime, parts: int = 1) -> Decision:
    """The first decision of an execution."""
    cases = "".join(s.WAITING if case.enabled else s.SKIPPING for case in plan.cases)
    return decide(plan, State(cases=cases, parts=parts), Hints(), now)


def decide(plan: Plan, state: State, hints: Hints, now: datetime) -> Decision:
    """Say what follows from results, a cancel and the time.

    Results must come in the stream's order; those already applied, for an attempt that is not open, or of a
    case that is not in the plan decide nothing. Deciding again with the same input changes nothing.
    """
    if state.finished_at is not None:
        return Decision(state)
    cases = list(state.cases)
    attempts, due, last, saved = dict(state.attempts), dict(state.due), dict(state.last), dict(state.saved)
    applied, flaky = state.applied, state.flaky
    stop, stop_message, stop_at = state.stop, state.stop_message, state.stop_at

    # 1. Results, in the order in which they were stored: of two for one attempt the first counts.
    for sequence, result in hints.results:
        if sequence <= applied:
            continue
        applied = sequence
        position = plan.positions.get(result.case)
        if position is None or result.attempt != attempts.get(position, 1):
            continue
        # A word of a dispatcher (epoch 0) may be read together with the result that made it say so.
        if cases[position] not in s.OPEN and not (cases[position] == s.WAITING and result.epoch == 0):
            continue
        if _retries(plan, position, result, stop):
            cases[position] = s.BACKING_OFF
            last[position] = s.FINAL[result.status]
            due[position] = now + backoff(plan, position, result.attempt)
            continue
        cases[position] = s.FINAL[result.status]
        if result.status == "passed":
            saved.update(result.saved)
            flaky += result.attempt > 1

    # 2. A cancel, or the deadline: nothing more is started, executors are told to end what runs.
    stopped = False
    if stop is None and hints.cancel is not None:
        stop, stop_message, stop_at, stopped = "cancelled", hints.cancel, now, True
    if stop is None and now >= plan.deadline_at:
        minutes = (plan.deadline_at - plan.executed_at).total_seconds() / 60
        stop, stop_message, stop_at, stopped = "timeout", f"the suite's deadline of {minutes:g} min passed", now, True

    # 3. After a stop: what did not start never will; what runs has its grace.
    if stop is not None and stop_at is not None:
        closing = s.CANCELLING if stop == "cancelled" else s.TIMING_OUT
        for position, letter in enumerate(cases):
            if letter == s.WAITING:
                cases[position] = s.CANCELLING if stop == "cancelled" else s.SKIPPING
            elif letter == s.BACKING_OFF:
                cases[position] = last[position]
            elif letter == s.RELEASED and now >= stop_at + STOP_GRACE:
                cases[position] = closing

    # 4. A case whose dependency did not pass is skipped, and so are those that wait for it.
    for position in plan.in_order:
        if cases[position] == s.WAITING and any(
            (cases[needed] in s.ENDED and cases[needed] != s.PASSED) or cases[needed] == s.SKIPPING
            for needed in plan.cases[position].depends_on
        ):
            cases[position] = s.SKIPPING

    # 5. Ready cases start, the most urgent first, as many as there are places.
    places = plan.max_concurrent_tests - cases.count(s.RELEASED)
    release: list[int] = []
    more = False
    if stop is None and places > 0:
        for position in plan.by_urgency:
            letter = cases[position]
            if letter == s.WAITING:
                if any(cases[needed] != s.PASSED for needed in plan.cases[position].depends_on):
                    continue
            elif letter != s.BACKING_OFF or due[position] > now:
                continue
            if len(release) == min(places, MAX_RELEASE):
                more = len(release) < places
                break
            if letter == s.BACKING_OFF:
                attempts[position] = attempts.get(position, 1) + 1
            cases[position] = s.RELEASED
            release.append(position)
    for position in [p for p in due if cases[p] != s.BACKING_OFF]:
        del due[position], last[position]

    # 6. The end, or when to look again if nothing else comes.
    ended = all(letter in s.ENDED for letter in cases)
    letters = "".join(cases)
    return Decision(
        State(
            cases=letters,
            parts=state.parts,
            applied=applied,
            attempts=attempts,
            due=due,
            last=last,
            saved=saved,
            flaky=flaky,
            stop=stop,
            stop_message=stop_message,
            stop_at=stop_at,
            timer_at=None if ended else _next_look(plan, letters, due, stop_at, now),
            finished_at=now if ended else None,
            status=final_status(letters, stop) if ended else None,
        ),
        release,
        stopped,
        more,
    )


def backoff(plan: Plan, position: int, attempt: int) -> timedelta:
    """The wait before attempt `attempt + 1`: doubling, capped; with jitter between half and all of it.

    The jitter comes from the ids, so that every replica decides the same.
    """
    case = plan.cases[position]
    seconds = min(case.backoff_seconds * 2 ** (attempt - 1), case.max_backoff_seconds)
    if case.jitter:
        digest = hashlib.blake2b(f"{plan.execution_id}/{position}/{attempt}".encode(), digest_size=4).digest()
        seconds *= 0.5 + int.from_bytes(digest) / 2**33
    return timedelta(seconds=seconds)


def final_status(letters: str, stop: str | None) -> FinalStatus:
    """What an execution ended in, by the worst of its cases; a stop that changed nothing is no stop."""
    unfinished = s.CANCELLED in letters or s.SKIPPED in letters or s.TIMEOUT in letters
    if stop == "cancelled" and s.CANCELLED in letters:
        return "cancelled"
    if stop == "timeout" and unfinished:
        return "timeout"
    if s.FAILED in letters or s.TIMEOUT in letters:
        return "failed"
    if s.ERROR in letters:
        return "error"
    if s.CANCELLED in letters:
        return "cancelled"
    return "passed" if s.PASSED in letters else "skipped"


def own_results(plan: Plan, state: State, now: datetime) -> list[CaseFinished]:
    """The results that the dispatcher itself has to say, for every case that is closing: always the same ids."""
    return [
        _own_result(plan, state, position, now)
        for position, letter in enumerate(state.cases)
        if letter in s.OPEN and letter != s.RELEASED
    ]


def _own_result(plan: Plan, state: State, position: int, now: datetime) -> CaseFinished:
    case = plan.cases[position]
    status, message = _why(plan, state, position)
    return CaseFinished(
        tenant=plan.tenant,
        execution_id=plan.execution_id,
        suite=plan.suite,
        executed_at=plan.executed_at,
        case=case.name,
        skill=case.skill,
        kind=case.kind,
        attempt=state.attempt(position),
        epoch=0,
        status=status,
        error_type="timeout" if status == "timeout" else None,
        error_message=message,
        started_at=now,
        finished_at=now,
    )


def _why(plan: Plan, state: State, position: int) -> tuple[ResultStatus, str]:
    letter = state.cases[position]
    if letter == s.CANCELLING:
        return "cancelled", state.stop_message or "cancelled"
    if letter == s.TIMING_OUT:
        return "timeout", state.stop_message or "timed out"
    case = plan.cases[position]
    if not case.enabled:
        return "skipped", "disabled in the suite"
    for needed in case.depends_on:
        if state.cases[needed] != s.PASSED and (state.cases[needed] in s.ENDED or state.cases[needed] == s.SKIPPING):
            how = next((name for name, code in s.FINAL.items() if code == state.cases[needed]), "skipped")
            return "skipped", f"depends on {plan.cases[needed].name!r}, which ended {how}"
    return "skipped", f"not started: {state.stop_message}"


def _retries(plan: Plan, position: int, result: CaseFinished, stop: str | None) -> bool:
    return (
        stop is None
        and result.status in ("failed", "error", "timeout")
        and result.error_type != "definition"
        and result.attempt < plan.cases[position].attempts
    )


def _next_look(
    plan: Plan, letters: str, due: dict[int, datetime], stop_at: datetime | None, now: datetime
) -> datetime | None:
    if stop_at is not None:
        return stop_at + STOP_GRACE if s.RELEASED in letters else None
    return min([plan.deadline_at, *(at for at in due.values() if at > now)])
