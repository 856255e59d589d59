"""What an execution has to say to the others, made from its plan and state: the same words each time."""

from collections.abc import Sequence

from services.dispatcher import state as s
from services.dispatcher.plan import Plan
from services.dispatcher.state import State
from shared.events import CaseAttempt, ExecutionFinished, ExecutionStarted, Task

CHUNK = 10
# A case that took longer travels alone: behind a slow one the others of its message would wait for their ack.
SHORT_MS = 250


def tasks(plan: Plan, state: State, release: Sequence[int]) -> list[Task]:
    """Messages for the executors: one a case, but about ten short API or data cases together."""
    made: list[Task] = []
    chunks: dict[tuple[str, str], list[int]] = {}
    for position in release:
        case = plan.cases[position]
        if case.kind != "browser" and plan.expected_ms and 0 < plan.expected_ms[position] <= SHORT_MS:
            chunk = chunks.setdefault((case.kind, case.priority_class), [])
            chunk.append(position)
            if len(chunk) == CHUNK:
                made.append(_task(plan, state, chunk))
                chunks[case.kind, case.priority_class] = []
        else:
            made.append(_task(plan, state, [position]))
    made += [_task(plan, state, chunk) for chunk in chunks.values() if chunk]
    return made


def _task(plan: Plan, state: State, positions: Sequence[int]) -> Task:
    first = plan.cases[positions[0]]
    return Task(
        tenant=plan.tenant,
        execution_id=plan.execution_id,
        suite=plan.suite,
        executed_at=plan.executed_at,
        kind=first.kind,
        priority=first.priority_class,
        attempts=[_attempt(plan, state, position) for position in positions],
    )


def _attempt(plan: Plan, state: State, position: int) -> CaseAttempt:
    case = plan.cases[position]
    variables = {}
    for name in case.uses:
        if name in state.saved:
            variables[name] = state.saved[name]
        elif name in plan.variables:
            variables[name] = plan.variables[name]
    return CaseAttempt(
        case=case.name,
        skill=case.skill,
        attempt=state.attempt(position),
        params=case.params,
        variables=variables,
        save=case.save,
        timeout_seconds=case.timeout_seconds,
    )


def started(plan: Plan) -> ExecutionStarted:
    return ExecutionStarted(
        tenant=plan.tenant,
        execution_id=plan.execution_id,
        suite=plan.suite,
        suite_id=plan.suite_id,
        revision=plan.revision,
        total=len(plan.cases),
        triggered_by=plan.triggered_by,
        executed_at=plan.executed_at,
        started_at=plan.executed_at,
        requested_by=plan.requested_by,
        ci_commit_sha=plan.ci_commit_sha,
        ci_branch=plan.ci_branch,
    )


def finished(plan: Plan, state: State) -> ExecutionFinished | None:
    """The last word on an execution; None while it goes on."""
    if state.finished_at is None or state.status is None:
        return None
    count = state.cases.count
    return ExecutionFinished(
        tenant=plan.tenant,
        execution_id=plan.execution_id,
        suite=plan.suite,
        suite_id=plan.suite_id,
        status=state.status,
        executed_at=plan.executed_at,
        started_at=plan.executed_at,
        finished_at=state.finished_at,
        total=len(state.cases),
        passed=count(s.PASSED),
        failed=count(s.FAILED) + count(s.ERROR) + count(s.TIMEOUT),
        skipped=count(s.SKIPPED) + count(s.CANCELLED),
        flaky=state.flaky,
        error_message=state.stop_message if state.status in ("timeout", "cancelled") else None,
    )
