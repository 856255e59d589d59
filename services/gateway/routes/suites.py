"""Suites: what is tested."""

from datetime import UTC, datetime
from typing import Any

import yaml
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from services.gateway.deps import CallerDep, Cursor, EditorDep, Limit, PartsDep
from services.gateway.models import Page, Statistics, Suite, SuiteSavedAnswer, SuiteSummary
from services.gateway.problems import FieldError, ProblemError
from shared.suites import SuiteDefinition

router = APIRouter(tags=["suites"])
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/suites")
async def list_suites(who: CallerDep, use: PartsDep, limit: Limit = 50, cursor: Cursor = None) -> Page[SuiteSummary]:
    """Suites by name, each with its last execution."""
    rows = await use.database.rows(who.tenant, "suites", cursor, limit + 1)
    items = [SuiteSummary(**row) for row in rows[:limit]]
    return Page(items=items, next_cursor=items[-1].name if len(rows) > limit else None)


@router.get("/suites/schema")
async def suite_schema() -> dict[str, Any]:
    """The JSON Schema of a suite file, for editors."""
    return SuiteDefinition.model_json_schema()


@router.post("/suites/validate", openapi_extra=BODY)
async def validate_suite(request: Request, who: CallerDep, use: PartsDep) -> dict[str, Any]:
    """Check a definition without saving it; answers with what would be saved."""
    return (await use.definitions.validate(who.tenant, await read_body(request))).document()


@router.post("/suites", openapi_extra=BODY, responses={201: {"model": SuiteSavedAnswer}})
async def save_suite(
    request: Request,
    response: Response,
    who: EditorDep,
    use: PartsDep,
    dry_run: bool = Query(False, description="check and compare, save nothing"),
) -> SuiteSavedAnswer:
    """Create a suite or save a new revision of it. The same definition again changes nothing."""
    suite = await use.definitions.validate(who.tenant, await read_body(request))
    before: dict[str, Any] | None = None
    try:
        before = (await use.definitions.get(who.tenant, suite.suite)).definition
    except ProblemError as error:
        if error.status != 404:
            raise
    saved = await use.definitions.save(who.tenant, suite, who.name, datetime.now(UTC), dry_run=dry_run)
    if saved.created and not dry_run:
        response.status_code = 201
    return SuiteSavedAnswer(
        id=saved.event.suite_id,
        name=saved.event.suite,
        revision=saved.event.revision,
        created=saved.created,
        changed=saved.changed,
        dry_run=dry_run,
        before=before,
        definition=saved.event.definition,
    )


@router.get("/suites/{name}")
async def get_suite(name: str, who: CallerDep, use: PartsDep) -> Suite:
    """A suite as it is defined now, with its statistics."""
    saved = await use.definitions.get(who.tenant, name)
    statistics = await use.database.row(who.tenant, "statistics", name)
    return Suite(
        id=saved.suite_id,
        name=saved.suite,
        revision=saved.revision,
        definition=saved.definition,
        created_at=saved.created_at,
        saved_at=saved.saved_at,
        saved_by=saved.saved_by,
        statistics=Statistics(**statistics) if statistics else None,
    )


@router.get("/suites/{name}/export", response_class=PlainTextResponse)
async def export_suite(name: str, who: CallerDep, use: PartsDep) -> PlainTextResponse:
    """A suite as a YAML file that `webguard apply` takes."""
    saved = await use.definitions.get(who.tenant, name)
    text = yaml.safe_dump(saved.definition, sort_keys=False, allow_unicode=True, width=100)
    return PlainTextResponse(text, media_type="application/yaml")


@router.delete("/suites/{name}", status_code=204)
async def delete_suite(name: str, who: EditorDep, use: PartsDep) -> None:
    """Delete a suite; what it ran stays."""
    await use.definitions.delete(who.tenant, name, who.name, datetime.now(UTC))


@router.get("/statistics")
async def statistics(who: CallerDep, use: PartsDep) -> list[Statistics]:
    """Every suite over the last 30 days."""
    return [Statistics(**row) for row in await use.database.rows(who.tenant, "statistics", None)]


async def read_body(request: Request) -> Any:
    """JSON, or YAML where the content type says so.

    Raises:
        ProblemError: 422, neither.
    """
    data = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    try:
        if kind in ("application/yaml", "application/x-yaml", "text/yaml"):
            return yaml.safe_load(data)
        return await request.json()
    except (ValueError, yaml.YAMLError) as error:
        fault = FieldError(field="body", message=" ".join(str(error).split()))
        raise ProblemError(422, "the body cannot be read", [fault]) from error
