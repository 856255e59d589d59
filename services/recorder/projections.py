"""From events to rows. Pure: a batch in the stream's order becomes the columns of each table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

import msgspec
from pydantic import ValidationError

from shared.errors import Permanent
from shared.events import (
    CaseFinished,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionStarted,
    SkillOffered,
    SuiteDeleted,
    SuiteSaved,
)
from shared.events.ids import case_id, suite_id
from shared.suites import SuiteDefinition

_json = msgspec.json.Encoder().encode


def result_id(tenant: str, execution_id: UUID, case: str, attempt: int, role: str = "case") -> UUID:
    """The same attempt has the same id, however often it is recorded; no other tenant can have it."""
    return uuid5(execution_id, f"result:{tenant}:{role}:{attempt}:{case}")


@dataclass
class Rows:
    """What a batch adds, table by table; each row a tuple in the order of the query's parameters."""

    results: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    metrics: dict[UUID, list[tuple[Any, ...]]] = field(default_factory=dict)  # by result
    artifacts: dict[UUID, list[tuple[Any, ...]]] = field(default_factory=dict)
    started: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    finished: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    refused: list[tuple[Any, ...]] = field(default_factory=list)
    suites: list[SuiteSaved | SuiteDeleted] = field(default_factory=list)
    skills: list[tuple[Any, ...]] = field(default_factory=list)


def project(events: Iterable[Event]) -> Rows:
    """Rows of a batch. Of several rows with one id the first stays, as it would in the table."""
    rows = Rows()
    suites: dict[tuple[str, str], UUID] = {}
    for event in events:
        if isinstance(event, CaseFinished):
            key = (event.tenant, event.suite)
            suite = suites.get(key)
            if suite is None:
                suite = suites[key] = suite_id(*key)
            _result(rows, event, suite)
        elif isinstance(event, ExecutionStarted):
            rows.started.setdefault(event.execution_id, _started(event))
        elif isinstance(event, ExecutionFinished):
            rows.finished.setdefault(event.execution_id, _finished(event))
        elif isinstance(event, ExecutionRefused):
            rows.refused.append(_refused(event))
        elif isinstance(event, SuiteSaved | SuiteDeleted):
            rows.suites.append(event)
        elif isinstance(event, SkillOffered):
            rows.skills.append(_skill(event))
    return rows


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows turned into the arrays that `unnest` takes."""
    return list(zip(*rows, strict=True))


def to_json(value: Any) -> str:
    """As `jsonb` takes it: without NUL in any string. The literal text \\u0000 is no NUL and stays."""
    encoded: str = _json(value).decode()
    if "\\u0000" not in encoded:
        return encoded
    return _json(_without_nul(msgspec.to_builtins(value))).decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value


def clean(text: str | None) -> str | None:
    """PostgreSQL's text takes everything but NUL."""
    return text.replace("\x00", "\ufffd") if text and "\x00" in text else text


def _result(rows: Rows, event: CaseFinished, suite: UUID) -> None:
    identity = result_id(event.tenant, event.execution_id, event.case, event.attempt)
    if identity in rows.results:
        return
    by_kind: dict[str, str] = {}
    for artifact in event.artifacts:
        by_kind.setdefault(artifact.kind, artifact.key)
    rows.results[identity] = (
        identity,
        event.tenant,
        event.execution_id,
        event.executed_at,
        case_id(suite, event.case),
        clean(event.case),
        event.skill,
        event.kind,
        event.attempt,
        event.epoch,
        event.status,
        clean(event.error_message),
        event.error_type,
        clean(event.stack_trace),
        event.duration_ms,
        by_kind.get("screenshot"),
        by_kind.get("video"),
        by_kind.get("log"),
        event.attempt - 1,
        event.executor,
        to_json(event.steps) if event.steps else None,
        event.started_at,
        event.finished_at,
    )
    common = (event.execution_id, event.executed_at)
    if event.metrics:
        rows.metrics[identity] = [
            (
                uuid5(identity, f"metric:{n}"),
                event.tenant,
                identity,
                *common,
                clean(m.name),
                m.value,
                clean(m.unit),
                event.finished_at,
            )
            for n, m in enumerate(event.metrics)
        ]
    if event.artifacts:
        rows.artifacts[identity] = [
            (
                uuid5(identity, f"artifact:{n}"),
                event.tenant,
                identity,
                *common,
                clean(a.name),
                a.kind,
                clean(a.key),
                a.content_type,
                a.size,
                a.sha256,
                event.finished_at,
            )
            for n, a in enumerate(event.artifacts)
        ]


def _started(e: ExecutionStarted) -> tuple[Any, ...]:
    return (
        e.execution_id,
        e.tenant,
        e.suite_id,
        e.suite,
        e.revision,
        e.executed_at,
        e.started_at,
        e.total,
        e.triggered_by,
        clean(e.requested_by),
        clean(e.ci_commit_sha),
        clean(e.ci_branch),
    )


def _finished(e: ExecutionFinished) -> tuple[Any, ...]:
    took = round((e.finished_at - e.started_at).total_seconds() * 1000)
    return (
        e.execution_id,
        e.tenant,
        e.suite_id,
        e.suite,
        e.executed_at,
        e.started_at,
        e.finished_at,
        e.status,
        e.total,
        e.passed,
        e.failed,
        e.skipped,
        e.flaky,
        took,
        clean(e.error_message),
    )


def _refused(e: ExecutionRefused) -> tuple[Any, ...]:
    return (
        e.execution_id,
        e.tenant,
        e.suite_id,
        clean(e.suite),
        e.executed_at,
        clean(e.reason),
        e.triggered_by,
        clean(e.requested_by),
        clean(e.ci_commit_sha),
        clean(e.ci_branch),
    )


def _skill(e: SkillOffered) -> tuple[Any, ...]:
    schema = _json(e.params_schema).decode()
    return (
        e.name,
        e.kind,
        e.description,
        e.version,
        schema,
        e.documentation,
        e.digest,
        e.timeout_seconds,
        e.offered_at,
    )


def suite_row(event: SuiteSaved) -> tuple[Any, ...]:
    """
    Raises:
        Permanent: the definition is not one.
    """
    suite = definition_of(event)
    return (
        event.suite_id,
        event.tenant,
        event.suite,
        clean(suite.description),
        suite.enabled,
        suite.schedule,
        suite.timezone,
        suite.max_concurrent_tests,
        suite.timeout_minutes,
        suite.retry.attempts > 1,
        event.revision,
        to_json(event.definition),
        clean(event.saved_by),
        event.created_at,
        event.saved_at,
    )


def case_rows(event: SuiteSaved) -> list[tuple[Any, ...]]:
    return [
        (
            case_id(event.suite_id, case.name),
            event.tenant,
            event.suite_id,
            clean(case.name),
            case.skill,
            case.kind or "api",
            to_json(case.params),
            case.priority,
            case.timeout_seconds or 300.0,
            case.enabled,
            position,
            event.saved_at,
        )
        for position, case in enumerate(definition_of(event).cases)
    ]


def definition_of(event: SuiteSaved) -> SuiteDefinition:
    try:
        return SuiteDefinition.model_validate(event.definition)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise Permanent(f"suite {event.suite!r} revision {event.revision}: {where}: {fault['msg']}") from error
