"""Every error is a problem of one shape, and an error of our own gives nothing away."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from services.gateway import problems
from services.gateway.problems import FieldError, Refusal, faults_of
from shared.errors import PublishFailed, Unavailable


class Body(BaseModel):
    count: int
    inner: list[dict[str, int]] = []


def application() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/things/{number}")
    async def things(number: int, body: Body, limit: int = 1) -> int:
        return number

    @app.get("/raise/{what}")
    async def fail(what: str) -> None:
        raise {
            "refusal": Refusal(409, "not now", [FieldError(field="a", message="b")], {"Retry-After": "1"}),
            "away": Unavailable("PostgreSQL at 10.0.0.1 is away"),
            "doubt": PublishFailed("wg.default.request.execute: no answer"),
            "bug": RuntimeError("a password in a message"),
        }[what]

    return app


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/things/1", 405),
        ("GET", "/raise/refusal", 409),
        ("GET", "/raise/away", 503),
        ("GET", "/raise/doubt", 503),
        ("GET", "/raise/bug", 500),
    ],
)
async def test_an_error_is_a_problem_whoever_raised_it(
    api: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await api.request(method, path)
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (body["status"], body["instance"], body["type"]) == (status, path, "about:blank")
    assert body["title"]
    assert body["detail"]
    assert "password" not in answer.text
    assert "10.0.0.1" not in answer.text
    if status == 503:
        assert int(answer.headers["retry-after"]) > 0


async def test_a_refusal_keeps_its_fields_and_headers(api: httpx.AsyncClient) -> None:
    answer = await api.get("/raise/refusal")
    assert answer.json()["errors"] == [{"field": "a", "message": "b"}]
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/things/x", {"count": 1}, ["number"]),
        ("/things/1?limit=x", {"count": 1}, ["limit"]),
        ("/things/1", {}, ["count"]),
        ("/things/1", {"count": "x", "inner": [{"a": 1}, {"b": "x"}]}, ["count", "inner.1.b"]),
        ("/things/1", None, ["body"]),
    ],
)
async def test_a_wrong_field_is_named_as_it_was_sent(
    api: httpx.AsyncClient, path: str, body: object, fields: list[str]
) -> None:
    answer = await api.post(path, json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields


def test_a_fault_of_the_whole_document_takes_its_field_from_its_text() -> None:
    errors = [
        {"loc": (), "msg": "Value error, cases.1.name: there is already a case 'a'"},
        {"loc": (), "msg": "Input should be a valid dictionary"},
        {"loc": ("schedule",), "msg": "Value error, '61': wrong"},
    ]
    assert [(fault.field, fault.message) for fault in faults_of(errors)] == [
        ("cases.1.name", "there is already a case 'a'"),
        ("", "Input should be a valid dictionary"),
        ("schedule", "'61': wrong"),
    ]
