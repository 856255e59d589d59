"""Definitions over REST: saved once, refused with the field that is wrong, kept apart by tenant."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
import yaml

from shared.bus import lookup
from shared.bus.topology import EVENTS
from shared.events import SuiteSaved, decode
from tests.integration.gateway.conftest import Bus, Tenant, definition, eventually
from tests.integration.gateway.stage import Stage


async def said(bus: Bus, tenant: Tenant) -> list[tuple[str, int]]:
    """(what happened, revision) of every suite event of a tenant."""
    found = []
    async for message in lookup.messages(bus.nc, EVENTS.name, f"wg.{tenant.name}.event.suite.>"):
        what = message.subject.split(".")[4]
        found.append((what, int(json.loads(message.data)["revision"])))
    return found


async def test_the_same_definition_again_is_the_same_revision(tenant: Tenant, events: Bus) -> None:
    first = await tenant.api.post("/suites", json=definition())
    assert (first.status_code, first.json()["revision"], first.json()["created"]) == (201, 1, True)
    again = await tenant.api.post("/suites", json=definition())
    assert (again.status_code, again.json()["revision"], again.json()["changed"]) == (200, 1, False)
    changed = await tenant.api.post("/suites", json=definition(max_concurrent_tests=7))
    assert changed.status_code == 200
    answer = changed.json()
    assert (answer["revision"], answer["changed"], answer["created"]) == (2, True, False)
    assert answer["changes"] == [{"field": "max_concurrent_tests", "before": None, "after": 7}]
    assert await said(events, tenant) == [("saved", 1), ("saved", 2)]


async def test_a_saved_case_has_its_kind_and_the_timeout_of_its_skill(tenant: Tenant) -> None:
    await tenant.api.post("/suites", json=definition())
    suite = (await tenant.api.get("/suites/checkout")).json()
    (case,) = suite["definition"]["cases"]
    assert (case["kind"], case["timeout_seconds"]) == ("api", 45)
    assert suite["saved_by"] == f"admin of {tenant.name}"


async def test_a_dry_run_compares_and_saves_nothing(tenant: Tenant, events: Bus) -> None:
    answer = await tenant.api.post("/suites?dry_run=true", json=definition())
    assert (answer.status_code, answer.json()["changed"], answer.json()["dry_run"]) == (200, True, True)
    assert (await tenant.api.get("/suites/checkout")).status_code == 404
    assert await said(events, tenant) == []


async def test_yaml_is_taken_and_given_back_as_the_same_definition(tenant: Tenant) -> None:
    text = yaml.safe_dump(definition(description="Größe: no", schedule="*/5 * * * *"), allow_unicode=True)
    headers = {"content-type": "application/yaml"}
    assert (await tenant.api.post("/suites", content=text.encode(), headers=headers)).status_code == 201
    exported = await tenant.api.get("/suites/checkout/export")
    assert exported.headers["content-type"].startswith("application/yaml")
    again = await tenant.api.post("/suites", content=exported.content, headers=headers)
    assert again.json()["changed"] is False


CASE: dict[str, Any] = {"name": "a", "skill": "http-check", "params": {"url": "http://127.0.0.1:1"}}


@pytest.mark.parametrize(
    ("document", "field", "text"),
    [
        (definition(schedule="61 * * * *"), "schedule", "61 * * * *"),
        (definition(timezone="Mars/Olympus"), "timezone", "IANA"),
        (definition(cases=[{**CASE, "skill": "http-chekc"}]), "cases.0.skill", "http-check"),
        (
            definition(cases=[{**CASE, "depends_on": ["b"]}, {**CASE, "name": "b", "depends_on": ["a"]}]),
            "cases.0.depends_on",
            "wait for each other",
        ),
        (definition(cases=[{**CASE, "params": {"url": "${nowhere}"}}]), "cases.0.params", "${nowhere}"),
        (definition(cases=[CASE, {**CASE, "name": "b", "params": {"url": 7}}]), "cases.1.params.url", "string"),
        (definition(cases=[{**CASE, "params": {"uri": "x", "url": "y"}}]), "cases.0.params", "known: method, url"),
        (definition(cases=[CASE, CASE]), "cases.1.name", "already"),
        (definition(case=[]), "case", "not permitted"),
        ({"suite": "a.b", "cases": [CASE]}, "suite", "pattern"),
        ([], "", "dictionary"),
    ],
)
async def test_a_definition_that_is_wrong_is_refused_with_its_field(
    tenant: Tenant, document: Any, field: str, text: str
) -> None:
    for path in ("/suites", "/suites/validate", "/suites?dry_run=true"):
        answer = await tenant.api.post(path, json=document)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert field in [error["field"] for error in answer.json()["errors"]]
        assert text in next(e["message"] for e in answer.json()["errors"] if e["field"] == field)
    assert (await tenant.api.get("/suites")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"\xff", "application/json", 422),
        (b"a: [", "application/yaml", 422),
        (b"a: !!python/object/apply:os.system [true]", "application/yaml", 422),
        (b"x: &x [*x]", "application/yaml", 422),
        (b'{"suite": "\\ud800"}', "application/json", 422),
        (b'x: "\\ud800"', "application/yaml", 422),
        (b"x: .inf", "application/yaml", 422),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
            b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
            b"f: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
            "application/yaml",
            422,
        ),
        (b"x" * (5 << 20), "application/json", 413),
        (b"suite", "text/csv", 415),
    ],
)
async def test_a_body_that_is_no_document_is_a_problem(
    tenant: Tenant, body: bytes, media_type: str, status: int
) -> None:
    answer = await tenant.api.post("/suites", content=body, headers={"content-type": media_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_suite_that_is_too_large_for_a_message_is_refused(tenant: Tenant) -> None:
    answer = await tenant.api.post("/suites", json=definition(description="x" * 1_100_000))
    assert answer.status_code == 422
    assert "split" in answer.json()["detail"]


async def test_a_deleted_suite_is_gone_and_its_revisions_go_on(tenant: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    assert (await tenant.api.delete("/suites/checkout")).status_code == 204
    assert (await tenant.api.get("/suites/checkout")).status_code == 404
    assert (await tenant.api.delete("/suites/checkout")).status_code == 404
    assert (await tenant.api.get("/suites")).json()["items"] == []
    again = await tenant.api.post("/suites", json=definition())
    assert (again.status_code, again.json()["revision"]) == (201, 3)
    assert await said(events, tenant) == [("saved", 1), ("deleted", 2), ("saved", 3)]


async def test_every_suite_is_on_one_page_and_one_only(tenant: Tenant) -> None:
    names = [f"suite-{number:02}" for number in range(12)]
    for name in names:
        assert (await tenant.api.post("/suites", json=definition(name))).status_code == 201
    for name in names[3:8]:
        await tenant.api.delete(f"/suites/{name}")
    seen, cursor, pages = [], None, 0
    while True:
        page = (await tenant.api.get("/suites", params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        seen += [suite["name"] for suite in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
        if cursor is None:
            break
    assert (seen, pages) == ([*names[:3], *names[8:]], 3)


async def test_two_who_save_at_once_make_two_revisions(tenant: Tenant, events: Bus) -> None:
    await tenant.api.post("/suites", json=definition())
    answers = await asyncio.gather(
        *[tenant.api.post("/suites", json=definition(max_concurrent_tests=n)) for n in (6, 7, 8)]
    )
    assert sorted(answer.json()["revision"] for answer in answers) == [2, 3, 4]
    assert sorted(await said(events, tenant)) == [("saved", n) for n in (1, 2, 3, 4)]


async def test_a_tenant_sees_no_suite_of_another(tenant: Tenant, other: Tenant) -> None:
    await tenant.api.post("/suites", json=definition())
    assert (await other.api.get("/suites")).json()["items"] == []
    for answer in (
        await other.api.get("/suites/checkout"),
        await other.api.get("/suites/checkout/export"),
        await other.api.delete("/suites/checkout"),
        await other.api.post("/executions/trigger", json={"suite": "checkout"}),
    ):
        assert answer.status_code == 404
    assert (await tenant.api.get("/suites/checkout")).status_code == 200


async def test_a_viewer_reads_and_changes_nothing(tenant: Tenant) -> None:
    await tenant.api.post("/suites", json=definition())
    viewer = tenant.as_role("viewer")
    assert (await tenant.api.get("/suites/checkout", headers=viewer)).status_code == 200
    assert (await tenant.api.post("/suites/validate", json=definition(), headers=viewer)).status_code == 200
    for answer in (
        await tenant.api.post("/suites", json=definition(), headers=viewer),
        await tenant.api.delete("/suites/checkout", headers=viewer),
        await tenant.api.post("/executions/trigger", json={"suite": "checkout"}, headers=viewer),
    ):
        assert answer.status_code == 403
        assert "editor" in answer.json()["detail"]


async def test_a_save_whose_event_was_lost_is_announced_when_a_gateway_starts(
    tenant: Tenant, gateway: Stage, events: Bus, owner: Any
) -> None:
    await tenant.api.post("/suites", json=definition())

    async def recorded() -> Any:
        return await owner.fetchval("select revision from test_suites where tenant = $1", tenant.name)

    await eventually(recorded)
    # As if the event had never come: the duplicate window does not hold it back, its message is erased.
    await owner.execute("delete from test_suites where tenant = $1", tenant.name)
    saved = await lookup.last(events.nc, "KV_suites", f"$KV.suites.{tenant.name}.checkout")
    assert saved is not None
    later = decode(saved.data, SuiteSaved)
    unsaid = msgspec.structs.replace(later, revision=2)
    await events.nc.jetstream().publish(saved.subject, msgspec.json.encode(unsaid))
    with gateway.service("gateway"):

        async def announced() -> bool:
            return bool(await recorded() == 2)

        await eventually(announced)
