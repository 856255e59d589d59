"""http-check against a real server."""

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from shared.skill.runner import Outcome
from shared.skill.testing import TRACE_ID, run_skill

SKILL = Path(__file__).parent


async def echo(request: Request) -> Response:
    body = (await request.body()).decode()
    headers = dict(request.headers)
    return JSONResponse(
        {"method": request.method, "query": dict(request.query_params), "body": body, "headers": headers},
        headers={"X-Kind": "Echo"},
    )


async def status(request: Request) -> Response:
    return PlainTextResponse("as you wish", request.path_params["code"])


async def private(request: Request) -> Response:
    wanted = "Basic " + base64.b64encode(b"ada:s3cret-pass").decode()
    return JSONResponse({"ok": True}) if request.headers.get("authorization") == wanted else Response(status_code=401)


async def again(request: Request) -> Response:
    left = request.path_params["times"]
    return RedirectResponse(f"/again/{left - 1}" if left else "/echo")


async def inside(_: Request) -> Response:
    return RedirectResponse("http://169.254.169.254/latest/meta-data")


async def slow(_: Request) -> Response:
    await asyncio.sleep(20)
    return Response()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    routes = [
        Route("/echo", echo, methods=["GET", "POST", "PUT", "DELETE"]),
        Route("/status/{code:int}", status),
        Route("/private", private),
        Route("/again/{times:int}", again),
        Route("/inside", inside),
        Route("/slow", slow),
    ]
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(Starlette(routes=routes), log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


async def check(url: str, **params: Any) -> Outcome:
    return await run_skill(SKILL, {"url": url, **params})


async def test_a_request_is_sent_as_it_is_written(site: str) -> None:
    outcome = await run_skill(
        SKILL,
        {
            "url": f"{site}/echo",
            "method": "POST",
            "headers": {"X-One": "1"},
            "query": {"a": "b c"},
            "json": {"user": "${user}"},
            "auth": {"bearer": "tok-1234"},
            "expect": {
                "status": 200,
                "headers": [{"name": "x-kind", "equals": "Echo"}, {"name": "X-None", "absent": True}],
                "json": [
                    {"path": "method", "equals": "POST"},
                    {"path": "query.a", "equals": "b c"},
                    {"path": "headers.authorization", "equals": "Bearer tok-1234"},
                    {"path": "headers.traceparent", "contains": TRACE_ID},
                    {"path": "body", "contains": "ada"},
                ],
                "text": {"contains": ["POST"], "not_contains": "nothing of it"},
            },
        },
        variables={"user": "ada"},
        save={"method": "json.method", "kind": 'headers."x-kind"'},
    )
    assert outcome.status == "passed", outcome.error_message
    assert outcome.saved == {"method": "POST", "kind": "Echo"}
    assert {m.name for m in outcome.metrics} == {"dns", "connect", "tls", "first_byte", "total", "response_size"}
    total = next(m.value for m in outcome.metrics if m.name == "total")
    assert all(m.value <= total for m in outcome.metrics if m.unit == "ms")


async def test_every_expectation_that_does_not_hold_is_named(site: str) -> None:
    outcome = await check(
        f"{site}/echo",
        expect={
            "status": 201,
            "headers": [{"name": "X-Kind", "matches": "^B"}],
            "json": [{"path": "method", "equals": "PUT"}, {"path": "nothing", "exists": True}],
            "json_schema": {"required": ["price"]},
            "text": {"contains": "no such words"},
        },
    )
    assert (outcome.status, outcome.error_type) == ("failed", "assertion")
    message = outcome.error_message or ""
    for part in ("status 201, got 200", "X-Kind", 'to be "PUT"' if '"PUT"' in message else "PUT", "nothing", "price"):
        assert part in message
    assert len(message.splitlines()) == 6
    assert [file.name for file in outcome.files] == ["exchange.txt"]


@pytest.mark.parametrize(
    ("expected", "code", "ok"), [(None, 204, True), (None, 404, False), ("4xx", 404, True), ([200, 404], 500, False)]
)
async def test_statuses_are_numbers_lists_or_classes(site: str, expected: Any, code: int, ok: bool) -> None:
    outcome = await check(f"{site}/status/{code}", **({"expect": {"status": expected}} if expected else {}))
    assert outcome.status == ("passed" if ok else "failed"), outcome.error_message


async def test_secrets_work_and_are_in_nothing_that_is_left(site: str) -> None:
    auth = {"username": "ada", "password": "${secrets.PASSWORD}"}
    secrets = {"PASSWORD": "s3cret-pass"}
    outcome = await run_skill(SKILL, {"url": f"{site}/private", "auth": auth}, secrets=secrets)
    assert outcome.status == "passed", outcome.error_message
    params = {"url": f"{site}/echo", "method": "POST", "body": "${secrets.PASSWORD}", "expect": {"status": 500}}
    failed = await run_skill(SKILL, params, secrets=secrets, save={"body": "json.body"})
    assert failed.status == "failed"
    assert "s3cret-pass" not in str(failed)
    assert all(b"s3cret-pass" not in file.path.read_bytes() for file in failed.files)


async def test_redirects_are_followed_up_to_a_limit_and_never_to_where_rules_forbid(site: str) -> None:
    assert (await check(f"{site}/again/3")).status == "passed"
    limited = await check(f"{site}/again/3", max_redirects=2)
    assert (limited.status, limited.error_message) == ("failed", "more than 2 redirects")
    assert (await check(f"{site}/again/3", follow_redirects=False, expect={"status": 307})).status == "passed"
    inside = await check(f"{site}/inside")
    assert (inside.status, inside.error_type) == ("error", "definition")
    assert "rule link_local" in (inside.error_message or "")


async def test_a_target_that_is_not_there_is_an_error_of_the_network() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome = await check(f"http://127.0.0.1:{port}/")
    assert (outcome.status, outcome.error_type) == ("error", "network")


async def test_no_answer_in_time_is_a_failure_and_the_cases_own_end_a_timeout(site: str) -> None:
    late = await check(f"{site}/slow", timeout_seconds=0.2)
    assert (late.status, late.error_type) == ("failed", "assertion")
    assert "no answer within 0.2 s" in (late.error_message or "")
    cut = await run_skill(SKILL, {"url": f"{site}/slow"}, timeout_seconds=0.2)
    assert cut.status in ("timeout", "failed")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"url": "ftp://example.com"}, "params.url"),
        ({"url": "http://127.0.0.1", "metod": "GET"}, "params.metod"),
        ({"url": "http://127.0.0.1", "json": {}, "body": "x"}, "only one of json, form, body"),
        ({"url": "http://127.0.0.1", "expect": {"json": [{"path": "a[", "exists": True}]}}, "not a JMESPath"),
        ({"url": "http://127.0.0.1", "expect": {"text": {"matches": "("}}}, "not a regular expression"),
        ({"url": "http://127.0.0.1", "auth": {}}, "bearer"),
        ({"url": "${nobody}"}, "${nobody} has no value"),
    ],
)
async def test_bad_params_are_an_error_of_the_definition_with_their_field(params: dict[str, Any], field: str) -> None:
    outcome = await run_skill(SKILL, params)
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert field in (outcome.error_message or "")


async def test_this_machine_is_no_target_unless_it_is_allowed(site: str) -> None:
    outcome = await run_skill(SKILL, {"url": f"{site}/echo"}, allow_loopback=False)
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "rule loopback" in (outcome.error_message or "")
