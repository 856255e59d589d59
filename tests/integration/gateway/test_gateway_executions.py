"""Executions over REST: asked for once, found at any moment of their life, watched, kept apart by tenant."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from httpx import Response

from shared.bus import lookup
from shared.bus.topology import EVENTS, REQUESTS
from shared.events import (
    CancelRequest,
    CaseFinished,
    ExecuteRequest,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionStarted,
    Metric,
    Step,
    decode,
)
from shared.events.ids import execution_id as execution_id_of
from shared.events.ids import suite_id
from tests.integration.gateway.conftest import Bus, Tenant, definition, eventually
from tests.integration.gateway.stage import Stage

NOW = datetime.now(UTC).replace(microsecond=0)


def started(tenant: Tenant, execution: UUID, at: datetime = NOW, suite: str = "checkout") -> ExecutionStarted:
    return ExecutionStarted(
        tenant=tenant.name,
        execution_id=execution,
        suite=suite,
        suite_id=suite_id(tenant.name, suite),
        revision=1,
        total=2,
        triggered_by="ci",
        executed_at=at,
        started_at=at,
        ci_branch="main",
    )


def finished_case(tenant: Tenant, execution: UUID, case: str, at: datetime = NOW, **more: Any) -> CaseFinished:
    fields: dict[str, Any] = {"attempt": 1, "status": "passed", **more}
    return CaseFinished(
        tenant=tenant.name,
        execution_id=execution,
        suite="checkout",
        executed_at=at,
        case=case,
        skill="http-check",
        kind="api",
        started_at=at,
        finished_at=at + timedelta(milliseconds=250),
        **fields,
    )


def ended(
    tenant: Tenant, execution: UUID, status: Any = "passed", at: datetime = NOW, suite: str = "checkout"
) -> ExecutionFinished:
    return ExecutionFinished(
        tenant=tenant.name,
        execution_id=execution,
        suite=suite,
        suite_id=suite_id(tenant.name, suite),
        status=status,
        executed_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=2),
        total=2,
        passed=1,
        failed=1,
    )


async def requests_of(bus: Bus, tenant: Tenant, what: str) -> list[bytes]:
    return [m.data async for m in lookup.messages(bus.nc, REQUESTS.name, f"wg.{tenant.name}.request.{what}")]


async def until_status(tenant: Tenant, execution: UUID, *statuses: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        answer = await tenant.api.get(f"/executions/{execution}")
        found: dict[str, Any] = answer.json()
        return found if found.get("status") in statuses else None

    found = await eventually(look)
    assert found is not None
    return found


async def test_a_trigger_answers_with_the_id_when_its_request_is_stored(tenant: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    body = {
        "suite": "checkout",
        "variables": {"base_url": "http://127.0.0.1:2"},
        "triggered_by": "ci",
        "ci_branch": "x",
    }
    answer = await tenant.api.post("/executions/trigger", json=body)
    assert answer.status_code == 202
    (stored,) = await requests_of(events, tenant, "execute")
    request = decode(stored, ExecuteRequest)
    assert str(execution_id_of(tenant.name, str(request.idempotency_key))) == answer.json()["execution_id"]
    assert (request.variables, request.triggered_by, request.ci_branch) == (
        {"base_url": "http://127.0.0.1:2"},
        "ci",
        "x",
    )
    assert request.requested_by == f"admin of {tenant.name}"


async def test_one_idempotency_key_is_one_execution_and_one_request(tenant: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    await tenant.api.post("/suites", json=definition("other"))
    body = {"suite": "checkout", "idempotency_key": "build-1"}
    answers = [await tenant.api.post("/executions/trigger", json=body) for _ in range(3)]
    assert {answer.json()["execution_id"] for answer in answers} == {str(execution_id_of(tenant.name, "build-1"))}
    assert [answer.json()["repeated"] for answer in answers] == [False, True, True]
    assert len(await requests_of(events, tenant, "execute")) == 1
    clash = await tenant.api.post("/executions/trigger", json={**body, "suite": "other"})
    assert clash.status_code == 409
    assert "checkout" in clash.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"suite": "nowhere"}, 404, None),
        ({"suite": "off"}, 409, None),
        ({}, 422, "suite"),
        ({"suite": "a.b"}, 422, "suite"),
        ({"suite": "off", "variables": {"a b": 1}}, 422, "variables.a b.[key]"),
        ({"suite": "off", "variables": {"a": "\ud800"}}, 422, "variables"),
        ({"suite": "off", "triggered_by": "schedule"}, 422, "triggered_by"),
        ({"suite": "off", "idempotency_key": ""}, 422, "idempotency_key"),
        ({"suite": "off", "ci_branch": "a\x00b"}, 422, "ci_branch"),
        ({"suite": "off", "branch": "x"}, 422, "branch"),
    ],
)
async def test_a_request_that_cannot_run_is_refused(
    tenant: Tenant, events: Bus, body: dict[str, Any], status: int, field: str | None
) -> None:
    await tenant.api.post("/suites", json=definition("off", enabled=False))
    headers = {"content-type": "application/json"}
    answer = await tenant.api.post("/executions/trigger", content=json.dumps(body), headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json().get("errors", [])] == ([field] if field else [])
    assert await requests_of(events, tenant, "execute") == []


async def test_a_request_larger_than_the_stream_takes_is_refused_with_what_to_do(tenant: Tenant) -> None:
    await tenant.api.post("/suites", json=definition())
    body = {"suite": "checkout", "variables": {"base_url": "x" * 300_000}}
    answer = await tenant.api.post("/executions/trigger", json=body)
    assert answer.status_code == 422
    assert "256 KB" in answer.json()["detail"]


async def test_an_execution_is_queued_then_running_then_finished(tenant: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    answer = await tenant.api.post("/executions/trigger", json={"suite": "checkout"})
    execution = UUID(answer.json()["execution_id"])
    queued = (await tenant.api.get(f"/executions/{execution}")).json()
    assert (queued["status"], queued["suite"], queued["total"]) == ("queued", "checkout", 0)
    assert (await tenant.api.get(f"/executions/{execution}/results")).json()["items"] == []
    await events.say(started(tenant, execution), finished_case(tenant, execution, "a"))
    running = await until_status(tenant, execution, "running")
    assert running["total"] == 2

    async def counted() -> bool:
        return bool((await tenant.api.get(f"/executions/{execution}")).json()["passed"] == 1)

    await eventually(counted)
    await events.say(finished_case(tenant, execution, "b", status="failed"), ended(tenant, execution, "failed"))
    last = await until_status(tenant, execution, "failed")
    assert (last["passed"], last["failed"], last["duration_ms"], last["ci_branch"]) == (1, 1, 2000, "main")


async def test_a_refused_request_is_an_execution_with_its_reason(tenant: Tenant, events: Bus) -> None:
    execution = uuid4()
    await events.say(
        ExecutionRefused(
            tenant=tenant.name,
            execution_id=execution,
            suite="checkout",
            suite_id=suite_id(tenant.name, "checkout"),
            reason="variable base_url has no value",
            triggered_by="api",
            executed_at=NOW,
        )
    )
    found = await until_status(tenant, execution, "error")
    assert found["error_message"] == "variable base_url has no value"


async def test_results_are_every_attempt_with_all_it_left(tenant: Tenant, events: Bus) -> None:
    execution = uuid4()
    steps = [
        Step(name="open", offset_ms=0, duration_ms=12.5),
        Step(name="click", offset_ms=13, duration_ms=1, parent=0),
    ]
    metrics = [Metric(name="time_total", value=12.5, unit="ms"), Metric(name="bytes", value=7, unit="bytes")]
    await events.say(
        started(tenant, execution),
        finished_case(tenant, execution, "a", status="failed", error_type="assertion", error_message="status 500"),
        finished_case(tenant, execution, "a", NOW, attempt=2, steps=steps, metrics=metrics),
        finished_case(tenant, execution, "b", status="error", error_type="network", stack_trace="trace"),
        ended(tenant, execution, "error"),
    )
    await until_status(tenant, execution, "error")

    async def all_there() -> list[dict[str, Any]] | None:
        items: list[dict[str, Any]] = (await tenant.api.get(f"/executions/{execution}/results")).json()["items"]
        return items if len(items) == 3 else None

    results = {(r["case"], r["attempt"]): r for r in await eventually(all_there) or []}
    assert results["a", 1]["error_message"] == "status 500"
    assert (results["a", 2]["status"], results["a", 2]["duration_ms"]) == ("passed", 250)
    assert [step["name"] for step in results["a", 2]["steps"]] == ["open", "click"]
    assert results["b", 1]["stack_trace"] == "trace"
    only = (await tenant.api.get(f"/executions/{execution}/results?status=failed")).json()["items"]
    assert [(r["case"], r["attempt"]) for r in only] == [("a", 1)]
    measured = (await tenant.api.get(f"/executions/{execution}/metrics")).json()["items"]
    assert {(m["name"], m["value"], m["case"], m["attempt"]) for m in measured} == {
        ("time_total", 12.5, "a", 2),
        ("bytes", 7, "a", 2),
    }
    named = (await tenant.api.get(f"/executions/{execution}/metrics?name=bytes")).json()["items"]
    assert [m["name"] for m in named] == ["bytes"]
    detail = (await tenant.api.get(f"/results/{results['a', 2]['id']}")).json()
    assert sorted(m["name"] for m in detail["metrics"]) == ["bytes", "time_total"]


async def test_every_execution_is_on_one_page_and_one_only_whatever_is_added(tenant: Tenant, events: Bus) -> None:
    executions = [uuid4() for _ in range(7)]
    # Two pairs at the same instant: the id decides their order.
    times = [NOW - timedelta(minutes=number // 2) for number in range(7)]
    for execution, at in zip(executions, times, strict=True):
        await events.say(started(tenant, execution, at), ended(tenant, execution, at=at))
    await events.say(started(tenant, uuid4(), NOW, "another"))

    async def recorded() -> bool:
        return len((await tenant.api.get("/executions")).json()["items"]) == 8

    await eventually(recorded)
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        query: dict[str, str | int] = {"limit": 3, "suite": "checkout", **({"cursor": cursor} if cursor else {})}
        page = (await tenant.api.get("/executions", params=query)).json()
        seen += page["items"]
        if cursor is None:
            late = uuid4()
            await events.say(started(tenant, late, NOW + timedelta(seconds=1)))
            await until_status(tenant, late, "running")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(e["id"] for e in seen) == sorted(map(str, executions))
    assert [e["executed_at"] for e in seen] == sorted((e["executed_at"] for e in seen), reverse=True)
    passed = (await tenant.api.get("/executions?status=passed")).json()["items"]
    assert len(passed) == 7
    assert (await tenant.api.get("/executions?suite=another&status=passed")).json()["items"] == []
    (row,) = (await tenant.api.get("/executions?suite=another")).json()["items"]
    assert row["status"] == "running"


@pytest.mark.parametrize("cursor", ["x", "!!!", "e30", "WyIxIiwiMiJd", "WyIiXQ", "a" * 1001])
async def test_a_cursor_that_is_none_of_ours_is_refused_by_name(tenant: Tenant, cursor: str) -> None:
    answer = await tenant.api.get("/executions", params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


async def test_a_cancel_is_stored_and_an_ended_execution_refuses_it(tenant: Tenant, events: Bus) -> None:
    execution, done = uuid4(), uuid4()
    await events.say(started(tenant, execution), started(tenant, done), ended(tenant, done))
    await until_status(tenant, execution, "running")
    await until_status(tenant, done, "passed")
    answer = await tenant.api.post(f"/executions/{execution}/cancel", json={"reason": "wrong branch"})
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    (stored,) = await requests_of(events, tenant, "cancel")
    assert decode(stored, CancelRequest).reason == "wrong branch"
    assert (await tenant.api.post(f"/executions/{done}/cancel")).status_code == 409
    assert (await tenant.api.post(f"/executions/{uuid4()}/cancel")).status_code == 404


async def test_a_tenant_sees_nothing_of_anothers_executions(tenant: Tenant, other: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    queued = (await tenant.api.post("/executions/trigger", json={"suite": "checkout"})).json()["execution_id"]
    execution = uuid4()
    await events.say(
        started(tenant, execution),
        finished_case(tenant, execution, "a", metrics=[Metric(name="m", value=1)]),
        ended(tenant, execution),
    )
    await until_status(tenant, execution, "passed")

    async def recorded() -> Any:
        return (await tenant.api.get(f"/executions/{execution}/results")).json()["items"]

    (result,) = await eventually(recorded)
    for identity in (queued, execution):
        for path in ("", "/results", "/metrics", "/artifacts", "/events"):
            assert (await other.api.get(f"/executions/{identity}{path}")).status_code == 404
        assert (await other.api.post(f"/executions/{identity}/cancel")).status_code == 404
    assert (await other.api.get(f"/results/{result['id']}")).status_code == 404
    assert (await other.api.get("/executions")).json()["items"] == []
    assert (await other.api.get("/statistics")).json()["items"] == []


async def test_row_level_security_holds_for_the_gateways_role_by_itself(
    tenant: Tenant, events: Bus, gateway: Stage
) -> None:
    execution = uuid4()
    await events.say(started(tenant, execution))
    await until_status(tenant, execution, "running")
    dsn = gateway.database.dsn_as("webguard_gateway", gateway.role_password)
    connection = await asyncpg.connect(dsn)
    try:
        count = "select count(*) from api_executions"
        assert await connection.fetchval(count) == 0
        async with connection.transaction():
            await connection.execute("select set_config('webguard.tenant', $1, true)", tenant.name)
            assert await connection.fetchval(count) == 1
        assert await connection.fetchval(count) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("delete from test_executions")
    finally:
        await connection.close()


@dataclass
class Seen:
    id: str
    name: str
    data: dict[str, Any]


async def stream(response: Response) -> AsyncIterator[Seen]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and fields:
            yield Seen(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


async def test_events_come_as_they_happen_and_end_with_the_execution(tenant: Tenant, events: Bus) -> None:
    execution = uuid4()
    await events.say(started(tenant, execution))
    await until_status(tenant, execution, "running")
    async with tenant.api.stream("GET", f"/executions/{execution}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        seen = stream(response)
        assert (await anext(seen)).name == "execution.started"
        await events.say(finished_case(tenant, execution, "a", saved={"token": "a secret of the session"}))
        case = await asyncio.wait_for(anext(seen), 10)
        assert (case.name, case.data["case"]) == ("case.finished", "a")
        assert "saved" not in case.data
        # Another execution's events are not for this stream.
        await events.say(started(tenant, uuid4()), ended(tenant, execution))
        rest = [event async for event in seen]
    assert [event.name for event in rest] == ["execution.finished"]


async def test_events_go_on_after_the_last_one_seen(tenant: Tenant, events: Bus) -> None:
    execution = uuid4()
    await events.say(started(tenant, execution), finished_case(tenant, execution, "a"))
    await until_status(tenant, execution, "running")
    async with tenant.api.stream("GET", f"/executions/{execution}/events") as response:
        seen = stream(response)
        first = await anext(seen)
    await events.say(finished_case(tenant, execution, "b"), ended(tenant, execution))
    url = f"/executions/{execution}/events"
    async with tenant.api.stream("GET", url, headers={"Last-Event-ID": first.id}) as response:
        rest = [event async for event in stream(response)]
    assert [e.data.get("case", e.name) for e in rest] == ["a", "b", "execution.finished"]
    # From the start, of an execution that has ended: all of it, and then the end.
    async with tenant.api.stream("GET", url) as response:
        assert len([event async for event in stream(response)]) == 4
    wrong = await tenant.api.get(url, headers={"Last-Event-ID": "first"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


async def test_who_stops_watching_leaves_no_consumer_behind(tenant: Tenant, events: Bus) -> None:
    execution = uuid4()
    await events.say(started(tenant, execution))
    await until_status(tenant, execution, "running")

    async def followers() -> int:
        found = await events.nc.jetstream().consumers_info(EVENTS.name)
        return sum(1 for c in found if str(execution) in (c.config.filter_subject or ""))

    async with tenant.api.stream("GET", f"/executions/{execution}/events") as response:
        await anext(stream(response))

        async def following() -> bool:
            return await followers() == 1

        await eventually(following)

    async def nobody() -> bool:
        return await followers() == 0

    await eventually(nobody)


async def test_statistics_are_of_every_suite_even_one_that_never_ran(tenant: Tenant, events: Bus) -> None:
    for name in ("checkout", "unused"):
        await tenant.api.post("/suites", json=definition(name))
    for status in ("passed", "passed", "failed"):
        execution = uuid4()
        await events.say(started(tenant, execution), ended(tenant, execution, status))

    async def counted() -> dict[str, Any] | None:
        items = (await tenant.api.get("/statistics")).json()["items"]
        found = {item["suite_name"]: item for item in items}
        return found if len(found) == 2 and found["checkout"]["total_executions"] == 3 else None

    found = await eventually(counted)
    assert found is not None
    assert found["checkout"]["pass_rate"] == 66.67
    assert (found["unused"]["total_executions"], found["unused"]["pass_rate"]) == (0, None)
    listed = (await tenant.api.get("/suites")).json()["items"]
    assert {s["name"]: s["last_status"] for s in listed}["unused"] is None
    assert {s["name"]: s["last_status"] for s in listed}["checkout"] in ("passed", "failed")


async def test_an_answer_without_credentials_is_401_everywhere_but_where_it_is_said(tenant: Tenant) -> None:
    async with httpx.AsyncClient(base_url=str(tenant.api.base_url).removesuffix("/api/v1/")) as nobody:
        document = (await nobody.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            for method in operations:
                if path.endswith("/auth/login"):
                    continue
                answer = await nobody.request(method, path.replace("{execution_id}", str(uuid4())), json={})
                assert (method, path, answer.status_code) == (method, path, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
            assert (await nobody.get(path)).status_code == 200
