"""From a suite to recorded results, on the whole platform, by the ways users and other systems have."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client as Nats

from shared.bus.connection import connect
from shared.events.ids import execution_id
from shared.settings import Settings
from webguard.local.launcher import Launcher

ENDED = ("passed", "failed", "error", "timeout", "cancelled", "skipped")


class Api:
    """The REST API as a foreign client sees it."""

    def __init__(self, launcher: Launcher) -> None:
        credentials = json.loads((launcher.folder / "credentials.json").read_text())
        headers = {"Authorization": f"Bearer {credentials['api_key']}"}
        self.http = httpx.Client(base_url=f"{launcher.url}/api/v1", headers=headers, timeout=20)

    def save(self, **definition: Any) -> httpx.Response:
        return self.http.post("/suites", json=definition)

    def trigger(self, suite: str, **more: Any) -> str:
        answer = self.http.post("/executions/trigger", json={"suite": suite, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["execution_id"])

    def until(self, true: Callable[[], Any], seconds: float = 60) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)
        return found

    def results(self, execution: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"limit": "200", **({"cursor": cursor} if cursor else {})}
            page = self.http.get(f"/executions/{execution}/results", params=query).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def ended(self, execution: str, seconds: float = 60) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The execution and its results, when it has ended and all of it is recorded."""

        def look() -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
            answer = self.http.get(f"/executions/{execution}")
            if answer.status_code != 200 or answer.json()["status"] not in ENDED:
                return None
            results = self.results(execution)
            total = answer.json()["total"]
            return (answer.json(), results) if len({r["case"] for r in results}) >= total else None

        found: tuple[dict[str, Any], list[dict[str, Any]]] = self.until(look, seconds)
        return found


@pytest.fixture
def api(platform: Launcher) -> Api:
    found = Api(platform)
    found.until(lambda: "noop" in {s["name"] for s in found.http.get("/skills").json()})
    return found


@pytest.fixture
async def nats(platform: Launcher) -> AsyncIterator[Nats]:
    runtime = json.loads((platform.folder / "runtime.json").read_text())
    password = (platform.folder / "nats" / "admin.password").read_text()
    settings = {"nats_url": runtime["nats_url"], "nats_user": "admin", "nats_password": password}
    nc = await connect(Settings.model_validate(settings), "test")
    yield nc
    await nc.close()


def noop(name: str, **params: Any) -> dict[str, Any]:
    more = {
        key: params.pop(key) for key in ("depends_on", "retry", "timeout_seconds", "priority", "save") if key in params
    }
    case: dict[str, Any] = {"name": name, "skill": "noop", "params": params}
    return case | more


async def test_plain_json_from_any_nats_client_runs_a_suite(api: Api, nats: Nats) -> None:
    api.save(suite="foreign", cases=[noop("a"), noop("b")])
    key = uuid4().hex
    body = {"suite": "foreign", "idempotency_key": key, "a field of tomorrow": 1}
    await nats.publish("wg.default.request.execute", json.dumps(body).encode())
    await nats.publish("wg.default.request.execute", json.dumps(body).encode())
    execution, results = await asyncio.to_thread(api.ended, str(execution_id("default", key)))
    assert execution["status"] == "passed"
    assert [(r["case"], r["attempt"]) for r in sorted(results, key=lambda r: r["case"])] == [("a", 1), ("b", 1)]


def test_a_workflow_ends_as_its_cases_say(api: Api) -> None:
    api.save(
        suite="workflow",
        max_concurrent_tests=2,
        retry={"attempts": 3, "backoff_seconds": 0.1},
        cases=[
            noop("flaky", fail_attempts=1, outputs={"n": 41}, save={"n": "n"}),
            noop("after it", depends_on=["flaky"], outputs={"got": "${n}"}),
            noop("broken", fail="no good", retry={"attempts": 1}),
            noop("never", depends_on=["broken"]),
            noop("slow", sleep_ms=5000, timeout_seconds=0.3, retry={"attempts": 1}),
            noop("crash", error="boom", retry={"attempts": 1}),
        ],
    ).raise_for_status()
    execution, results = api.ended(api.trigger("workflow"))
    found = {(r["case"], r["attempt"]): (r["status"], r["error_type"]) for r in results}
    assert found == {
        ("flaky", 1): ("failed", "assertion"),
        ("flaky", 2): ("passed", None),
        ("after it", 1): ("passed", None),
        ("broken", 1): ("failed", "assertion"),
        ("never", 1): ("skipped", None),
        ("slow", 1): ("timeout", "timeout"),
        ("crash", 1): ("error", "system"),
    }
    assert execution["status"] == "failed"
    assert (execution["passed"], execution["failed"], execution["skipped"], execution["flaky"]) == (2, 3, 1, 1)


def test_cancel_ends_what_runs_and_starts_nothing_more(api: Api) -> None:
    api.save(suite="long", max_concurrent_tests=1, cases=[noop("runs", sleep_ms=60_000), noop("waits")])
    execution_id = api.trigger("long")
    api.until(lambda: api.http.get("/executions", params={"suite": "long", "status": "running"}).json()["items"])
    api.until(lambda: any(s["details"].get("busy") for s in api.http.get("/status").json()["services"]))
    answer = api.http.post(f"/executions/{execution_id}/cancel", json={"reason": "wrong branch"})
    assert answer.status_code == 202, answer.text
    execution, results = api.ended(execution_id, 30)
    assert execution["status"] == "cancelled"
    assert {(r["case"], r["status"], r["error_message"]) for r in results} == {
        ("runs", "cancelled", "wrong branch"),
        ("waits", "cancelled", "wrong branch"),
    }


def test_the_same_key_is_the_same_execution(api: Api) -> None:
    api.save(suite="once", cases=[noop("a")])
    key = uuid4().hex
    assert api.trigger("once", idempotency_key=key) == api.trigger("once", idempotency_key=key)
    _, results = api.ended(api.trigger("once", idempotency_key=key))
    assert len(results) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schedule": "61 * * * *"}, "schedule"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"cases": [{"name": "a", "skill": "no-such-skill"}]}, "cases.0.skill"),
        (
            {"cases": [noop("a", depends_on=["b"]), noop("b", depends_on=["a"])]},
            "cases.0.depends_on",
        ),
        ({"cases": [noop("a", fail="${who}")]}, "cases.0.params"),
        ({"cases": [noop("a", sleep_ms="long")]}, "cases.0.params.sleep_ms"),
        ({"cases": [{"name": "a", "skill": "http-check", "params": {"url": "x", "metod": "GET"}}]}, "cases.0.params"),
        ({"cases": []}, "cases"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_definition_is_refused_with_its_field(api: Api, change: dict[str, Any], field: str) -> None:
    answer = api.save(**{"suite": "bad", "cases": [noop("a")], **change})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    fields = [error["field"] for error in answer.json()["errors"]]
    assert any(found == field or found.startswith(f"{field}.") for found in fields), answer.text
    assert api.http.get("/suites/bad").status_code == 404


async def test_malformed_messages_land_in_dead_and_stop_nobody(api: Api, nats: Nats) -> None:
    marker = f"x{uuid4().hex}"
    subjects = [
        "wg.default.request.execute",
        "wg.default.request.cancel",
        "wg.default.request.unknown",
        f"wg.default.event.case.finished.{uuid4()}",
        f"wg.default.event.suite.saved.{marker}",
        "wg.default.event.nobody.knows.this",
        f"wg.default.task.api.normal.{uuid4()}",
        f"wg.default.fired.{uuid4()}",
        "wg.default.tick.nothing",
    ]
    for subject in subjects:
        for body in (marker.encode(), b"\xff\xfe" + marker.encode(), json.dumps({"x": marker}).encode()):
            await nats.publish(subject, body)
    wanted = {
        ("request.execute", "dispatcher"),
        ("request.cancel", "dispatcher"),
        ("request.unknown", "dispatcher"),
        ("event.case.finished", "dispatcher"),
        ("event.case.finished", "recorder"),
        ("event.suite.saved", "recorder"),
        ("event.suite.saved", "scheduler"),
        ("event.nobody", "recorder"),
        ("task.api.normal", "executors"),
        ("fired", "dispatcher"),
        ("tick.nothing", "scheduler"),
    }
    js = nats.jetstream()
    deadline = time.monotonic() + 30
    while True:
        found: dict[tuple[str, str], int] = {}
        dead = await js.subscribe("wg.*.dead.>", stream="DEAD", ordered_consumer=True)
        last = (await js.stream_info("DEAD")).state.messages
        for _ in range(last):
            message = await dead.next_msg(timeout=5)
            if marker.encode() not in message.data:
                continue
            headers = message.headers or {}
            subject, service = headers["wg-subject"], headers["wg-service"]
            for part, by in wanted:
                if f".{part}" in subject and by == service:
                    found[part, by] = found.get((part, by), 0) + 1
            assert headers["wg-reason"]
        await dead.unsubscribe()
        if set(found) == wanted and all(count >= 2 for count in found.values()):
            break
        assert time.monotonic() < deadline, f"not in DEAD: {wanted - set(found)}"
        await asyncio.sleep(0.2)
    await asyncio.to_thread(api.save, suite="after", cases=[noop("a")])
    identity = await asyncio.to_thread(api.trigger, "after")
    execution, _ = await asyncio.to_thread(api.ended, identity)
    assert execution["status"] == "passed"


def test_evidence_of_a_browser_case_can_be_fetched(api: Api, platform: Launcher) -> None:
    page = f"{platform.url}/docs"
    steps = [{"goto": page}, {"screenshot": {"name": "docs"}}, {"expect": {"text": "no such words here"}}]
    params = {"steps": steps, "expect_timeout_seconds": 0.5, "fail_on_page_error": False}
    api.save(suite="evidence", cases=[{"name": "a", "skill": "browser-flow", "params": params}]).raise_for_status()
    execution, _ = api.ended(api.trigger("evidence"))
    assert execution["status"] == "failed"
    artifacts = api.http.get(f"/executions/{execution['id']}/artifacts").json()["items"]
    kinds = {a["kind"]: a for a in artifacts}
    assert {"screenshot", "trace"} <= set(kinds)
    picture = api.http.get(f"/artifacts/{kinds['screenshot']['id']}")
    content = picture.content if picture.status_code == 200 else httpx.get(picture.headers["location"]).content
    assert content.startswith(b"\x89PNG")
    metrics = api.http.get(f"/executions/{execution['id']}/metrics").json()["items"]
    assert metrics


def test_the_platform_knows_who_is_alive(api: Api) -> None:
    services = {s["service"] for s in api.http.get("/status").json()["services"]}
    assert {"scheduler", "dispatcher", "executors", "recorder"} <= services


def test_skills_of_every_kind_are_offered(api: Api) -> None:
    kinds = {s["name"]: s["kind"] for s in api.http.get("/skills").json()}
    assert {kinds["http-check"], kinds["browser-flow"], kinds["dataset-check"]} == {"api", "browser", "data"}
