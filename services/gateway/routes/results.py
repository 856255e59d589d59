"""What executions left: results, metrics, artifacts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from services.gateway import cursor as cursors
from services.gateway.access import Gateway, Parts, Viewer
from services.gateway.models import (
    Artifact,
    ArtifactOfCase,
    Metric,
    MetricOfCase,
    Page,
    Result,
    ResultDetail,
    StepOfResult,
)
from services.gateway.problems import Refusal, not_found
from services.gateway.routes.executions import Known
from shared.artifacts.store import ArtifactMissing
from shared.events import ResultStatus

router = APIRouter()
# Shown by a browser; everything else is saved, so that a page that was tested cannot run as one of ours.
SAFE_TO_SHOW = ("image/png", "image/jpeg", "image/webp", "video/webm", "video/mp4", "text/plain", "application/json")


@router.get(
    "/executions/{execution_id}/results",
    tags=["results"],
    summary="Every attempt of every case, in the order in which they ended",
    operation_id="list_results",
)
async def list_results(
    execution: Known,
    who: Viewer,
    gateway: Parts,
    status: Annotated[ResultStatus | None, Query(description="in this status only")] = None,
    limit: cursors.Limit = 100,
    cursor: cursors.Cursor = None,
) -> Page[Result]:
    after = cursors.decode_time(cursor, cursors.FIRST)
    where = (execution.id, execution.executed_at)
    rows = await gateway.database.tenant_rows(who.tenant, "results", limit + 1, *where, *after, status)
    page = rows[:limit]
    artifacts = await _artifacts_of(gateway, who.tenant, execution.id, page)
    items = [Result(**_result(row, artifacts[row["id"]])) for row in page]
    return Page(items=items, next_cursor=_next(rows, limit))


@router.get("/results/{result_id}", tags=["results"], summary="One attempt with all it left", operation_id="get_result")
async def get_result(result_id: UUID, who: Viewer, gateway: Parts) -> ResultDetail:
    row = await gateway.database.tenant_row(who.tenant, "result", result_id)
    if row is None:
        raise not_found("result", result_id)
    artifacts = await _artifacts_of(gateway, who.tenant, row["execution_id"], [row])
    metrics = await gateway.database.tenant_rows(who.tenant, "metrics_of_results", row["execution_id"], [result_id])
    return ResultDetail(**_result(row, artifacts[result_id]), metrics=[Metric(**_metric(metric)) for metric in metrics])


@router.get(
    "/executions/{execution_id}/metrics",
    tags=["results"],
    summary="What the cases of an execution measured",
    operation_id="list_metrics",
)
async def list_metrics(
    execution: Known,
    who: Viewer,
    gateway: Parts,
    name: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="this metric only")] = None,
    limit: cursors.Limit = 100,
    cursor: cursors.Cursor = None,
) -> Page[MetricOfCase]:
    after = cursors.decode_time(cursor, cursors.FIRST)
    where = (execution.id, execution.executed_at)
    rows = await gateway.database.tenant_rows(who.tenant, "metrics", limit + 1, *where, *after, name)
    items = [MetricOfCase(**_metric(row), case=row["test_name"], attempt=row["attempt"]) for row in rows[:limit]]
    return Page(items=items, next_cursor=_next(rows, limit))


@router.get(
    "/executions/{execution_id}/artifacts",
    tags=["artifacts"],
    summary="The files that the cases of an execution left",
    operation_id="list_artifacts",
)
async def list_artifacts(
    execution: Known, who: Viewer, gateway: Parts, limit: cursors.Limit = 100, cursor: cursors.Cursor = None
) -> Page[ArtifactOfCase]:
    after = cursors.decode_time(cursor, cursors.FIRST)
    where = (execution.id, execution.executed_at)
    rows = await gateway.database.tenant_rows(who.tenant, "artifacts", limit + 1, *where, *after)
    items = [ArtifactOfCase(**_artifact(row), case=row["test_name"], attempt=row["attempt"]) for row in rows[:limit]]
    return Page(items=items, next_cursor=_next(rows, limit))


@router.get(
    "/artifacts/{artifact_id}",
    tags=["artifacts"],
    summary="A file: the bytes, or a link to them",
    operation_id="get_artifact",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        302: {"description": "The store has the file under a link that works for 7 days"},
    },
)
async def get_artifact(artifact_id: UUID, who: Viewer, gateway: Parts) -> Response:
    row = await gateway.database.tenant_row(who.tenant, "artifact", artifact_id)
    # A key that is not under the tenant would be another's file, whatever the row says.
    if row is None or not row["key"].startswith(f"{who.tenant}/"):
        raise not_found("artifact", artifact_id)
    link = await gateway.store.presign(row["key"], row["name"])
    if link is not None:
        return RedirectResponse(link, 302, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    pieces = gateway.store.get(row["key"])
    try:
        first = await anext(pieces, b"")
    except ArtifactMissing as error:
        raise Refusal(404, "the file is not kept any more") from error

    async def body() -> Any:
        yield first
        async for piece in pieces:
            yield piece

    shown = "inline" if row["content_type"].partition(";")[0] in SAFE_TO_SHOW else "attachment"
    headers = {
        "Content-Disposition": f'{shown}; filename="{_file_name(row["name"])}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Length": str(row["size"]),
        "Cache-Control": "private, max-age=3600",
    }
    return StreamingResponse(body(), media_type=row["content_type"], headers=headers)


async def _artifacts_of(
    gateway: Gateway, tenant: str, execution_id: UUID, results: Sequence[Mapping[str, Any]]
) -> defaultdict[UUID, list[Mapping[str, Any]]]:
    found: defaultdict[UUID, list[Mapping[str, Any]]] = defaultdict(list)
    ids = [row["id"] for row in results]
    for row in await gateway.database.tenant_rows(tenant, "artifacts_of_results", execution_id, ids) if ids else ():
        found[row["test_result_id"]].append(row)
    return found


def _next(rows: Sequence[Mapping[str, Any]], limit: int) -> str | None:
    if len(rows) <= limit:
        return None
    created_at: datetime = rows[limit - 1]["created_at"]
    return cursors.encode(created_at, rows[limit - 1]["id"])


def _result(row: Mapping[str, Any], artifacts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # The row has keys of the store; what is given out is where the API serves them.
    links = {artifact["key"]: _url(artifact["id"]) for artifact in artifacts}
    return {
        "id": row["id"],
        "execution_id": row["execution_id"],
        "case": row["test_name"],
        "skill": row["skill_name"],
        "kind": row["kind"],
        "role": row["role"],
        "attempt": row["attempt"],
        "status": row["status"],
        "error_type": row["error_type"],
        "error_message": row["error_message"],
        "stack_trace": row["stack_trace"],
        "duration_ms": row["execution_time_ms"],
        "started_at": row["started_at"],
        "finished_at": row["created_at"],
        "executor": row["executor"],
        "steps": [StepOfResult(**step) for step in row["steps"] or ()],
        "artifacts": [Artifact(**_artifact(artifact)) for artifact in artifacts],
        "screenshot_url": links.get(row["screenshot_url"]),
        "video_url": links.get(row["video_url"]),
        "log_url": links.get(row["log_url"]),
    }


def _metric(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "result_id": row["test_result_id"],
        "name": row["metric_name"],
        "value": row["metric_value"],
        "unit": row["metric_unit"],
        "created_at": row["created_at"],
    }


def _artifact(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "result_id": row["test_result_id"],
        "name": row["name"],
        "kind": row["kind"],
        "content_type": row["content_type"],
        "size": row["size"],
        "sha256": row["sha256"],
        "url": _url(row["id"]),
        "created_at": row["created_at"],
    }


def _url(artifact_id: UUID) -> str:
    return f"/api/v1/artifacts/{artifact_id}"


def _file_name(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-" for letter in name)
