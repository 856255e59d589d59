"""The decider's promises, over random workflows, results, orders and losses."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher import state as s
from services.dispatcher.decider import STOP_GRACE, Decision, Hints, backoff, begin, decide, own_results
from services.dispatcher.outbox import finished, tasks
from services.dispatcher.plan import Plan, PlannedCase
from services.dispatcher.state import State
from shared.events import CaseFinished, ResultStatus

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ENDINGS: list[ResultStatus] = ["passed", "failed", "error", "timeout"]


def case(name: str, **options: object) -> PlannedCase:
    return PlannedCase(name=name, skill="noop", kind="api", **options)  # type: ignore[arg-type]


def plan_of(*cases: PlannedCase, at_once: int = 5, minutes: float = 60) -> Plan:
    return Plan(
        tenant="t",
        execution_id=UUID(int=7),
        suite="shop",
        suite_id=UUID(int=1),
        revision=1,
        triggered_by="api",
        executed_at=NOW,
        deadline_at=NOW + timedelta(minutes=minutes),
        max_concurrent_tests=at_once,
        cases=list(cases),
    )


def result(
    plan: Plan, position: int, attempt: int = 1, status: ResultStatus = "passed", **more: object
) -> CaseFinished:
    c = plan.cases[position]
    return CaseFinished(
        tenant="t",
        execution_id=plan.execution_id,
        suite=plan.suite,
        executed_at=NOW,
        case=c.name,
        skill=c.skill,
        kind=c.kind,
        attempt=attempt,
        status=status,
        started_at=NOW,
        finished_at=NOW,
        **more,  # type: ignore[arg-type]
    )


def step(plan: Plan, before: State, *results: CaseFinished, now: datetime = NOW, cancel: str | None = None) -> Decision:
    numbered = [(before.applied + n, r) for n, r in enumerate(results, 1)]
    return decide(plan, before, Hints(numbered, cancel), now)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    size = draw(st.integers(1, 12))
    cases = [
        case(
            f"c{index}",
            depends_on=sorted(draw(st.sets(st.integers(0, index - 1), max_size=3))) if index else [],
            priority=draw(st.integers(-1, 2)),
            attempts=draw(st.integers(1, 3)),
            enabled=draw(st.sampled_from([True] * 9 + [False])),
        )
        for index in range(size)
    ]
    order = draw(st.permutations(range(size)))  # a dependency may stand after the case that needs it
    where = {old: new for new, old in enumerate(order)}
    shuffled = [
        msgspec.structs.replace(cases[old], depends_on=[where[d] for d in cases[old].depends_on]) for old in order
    ]
    return plan_of(*shuffled, at_once=draw(st.integers(1, 5)))


@settings(max_examples=300, deadline=None)
@given(plan=plans(), data=st.data())
def test_an_execution_always_ends_and_never_breaks_a_rule(plan: Plan, data: st.DataObject) -> None:
    """Executors answer in any order; answers are doubled, come late and twice; a cancel may come at any time."""
    now, sequence = NOW, 0
    running: set[tuple[int, int]] = set()
    ever: set[tuple[int, int]] = set()
    log: list[tuple[int, CaseFinished]] = []
    decision = begin(plan, now)
    current = decision.state
    for _ in range(500):
        for position in decision.release:
            attempt = current.attempt(position)
            assert (position, attempt) not in ever, "each attempt is released once"
            assert attempt <= plan.cases[position].attempts
            assert all(current.cases[d] == s.PASSED for d in plan.cases[position].depends_on)
            ever.add((position, attempt))
            running.add((position, attempt))
        assert current.cases.count(s.RELEASED) <= plan.max_concurrent_tests
        if current.finished_at is not None:
            break
        batch: list[tuple[int, CaseFinished]] = []
        for own in own_results(plan, current, now):
            sequence += 1
            batch.append((sequence, own))
        for position, attempt in sorted(running):
            if data.draw(st.booleans()):
                running.discard((position, attempt))
                for _again in range(data.draw(st.integers(1, 2))):
                    sequence += 1
                    status = data.draw(st.sampled_from(ENDINGS))
                    batch.append((sequence, result(plan, position, attempt, status)))
        log += batch
        if bool(log) and data.draw(st.booleans()):
            batch = sorted({**dict([data.draw(st.sampled_from(log))]), **dict(batch)}.items(), key=lambda item: item[0])
        cancel = "enough" if data.draw(st.integers(0, 30)) == 0 else None
        now += timedelta(seconds=data.draw(st.integers(0, 30)))
        if current.timer_at is not None and not batch:
            now = max(now, current.timer_at)
        decision = decide(plan, current, Hints(batch, cancel), now)
        assert decide(plan, decision.state, Hints(batch, cancel), now).release == [], "the same again starts nothing"
        current = decision.state
    assert current.finished_at is not None, "an execution ends"
    assert set(current.cases) <= s.ENDED
    last = finished(plan, current)
    assert last is not None
    assert last.passed + last.failed + last.skipped == last.total == len(plan.cases)


@settings(max_examples=100, deadline=None)
@given(drawn=plans(), cuts=st.lists(st.integers(1, 5), min_size=1))
def test_however_the_results_are_cut_into_batches_the_end_is_the_same(drawn: Plan, cuts: list[int]) -> None:
    """The state is a fold over the stream, so that N dispatchers with other batches come to one end."""
    once = [msgspec.structs.replace(c, attempts=1) for c in drawn.cases]
    plan = plan_of(*once, at_once=50)
    log: list[tuple[int, CaseFinished]] = []
    decision = begin(plan, NOW)
    current = decision.state
    while current.finished_at is None:
        new = [result(plan, p, status="passed" if p % 3 else "failed") for p in decision.release]
        numbered = list(enumerate([*new, *own_results(plan, current, NOW)], len(log) + 1))
        assert numbered, "something is open while an execution goes on"
        log += numbered
        decision = decide(plan, current, Hints(numbered), NOW)
        current = decision.state
    other, rest = begin(plan, NOW).state, list(log)
    for size in cuts * len(log):
        # A result is in the stream only after the commit that let its case start.
        told = [item for item in rest[:size] if other.cases[plan.positions[item[1].case]] in s.OPEN]
        batch = rest[: len(told)] if told == rest[: len(told)] else rest[:1]
        rest = rest[len(batch) :]
        other = decide(plan, other, Hints(batch), NOW).state
    assert (other.cases, other.status, other.applied) == (current.cases, current.status, current.applied)


def test_a_redelivered_result_starts_nothing() -> None:
    plan = plan_of(case("a"), case("b", depends_on=[0]))
    first = result(plan, 0)
    after = decide(plan, begin(plan, NOW).state, Hints([(5, first)]), NOW)
    assert after.release == [1]
    again = decide(plan, after.state, Hints([(5, first)]), NOW)
    assert again.release == []
    assert again.state == after.state


def test_of_two_results_for_one_attempt_the_first_in_the_stream_counts() -> None:
    plan = plan_of(case("a"), case("b"))
    hints = Hints([(1, result(plan, 0, status="failed")), (2, result(plan, 0, status="passed", epoch=2))])
    assert decide(plan, begin(plan, NOW).state, hints, NOW).state.cases[0] == s.FAILED


def test_larger_priority_starts_first_and_the_limit_holds() -> None:
    plan = plan_of(case("a"), case("b", priority=5), case("c", priority=9), at_once=2)
    decision = begin(plan, NOW)
    assert decision.release == [2, 1]
    assert step(plan, decision.state, result(plan, 2)).release == [0]


def test_what_depends_on_a_failed_case_is_skipped_with_the_reason_all_the_way_down() -> None:
    plan = plan_of(case("a"), case("b", depends_on=[0]), case("c", depends_on=[1]))
    decision = step(plan, begin(plan, NOW).state, result(plan, 0, status="failed"))
    own = own_results(plan, decision.state, NOW)
    assert [(r.case, r.status, r.error_message) for r in own] == [
        ("b", "skipped", "depends on 'a', which ended failed"),
        ("c", "skipped", "depends on 'b', which ended skipped"),
    ]
    end = step(plan, decision.state, *own).state
    assert (end.status, end.cases) == ("failed", "fss")


def test_a_failed_attempt_is_tried_again_when_its_time_has_come_and_then_counts_as_flaky() -> None:
    plan = plan_of(case("a", attempts=2, backoff_seconds=10, jitter=False))
    waiting = step(plan, begin(plan, NOW).state, result(plan, 0, status="failed"))
    assert waiting.release == []
    assert waiting.state.timer_at == NOW + timedelta(seconds=10)
    again = step(plan, waiting.state, now=NOW + timedelta(seconds=10))
    assert (again.release, again.state.attempt(0)) == ([0], 2)
    end = step(plan, again.state, result(plan, 0, attempt=2))
    assert (end.state.status, end.state.flaky) == ("passed", 1)


def test_an_error_of_the_tests_own_definition_is_not_retried() -> None:
    plan = plan_of(case("a", attempts=3))
    end = step(plan, begin(plan, NOW).state, result(plan, 0, status="error", error_type="definition"))
    assert end.state.status == "error"


def test_the_deadline_skips_what_did_not_start_and_times_out_what_does_not_end() -> None:
    plan = plan_of(case("a"), case("b"), at_once=1, minutes=10)
    late = step(plan, begin(plan, NOW).state, now=NOW + timedelta(minutes=10))
    assert late.stopped
    assert [(r.case, r.status) for r in own_results(plan, late.state, NOW)] == [("b", "skipped")]
    assert late.state.timer_at == NOW + timedelta(minutes=10) + STOP_GRACE
    graceless = step(plan, late.state, now=late.state.timer_at)
    own = own_results(plan, graceless.state, NOW)
    assert [(r.case, r.status) for r in own] == [("a", "timeout"), ("b", "skipped")]
    assert step(plan, graceless.state, *own).state.status == "timeout"


def test_a_cancel_starts_nothing_more_and_waits_for_what_runs() -> None:
    plan = plan_of(case("a"), case("b"), at_once=1)
    cancelled = step(plan, begin(plan, NOW).state, cancel="no longer needed")
    assert cancelled.stopped
    end = step(plan, cancelled.state, result(plan, 0, status="cancelled"), *own_results(plan, cancelled.state, NOW))
    assert (end.release, end.state.status, end.state.cases) == ([], "cancelled", "cc")


def test_a_cancel_while_backing_off_keeps_how_the_last_attempt_ended() -> None:
    plan = plan_of(case("a", attempts=2, backoff_seconds=60))
    waiting = step(plan, begin(plan, NOW).state, result(plan, 0, status="failed"))
    assert step(plan, waiting.state, cancel="enough").state.status == "failed"


@given(attempt=st.integers(1, 20), position=st.integers(0, 3))
def test_backoff_doubles_up_to_its_cap_and_jitter_stays_within_half(attempt: int, position: int) -> None:
    plan = plan_of(*[case(f"c{n}", backoff_seconds=1, max_backoff_seconds=600) for n in range(4)])
    full = min(2 ** (attempt - 1), 600)
    wait = backoff(plan, position, attempt).total_seconds()
    assert full / 2 <= wait <= full
    assert wait == backoff(plan, position, attempt).total_seconds(), "every replica decides the same"


def test_short_cases_travel_ten_to_a_message_and_browser_cases_alone() -> None:
    cases = [case(f"c{n}") for n in range(25)]
    plan = plan_of(*cases, at_once=100)
    known = msgspec.structs.replace(plan, expected_ms=[5.0] * 25)
    release = list(range(25))
    state = begin(plan, NOW).state
    assert [len(t.attempts) for t in tasks(plan, state, release)] == [1] * 25
    assert [len(t.attempts) for t in tasks(known, state, release)] == [10, 10, 5]


@pytest.mark.parametrize("size", [5_000])
def test_a_release_fits_one_atomic_batch_and_the_rest_follows_at_once(size: int) -> None:
    plan = plan_of(*[case(f"c{n}") for n in range(size)], at_once=size)
    decision = begin(plan, NOW)
    released = set(decision.release)
    while decision.more:
        assert len(decision.release) <= 900
        decision = decide(plan, decision.state, Hints(), NOW)
        assert released.isdisjoint(decision.release)
        released |= set(decision.release)
    assert len(released) == size
