"""What the platform has and how it does: skills, statistics, status."""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from services.gateway import cursor as cursors
from services.gateway.access import Parts, Viewer
from services.gateway.models import Page, Skill, Statistics, Status
from services.gateway.problems import not_found
from services.gateway.routes.suites import statistics_of
from services.gateway.status import status
from shared.events.ids import TOKEN
from shared.suites import SuiteDefinition

router = APIRouter()


@router.get("/skills", tags=["skills"], summary="List the skills that executors offer", operation_id="list_skills")
async def list_skills(who: Viewer, gateway: Parts) -> list[Skill]:
    return [Skill(**{**row, "kind": row["category"]}) for row in await gateway.database.rows("skills")]


@router.get("/skills/{name}", tags=["skills"], summary="A skill and the params it takes", operation_id="get_skill")
async def get_skill(name: Annotated[str, Path(pattern=f"^{TOKEN.pattern}$")], who: Viewer, gateway: Parts) -> Skill:
    row = await gateway.database.row("skill", name)
    if row is None:
        raise not_found("skill", name)
    return Skill(**{**row, "kind": row["category"]})


@router.get(
    "/statistics",
    tags=["statistics"],
    summary="Pass rates and durations of every suite over 30 days",
    operation_id="list_statistics",
)
async def list_statistics(
    who: Viewer, gateway: Parts, limit: cursors.Limit = 100, cursor: cursors.Cursor = None
) -> Page[Statistics]:
    rows = await gateway.database.tenant_rows(who.tenant, "statistics", limit + 1, cursors.decode_name(cursor))
    items = [statistics_of(row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cursors.encode(items[-1].suite_name) if len(rows) > limit else None)


@router.get("/schemas/suite", tags=["suites"], summary="The JSON Schema of a suite file", operation_id="suite_schema")
async def suite_schema() -> dict[str, Any]:
    return SuiteDefinition.model_json_schema()


@router.get("/status", tags=["status"], summary="How the platform does now", operation_id="get_status")
async def get_status(who: Viewer, gateway: Parts) -> Status:
    return await status(gateway.app.nc, gateway.database, who.tenant)
