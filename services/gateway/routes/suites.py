"""Suites: saved, read, deleted, checked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.gateway import cursor as cursors
from services.gateway import definitions
from services.gateway.access import Editor, Gateway, Parts, SuiteName, Viewer
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
    by_name = await _statistics(gateway, who.tenant, [saved.suite for saved in found])
    rows = [SuiteRow(**_row(saved, by_name.get(saved.suite))) for saved in found]
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
        name=saving.saved.suite,
        revision=saving.saved.revision,
        changed=bool(saving.changes),
        created=saving.created,
        dry_run=dry_run,
        changes=saving.changes,
    )


@router.post("/validate", summary="Check a suite without saving it", operation_id="check_suite", openapi_extra=_BODY)
async def check_suite(request: Request, who: Viewer, gateway: Parts) -> Valid:
    definition = await gateway.suites.check(*await _body(request))
    return Valid(name=definition.suite, cases=len(definition.cases))


@router.get("/{name}", summary="A suite with its definition and statistics", operation_id="get_suite")
async def get_suite(name: SuiteName, who: Viewer, gateway: Parts) -> Suite:
    saved = await gateway.suites.get(who.tenant, name)
    by_name = await _statistics(gateway, who.tenant, [name])
    return Suite(**_row(saved, by_name.get(name)), definition=saved.definition)


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


async def _statistics(gateway: Gateway, tenant: str, names: list[str]) -> dict[str, Statistics]:
    rows = await gateway.database.tenant_rows(tenant, "statistics_of", names)
    return {row["suite_name"]: statistics_of(row) for row in rows}


def statistics_of(row: Mapping[str, Any]) -> Statistics:
    return Statistics(
        suite=row["suite_name"],
        total_executions=row["total_executions"],
        passed_executions=row["passed_executions"],
        failed_executions=row["failed_executions"],
        pass_rate=row["pass_rate"],
        avg_execution_time_ms=row["avg_execution_time_ms"],
        last_execution_at=row["last_execution_at"],
    )


def _row(saved: SuiteSaved, statistics: Statistics | None) -> dict[str, Any]:
    definition = saved.definition
    return {
        "name": saved.suite,
        "revision": saved.revision,
        "description": definition.get("description", ""),
        "enabled": definition.get("enabled", True),
        "schedule": definition.get("schedule"),
        "timezone": definition.get("timezone", "UTC"),
        "cases": len(definition.get("cases", ())),
        "created_at": saved.created_at,
        "updated_at": saved.saved_at,
        "saved_by": saved.saved_by,
        "statistics": statistics,
    }
