"""Suites: saved, read, deleted, checked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.gateway import cursor as cursors
from services.gateway import definitions
from services.gateway.access import Editor, Parts, SuiteName, Viewer
from services.gateway.models import Page, Saved, Statistics, Suite, SuiteRow, Valid
from services.gateway.problems import Refusal
from shared.events import SuiteSaved

router = APIRouter(prefix="/suites", tags=["suites"])

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
# The body is read by hand, for its two forms; this is what the document says of it.
_SCHEMA = {"schema": {"$ref": "#/components/schemas/SuiteDefinition"}}
_EXAMPLE = {
    "suite": "checkout",
    "schedule": "*/15 * * * *",
    "variables": {"base_url": "http://127.0.0.1:8000"},
    "cases": [{"name": "front page", "skill": "http-check", "params": {"url": "${base_url}/"}}],
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {**_SCHEMA, "example": _EXAMPLE}, "application/yaml": _SCHEMA},
    }
}


@router.get("", summary="List suites by name", operation_id="list_suites")
async def list_suites(
    who: Viewer, gateway: Parts, limit: cursors.Limit = 50, cursor: cursors.Cursor = None
) -> Page[SuiteRow]:
    found, more = await gateway.suites.page(who.tenant, cursors.decode_name(cursor), limit)
    last = await gateway.database.tenant_rows(who.tenant, "last_executions", [saved.suite_id for saved in found])
    by_suite = {row["suite_id"]: row for row in last}
    rows = [_row(saved, by_suite.get(saved.suite_id)) for saved in found]
    return Page(items=rows, next_cursor=cursors.encode(found[-1].suite) if more else None)


@router.post(
    "",
    summary="Save a suite; saying the same again changes nothing",
    operation_id="save_suite",
    openapi_extra=_BODY,
    responses={201: {"model": Saved, "description": "A suite that was not there before"}},
)
async def save_suite(
    request: Request,
    response: Response,
    who: Editor,
    gateway: Parts,
    dry_run: Annotated[bool, Query(description="check and compare only")] = False,
) -> Saved:
    definition = await gateway.suites.check(*await _body(request))
    saving = await gateway.suites.save(who.tenant, definition, who.name, datetime.now(UTC), dry_run)
    if saving.created and not dry_run:
        response.status_code = 201
        response.headers["Location"] = f"{request.url.path.rstrip('/')}/{definition.suite}"
    return Saved(
        id=saving.saved.suite_id,
        name=saving.saved.suite,
        revision=saving.saved.revision,
        changed=bool(saving.changes),
        created=saving.created,
        dry_run=dry_run,
        changes=saving.changes,
        before=saving.before,
        definition=saving.saved.definition,
    )


@router.post("/validate", summary="Check a suite without saving it", operation_id="check_suite", openapi_extra=_BODY)
async def check_suite(request: Request, who: Viewer, gateway: Parts) -> Valid:
    definition = await gateway.suites.check(*await _body(request))
    return Valid(name=definition.suite, cases=len(definition.cases), definition=definition.document())


@router.get("/{name}", summary="A suite with its definition and statistics", operation_id="get_suite")
async def get_suite(name: SuiteName, who: Viewer, gateway: Parts) -> Suite:
    saved = await gateway.suites.get(who.tenant, name)
    row = await gateway.database.tenant_row(who.tenant, "statistics_of", name)
    return Suite(
        id=saved.suite_id,
        name=saved.suite,
        revision=saved.revision,
        definition=saved.definition,
        created_at=saved.created_at,
        saved_at=saved.saved_at,
        saved_by=saved.saved_by,
        statistics=statistics_of(row) if row else None,
    )


@router.delete("/{name}", summary="Delete a suite; what it ran stays", operation_id="delete_suite", status_code=204)
async def delete_suite(name: SuiteName, who: Editor, gateway: Parts) -> None:
    await gateway.suites.delete(who.tenant, name, who.name, datetime.now(UTC))


@router.get(
    "/{name}/export",
    summary="The definition as a YAML file",
    operation_id="export_suite",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {"schema": {"type": "string"}}}}},
)
async def export_suite(name: SuiteName, who: Viewer, gateway: Parts) -> Response:
    saved = await gateway.suites.get(who.tenant, name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.yaml"'}
    return Response(definitions.to_yaml(saved.definition), media_type="application/yaml", headers=headers)


async def _body(request: Request) -> tuple[bytes, bool]:
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type not in (*YAML_TYPES, "application/json"):
        raise Refusal(415, f"a suite is application/json or application/yaml, not {media_type!r}")
    return await request.body(), media_type in YAML_TYPES


def statistics_of(row: Mapping[str, Any]) -> Statistics:
    return Statistics(
        suite_id=row["suite_id"],
        suite_name=row["suite_name"],
        total_executions=row["total_executions"],
        passed_executions=row["passed_executions"],
        failed_executions=row["failed_executions"],
        pass_rate=row["pass_rate"],
        avg_execution_time_ms=row["avg_execution_time_ms"],
        last_execution_at=row["last_execution_at"],
    )


def _row(saved: SuiteSaved, last: Mapping[str, Any] | None) -> SuiteRow:
    definition = saved.definition
    return SuiteRow(
        id=saved.suite_id,
        name=saved.suite,
        revision=saved.revision,
        description=definition.get("description", ""),
        enabled=definition.get("enabled", True),
        schedule_cron=definition.get("schedule"),
        timezone=definition.get("timezone", "UTC"),
        cases=sum(1 for case in definition.get("cases", ()) if case.get("enabled", True)),
        created_at=saved.created_at,
        updated_at=saved.saved_at,
        last_execution_id=last["id"] if last else None,
        last_status=last["status"] if last else None,
        last_execution_at=last["executed_at"] if last else None,
    )
