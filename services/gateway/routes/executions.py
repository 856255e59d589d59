"""Executions: triggering, watching, reading what came of them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Query
from fastapi.responses import RedirectResponse, StreamingResponse

from services.gateway.cursor import make_cursor, read_cursor
from services.gateway.database import Row
from services.gateway.deps import CallerDep, Cursor, EditorDep, Limit, PartsDep
from services.gateway.live import event_stream
from services.gateway.models import (
    Artifact,
    Cancel,
    Execution,
    Metric,
    Page,
    Result,
    Trigger,
    Triggered,
)
from services.gateway.problems import ProblemError
from shared.artifacts.store import ArtifactMissing
from shared.bus.publish import record
from shared.errors import PublishFailed
from shared.events import CancelRequest, ExecuteRequest
from shared.events.ids import execution_id as execution_id_of

router = APIRouter(tags=["executions"])
STATUSES = "queued|running|passed|failed|error|timeout|cancelled|skipped"


@router.post("/executions/trigger", status_code=202)
async def trigger(body: Trigger, who: EditorDep, use: PartsDep) -> Triggered:
    """Ask for an execution. Accepted means on disk: it runs, whatever dies. Answers with its id."""
    saved = await use.definitions.get(who.tenant, body.suite)
    if not saved.definition.get("enabled", True):
        raise ProblemError(409, f"suite {body.suite!r} is disabled; enable it and apply it again")
    key = body.idempotency_key or str(uuid4())
    request = ExecuteRequest(
        tenant=who.tenant,
        suite=body.suite,
        idempotency_key=key,
        triggered_by=body.triggered_by,
        requested_by=who.name,
        requested_at=datetime.now(UTC),
        variables=dict(body.variables),
        ci_commit_sha=body.ci_commit_sha,
        ci_branch=body.ci_branch,
    )
    try:
        await use.app.publisher.publish(record(request, use.app.source))
    except PublishFailed as error:
        if "maximum" in str(error):
            raise ProblemError(
                429, "too many requests are waiting; try again", headers={"Retry-After": "10"}
            ) from error
        raise
    identity = execution_id_of(who.tenant, key)
    await use.requested.note(who.tenant, identity, body.suite)
    return Triggered(execution_id=identity, suite=body.suite)


@router.get("/executions")
async def list_executions(
    who: CallerDep,
    use: PartsDep,
    suite: str | None = None,
    status: Annotated[str | None, Query(pattern=f"^({STATUSES})$")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Execution]:
    """Executions, the latest first."""
    rows = await use.database.rows(who.tenant, "executions", suite, status, *read_cursor(cursor), limit + 1)
    return _page(rows, limit, "executed_at", _execution)


@router.get("/executions/{execution_id}")
async def get_execution(execution_id: UUID, who: CallerDep, use: PartsDep) -> Execution:
    """One execution; `queued` from its request until the first of it is recorded."""
    row = await use.database.row(who.tenant, "execution", execution_id)
    if row is not None:
        return _execution(row)
    waiting = await use.requested.find(who.tenant, execution_id)
    if waiting is None:
        raise ProblemError(404, f"there is no execution {execution_id}")
    return waiting


@router.post("/executions/{execution_id}/cancel", status_code=202)
async def cancel(execution_id: UUID, who: EditorDep, use: PartsDep, body: Cancel | None = None) -> dict[str, Any]:
    """Stop an execution: nothing more is started, what runs is asked to end."""
    await get_execution(execution_id, who, use)
    reason = (body or Cancel()).reason
    request = CancelRequest(tenant=who.tenant, execution_id=execution_id, reason=reason, requested_by=who.name)
    await use.app.publisher.publish(record(request, use.app.source))
    return {"execution_id": execution_id, "status": "cancelling"}


@router.get("/executions/{execution_id}/results")
async def list_results(
    execution_id: UUID,
    who: CallerDep,
    use: PartsDep,
    status: Annotated[str | None, Query(pattern=f"^({STATUSES})$")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Result]:
    """Every attempt of every case that has ended, in order of time."""
    await get_execution(execution_id, who, use)
    rows = await use.database.rows(who.tenant, "results", execution_id, status, *read_cursor(cursor), limit + 1)
    return _page(rows, limit, "created_at", lambda row: _result(row))


@router.get("/results/{result_id}")
async def get_result(result_id: UUID, who: CallerDep, use: PartsDep) -> Result:
    """One attempt of one case."""
    row = await use.database.row(who.tenant, "result", result_id)
    if row is None:
        raise ProblemError(404, f"there is no result {result_id}")
    return _result(row)


@router.get("/executions/{execution_id}/metrics")
async def list_metrics(
    execution_id: UUID, who: CallerDep, use: PartsDep, limit: Limit = 200, cursor: Cursor = None
) -> Page[Metric]:
    """What the cases measured."""
    await get_execution(execution_id, who, use)
    rows = await use.database.rows(who.tenant, "metrics", execution_id, *read_cursor(cursor), limit + 1)
    return _page(rows, limit, "created_at", _metric)


@router.get("/executions/{execution_id}/artifacts")
async def list_artifacts(
    execution_id: UUID, who: CallerDep, use: PartsDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[Artifact]:
    """The files that the cases left."""
    await get_execution(execution_id, who, use)
    rows = await use.database.rows(who.tenant, "artifacts", execution_id, *read_cursor(cursor), limit + 1)
    return _page(rows, limit, "created_at", _artifact)


@router.get("/artifacts/{artifact_id}", response_model=None)
async def get_artifact(artifact_id: UUID, who: CallerDep, use: PartsDep) -> RedirectResponse | StreamingResponse:
    """The file itself, or a redirect to a link that is good for 7 days."""
    row = await use.database.row(who.tenant, "artifact", artifact_id)
    if row is None:
        raise ProblemError(404, f"there is no artifact {artifact_id}")
    link = await use.artifacts.presign(row["key"], row["name"])
    if link is not None:
        return RedirectResponse(link, 302)
    pieces = use.artifacts.get(row["key"])
    try:
        first = await anext(pieces, b"")
    except ArtifactMissing as error:
        raise ProblemError(404, str(error)) from error

    async def body() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    # A page under test may leave any file: never let it run as a page of ours.
    headers = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(body(), media_type=row["content_type"], headers=headers)


@router.get("/executions/{execution_id}/events", response_class=StreamingResponse)
async def events(
    execution_id: UUID, who: CallerDep, use: PartsDep, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Server-sent events of an execution, from its start or after `Last-Event-ID`, until it has ended."""
    await get_execution(execution_id, who, use)
    after = int(last_event_id) if last_event_id and last_event_id.isdigit() else 0
    stream = event_stream(use.app.nc, who.tenant, execution_id, after)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _page(rows: list[Row], limit: int, at: str, convert: Any) -> Page[Any]:
    more = len(rows) > limit
    last = rows[limit - 1] if more else None
    cursor = make_cursor(last[at], last["id"]) if last is not None else None
    return Page(items=[convert(row) for row in rows[:limit]], next_cursor=cursor)


def _execution(row: Row) -> Execution:
    return Execution(
        id=row["id"],
        suite=row["suite_name"],
        suite_id=row["suite_id"],
        revision=row["revision"],
        status=row["status"],
        executed_at=row["executed_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        total=row["total_tests"],
        passed=row["passed_tests"],
        failed=row["failed_tests"],
        skipped=row["skipped_tests"],
        flaky=row["flaky_tests"],
        duration_ms=row["execution_time_ms"],
        triggered_by=row["triggered_by"],
        requested_by=row["requested_by"],
        ci_commit_sha=row["ci_commit_sha"],
        ci_branch=row["ci_branch"],
        error_message=row["error_message"],
    )


def _result(row: Row) -> Result:
    steps = row["steps"]
    return Result(
        id=row["id"],
        execution_id=row["execution_id"],
        case=row["test_name"],
        skill=row["skill_name"],
        kind=row["kind"],
        role=row["role"],
        attempt=row["attempt"],
        status=row["status"],
        error_type=row["error_type"],
        error_message=row["error_message"],
        stack_trace=row["stack_trace"],
        duration_ms=row["execution_time_ms"],
        screenshot_url=row["screenshot_url"],
        video_url=row["video_url"],
        log_url=row["log_url"],
        executor=row["executor"],
        steps=json.loads(steps) if isinstance(steps, str) else steps or [],
        started_at=row["started_at"],
        finished_at=row["created_at"],
    )


def _metric(row: Row) -> Metric:
    return Metric(
        result_id=row["test_result_id"],
        case=row["test_name"],
        attempt=row["attempt"],
        name=row["metric_name"],
        value=row["metric_value"],
        unit=row["metric_unit"],
        created_at=row["created_at"],
    )


def _artifact(row: Row) -> Artifact:
    return Artifact(
        id=row["id"],
        result_id=row["test_result_id"],
        case=row["test_name"],
        attempt=row["attempt"],
        name=row["name"],
        kind=row["kind"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        url=f"/api/v1/artifacts/{row['id']}",
    )
