"""From a suite to the plan of one execution: everything about it that never changes again."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from shared.errors import WebGuardError
from shared.events import ExecuteRequest, Kind, PriorityClass, SuiteSaved, TriggeredBy
from shared.suites import CaseDefinition, SuiteDefinition, names

DEFAULT_TIMEOUT_SECONDS = 300.0


class Refused(WebGuardError):
    """A request that cannot become an execution; the text says why, for whoever asked."""


class PlannedCase(msgspec.Struct, frozen=True, omit_defaults=True):
    """A case as it is run, with all that the suite gave it."""

    name: str
    skill: str
    kind: Kind
    params: dict[str, Any] = {}
    uses: list[str] = []  # variables that the params name
    depends_on: list[int] = []  # positions in the plan
    priority: int = 0
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    save: dict[str, str] = {}
    attempts: int = 1
    backoff_seconds: float = 1
    max_backoff_seconds: float = 600
    jitter: bool = True
    enabled: bool = True

    @property
    def priority_class(self) -> PriorityClass:
        return "high" if self.priority > 0 else "low" if self.priority < 0 else "normal"


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One execution's frozen definition. Cases are known by their position."""

    tenant: str
    execution_id: UUID
    suite: str
    suite_id: UUID
    revision: int
    triggered_by: TriggeredBy
    executed_at: datetime
    deadline_at: datetime
    max_concurrent_tests: int
    cases: list[PlannedCase]
    variables: dict[str, Any] = {}
    expected_ms: list[float] = []  # recorded durations by position, 0 where there is none
    requested_by: str | None = None
    ci_commit_sha: str | None = None
    ci_branch: str | None = None

    @cached_property
    def positions(self) -> dict[str, int]:
        return {case.name: index for index, case in enumerate(self.cases)}

    @cached_property
    def in_order(self) -> list[int]:
        """Positions so that each case comes after those it depends on."""
        if not any(case.depends_on for case in self.cases):
            return list(range(len(self.cases)))
        return list(TopologicalSorter({i: case.depends_on for i, case in enumerate(self.cases)}).static_order())

    @cached_property
    def by_urgency(self) -> list[int]:
        """Positions in the order in which ready cases are started: priority, then the file's order."""
        return sorted(range(len(self.cases)), key=lambda index: (-self.cases[index].priority, index))


def compile_cases(saved: SuiteSaved) -> tuple[SuiteDefinition, list[PlannedCase]]:
    """The definition's cases as they are run; the same for every execution of a revision.

    Raises:
        Refused: the definition cannot be read, or a case has no kind.
    """
    try:
        suite = SuiteDefinition.model_validate(saved.definition)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise Refused(f"suite {saved.suite!r} revision {saved.revision}: {where}: {fault['msg']}") from error
    positions = {case.name: index for index, case in enumerate(suite.cases)}
    return suite, [_plan_case(case, suite, positions) for case in suite.cases]


def _plan_case(case: CaseDefinition, suite: SuiteDefinition, positions: Mapping[str, int]) -> PlannedCase:
    if case.kind is None:
        raise Refused(f"case {case.name!r} of suite {suite.suite!r} has no kind; save the suite again")
    retry = case.retry or suite.retry
    return PlannedCase(
        name=case.name,
        skill=case.skill,
        kind=case.kind,
        params=dict(case.params),
        uses=sorted({name for name in names(case.params) if not name.startswith("secrets.")}),
        depends_on=[positions[name] for name in case.depends_on],
        priority=case.priority,
        timeout_seconds=case.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        save=case.save,
        attempts=retry.attempts,
        backoff_seconds=retry.backoff_seconds,
        max_backoff_seconds=retry.max_backoff_seconds,
        jitter=retry.jitter,
        enabled=case.enabled,
    )


def make_plan(
    saved: SuiteSaved,
    compiled: tuple[SuiteDefinition, list[PlannedCase]],
    request: ExecuteRequest,
    execution_id: UUID,
    now: datetime,
    durations: Mapping[str, float],
) -> Plan:
    """The plan of one execution.

    Args:
        durations: case name → recorded duration in ms.

    Raises:
        Refused: the suite is disabled.
    """
    suite, cases = compiled
    if not suite.enabled:
        raise Refused(f"suite {suite.suite!r} is disabled; enable it and apply it again")
    return Plan(
        tenant=saved.tenant,
        execution_id=execution_id,
        suite=saved.suite,
        suite_id=saved.suite_id,
        revision=saved.revision,
        triggered_by=request.triggered_by,
        executed_at=now,
        deadline_at=now + timedelta(minutes=suite.timeout_minutes),
        max_concurrent_tests=suite.max_concurrent_tests,
        cases=cases,
        variables={**suite.variables, **request.variables},
        expected_ms=[durations.get(case.name, 0) for case in cases] if durations else [],
        requested_by=request.requested_by,
        ci_commit_sha=request.ci_commit_sha,
        ci_branch=request.ci_branch,
    )
