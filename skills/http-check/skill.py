"""Send one HTTP request and check the answer."""

import json as jsonlib
import ssl
import time
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from http_check.expectations import Expect, judge
from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from shared.skill import CheckFailed, Context, DefinitionError, NetworkError

MASKED_HEADERS = frozenset(("authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"))
KEPT_BYTES = 1_000_000


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Auth(Strict):
    """HTTP basic credentials, or a bearer token."""

    username: str | None = None
    password: str | None = None
    bearer: str | None = Field(None, examples=["${token}"])

    @model_validator(mode="after")
    def _one_way(self) -> "Auth":
        if (self.bearer is None) == (self.username is None):
            raise ValueError("give `bearer`, or `username` and `password`")
        return self


class Tls(Strict):
    """How the server's certificate is checked."""

    verify: bool = Field(True, description="false accepts any certificate")
    ca_pem: str | None = Field(None, description="certificates to trust instead of the well-known ones, as PEM")


class Params(Strict):
    """One HTTP request and what its answer must be."""

    url: str = Field(pattern=r"^(https?://|\$\{)", examples=["https://example.com/api/health"])
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str | int | float | bool | list[str]] = Field(default_factory=dict)
    json_body: JsonValue = Field(None, alias="json", description="body as JSON")
    form: dict[str, str] | None = Field(None, description="body as an HTML form sends it")
    body: str | None = Field(None, description="body as it is")
    auth: Auth | None = None
    follow_redirects: bool = True
    max_redirects: int = Field(10, ge=0, le=50)
    http2: bool = False
    tls: Tls = Tls()
    timeout_seconds: float = Field(30, gt=0, le=600, description="for the whole exchange")
    max_response_bytes: int = Field(10_000_000, ge=1, le=200_000_000)
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _one_body(self) -> "Params":
        if sum(value is not None for value in (self.json_body, self.form, self.body)) > 1:
            raise ValueError("give only one of json, form, body")
        return self


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Send, measure, judge. Returns what `save` can take from."""
    times = Times()
    async with ctx.step(f"{params.method} {_bare(params.url)}"):
        response, text_body = await _send(ctx, params, times)
    for name, value in times.metrics().items():
        ctx.metric(name, value, "ms")
    ctx.metric("response_size", len(text_body), "bytes")
    text = _text(response, text_body)
    try:
        parsed = jsonlib.loads(text) if text else None
    except ValueError:
        parsed = None
    async with ctx.step("check the answer"):
        for failure in judge(params.expect, response.status_code, response.headers, text, parsed, times.total):
            ctx.expect(False, failure)
    if ctx.failures:
        _keep(ctx, params, response, text)
        raise CheckFailed("\n".join(ctx.failures))
    return {
        "status": response.status_code,
        "headers": {key.lower(): value for key, value in response.headers.items()},
        "json": parsed,
        "text": text,
        "url": str(response.request.url) if not response.history else str(response.url),
        "elapsed_ms": round(times.total, 3),
    }


class Times:
    """Phases of the last exchange, from httpcore's trace."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._open: dict[str, float] = {}
        self._phases: dict[str, float] = {}
        self.dns = 0.0
        self.total = 0.0

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        name, _, moment = event.rpartition(".")
        now = time.perf_counter()
        if moment == "started":
            self._open[name] = now
        elif moment == "complete" and name in self._open:
            self._phases[name.rpartition(".")[2]] = (now - self._open[name]) * 1000
            if name.endswith("receive_response_headers"):
                self._phases["first_byte"] = (now - self._began) * 1000

    def end(self) -> None:
        self.total = (time.perf_counter() - self._began) * 1000

    def metrics(self) -> dict[str, float]:
        return {
            "dns": self.dns,
            "connect": self._phases.get("connect_tcp", 0.0),
            "tls": self._phases.get("start_tls", 0.0),
            "first_byte": self._phases.get("first_byte", self.total),
            "total": self.total,
        }


async def _send(ctx: Context, params: Params, times: Times) -> tuple[httpx.Response, bytes]:
    verify: Any = True
    if not params.tls.verify:
        verify = False
    elif params.tls.ca_pem:
        try:
            verify = ssl.create_default_context(cadata=params.tls.ca_pem)
        except ssl.SSLError as error:
            raise DefinitionError(f"tls.ca_pem: {error}") from error
    client = ctx.http(
        verify=verify,
        http2=params.http2,
        follow_redirects=params.follow_redirects,
        max_redirects=params.max_redirects,
        timeout=httpx.Timeout(min(params.timeout_seconds, max(ctx.remaining(), 0.001))),
    )
    headers = dict(params.headers)
    if ctx.trace_id and "traceparent" not in {key.lower() for key in headers}:
        headers["traceparent"] = f"00-{ctx.trace_id}-{ctx.trace_id[:16]}-01"
    auth: httpx.Auth | None = None
    if params.auth and params.auth.bearer:
        headers["Authorization"] = f"Bearer {params.auth.bearer}"
    elif params.auth:
        auth = httpx.BasicAuth(params.auth.username or "", params.auth.password or "")
    try:
        request = client.build_request(
            params.method,
            params.url,
            headers=headers,
            params=params.query or None,
            json=params.json_body,
            data=params.form,
            content=params.body,
            extensions={"trace": times.trace},
        )
        response = await client.send(request, auth=auth, stream=True)
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > params.max_response_bytes:
                raise CheckFailed(f"the answer is larger than max_response_bytes ({params.max_response_bytes})")
        await response.aclose()
    except httpx.TooManyRedirects as error:
        raise CheckFailed(f"more than {params.max_redirects} redirects") from error
    except httpx.TimeoutException as error:
        raise CheckFailed(f"no answer within {params.timeout_seconds:g} s ({type(error).__name__})") from error
    except httpx.TransportError as error:
        raise NetworkError(f"{_bare(params.url)}: {error or type(error).__name__}") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
        raise DefinitionError(f"the request cannot be made: {error}") from error
    times.end()
    times.dns = float(request.extensions.get("dns_ms", 0.0))
    return response, bytes(body)


def _text(response: httpx.Response, body: bytes) -> str:
    try:
        return body.decode(response.charset_encoding or "utf-8", errors="replace")
    except LookupError:
        return body.decode(errors="replace")


def _bare(url: str) -> str:
    """Without credentials and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _keep(ctx: Context, params: Params, response: httpx.Response, text: str) -> None:
    request = response.request
    sent = request.content.decode(errors="replace") if request.method != "GET" else ""
    lines = [
        f"{request.method} {_bare(str(params.url))}",
        *_headers(request.headers),
        "",
        sent[:KEPT_BYTES],
        "",
        f"{response.http_version} {response.status_code} {response.reason_phrase}",
        *_headers(response.headers),
        "",
        text[:KEPT_BYTES],
    ]
    ctx.artifacts.save("exchange.txt", "\n".join(lines), "log", "text/plain; charset=utf-8")


def _headers(headers: httpx.Headers) -> list[str]:
    return [f"{key}: {'***' if key.lower() in MASKED_HEADERS else value}" for key, value in headers.multi_items()]
