"""Drive a page through steps in a real Chromium, and keep what shows why one did not hold."""

import asyncio
import base64
import re
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from browser_flow.actions import Flow
from browser_flow.evidence import Evidence, When, to_the_end
from browser_flow.locators import Strict, no_nulls
from browser_flow.steps import Pattern, Step
from browser_flow.watch import Watch
from playwright.async_api import Dialog, Page
from pydantic import ConfigDict, Field, field_validator, model_validator

from shared.errors import WebGuardError
from shared.skill import CheckFailed, Context


class Viewport(Strict):
    """Size of the page in CSS pixels."""

    width: int = Field(1280, ge=100, le=7680)
    height: int = Field(720, ge=100, le=4320)


class Credentials(Strict):
    """HTTP basic authentication."""

    username: str
    password: str


class Params(Strict):
    """A flow of steps on one page, in a browser context of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=no_nulls)

    steps: list[Step] = Field(min_length=1, max_length=500, description="each has exactly one action")
    base_url: str | None = Field(None, pattern=r"^https?://", description="what paths in goto and url start from")
    viewport: Viewport = Viewport()
    mobile: bool = Field(False, description="touch screen and mobile layout")
    locale: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="e.g. de-DE")
    timezone: str | None = Field(None, description="IANA name, e.g. Asia/Taipei")
    user_agent: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, description="sent with every request")
    http_credentials: Credentials | None = None
    cookies: dict[str, str] = Field(default_factory=dict, description="set for base_url before the first step")
    local_storage: dict[str, str] = Field(default_factory=dict, description="set for base_url before the first step")
    ignore_https_errors: bool = False
    dialogs: Literal["dismiss", "accept"] = Field("dismiss", description="answer to alert, confirm and prompt")

    action_timeout_seconds: float = Field(10, gt=0, le=600, description="for an action to find its element ready")
    expect_timeout_seconds: float = Field(5, gt=0, le=600, description="for an expectation to come true")
    navigation_timeout_seconds: float = Field(30, gt=0, le=600, description="for goto")

    fail_on_page_error: bool = Field(True, description="an uncaught exception in a page fails the case")
    fail_on_console_error: bool = Field(False, description="console.error in a page fails the case")
    fail_on_failed_request: bool = Field(
        False, description="a request of a page that gets no answer, or one of 400 or more, fails the case"
    )
    ignore: list[Pattern] = Field(
        default_factory=list, max_length=100, description="findings (text or URL) that match one of these do not count"
    )

    screenshot: When = Field("on_failure", description="picture of the page at the end")
    trace: When = Field("on_failure", description="trace.zip, for `playwright show-trace`")
    record_har: bool = Field(False, description="keep all requests and answers as network.har")

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        try:
            return name and ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {name!r}; e.g. Asia/Taipei") from error

    @model_validator(mode="after")
    def _storage_has_an_origin(self) -> "Params":
        if (self.cookies or self.local_storage) and self.base_url is None:
            raise ValueError("cookies and local_storage are set for base_url: add base_url")
        return self


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Do the steps; a picture, the page and the trace are kept when one fails or the time is over."""
    har = ctx.artifacts.path("network.har") if params.record_har else None
    if params.http_credentials is not None:
        pair = f"{params.http_credentials.username}:{params.http_credentials.password}"
        if ctx.masker.text(pair) != pair:  # a secret's base64 in a trace is as good as the secret
            ctx.masker.add(base64.b64encode(pair.encode()).decode())
    options = _context_options(params)
    if har is not None:
        options |= {"record_har_path": har, "record_har_content": "embed"}
    context = await ctx.browser_context(**options)
    evidence = Evidence(ctx, context, params.screenshot, params.trace, har)
    watch = Watch(ctx, [re.compile(pattern) for pattern in params.ignore])
    page: Page | None = None
    failed, wanted = True, True
    try:
        if params.base_url is not None and params.cookies:
            await context.add_cookies(
                [{"name": name, "value": value, "url": params.base_url} for name, value in params.cookies.items()]
            )
        watch.attach(context)
        context.on("dialog", lambda dialog: _answer(dialog, params.dialogs))
        await evidence.begin()
        page = await context.new_page()
        try:
            outputs = await _drive(ctx, params, page, watch)
        finally:
            _count(ctx, watch)
        failed = False
        return outputs
    except asyncio.CancelledError:
        wanted = ctx.remaining() == 0  # else a person or a shutdown stopped it: quickly, then
        raise
    finally:
        # what a page showed of a forbidden place must not get out by its picture
        wanted = wanted and not watch.denied
        await to_the_end(evidence.keep(page, failed=failed, wanted=wanted), ctx)


async def _drive(ctx: Context, params: Params, page: Page, watch: Watch) -> dict[str, Any]:
    flow = Flow(
        ctx,
        page,
        params.base_url,
        params.action_timeout_seconds,
        params.expect_timeout_seconds,
        params.navigation_timeout_seconds,
        expected_statuses=watch.statuses_expected,
    )
    try:
        for number, step in enumerate(params.steps, 1):
            await flow.do(number, step)
            await watch.refuse_forbidden()
        outputs = {"url": page.url, "title": await page.title(), "extracted": flow.extracted}
    except (CheckFailed, WebGuardError) as error:
        await watch.refuse_forbidden()
        if isinstance(error, CheckFailed):
            raise CheckFailed("\n".join([str(error), *_mentions(watch)])) from error
        raise
    await watch.refuse_forbidden()
    _judge(watch, params)
    return outputs


def _context_options(params: Params) -> dict[str, Any]:
    given = {
        "base_url": params.base_url,
        "locale": params.locale,
        "timezone_id": params.timezone,
        "user_agent": params.user_agent,
        "extra_http_headers": params.headers or None,
        "http_credentials": params.http_credentials.model_dump() if params.http_credentials else None,
        "ignore_https_errors": params.ignore_https_errors or None,
    }
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    options["viewport"] = params.viewport.model_dump()
    if params.mobile:
        options |= {"is_mobile": True, "has_touch": True}
    if params.local_storage and params.base_url is not None:
        origin = "/".join(params.base_url.split("/")[:3])
        items = [{"name": name, "value": value} for name, value in params.local_storage.items()]
        options["storage_state"] = {"cookies": [], "origins": [{"origin": origin, "localStorage": items}]}
    return options


async def _answer(dialog: Dialog, answer: str) -> None:
    await (dialog.accept() if answer == "accept" else dialog.dismiss())


def _count(ctx: Context, watch: Watch) -> None:
    ctx.metric("steps", len([step for step in ctx.steps if step.status == "passed"]), "count")
    ctx.metric("requests", watch.requests, "count")
    ctx.metric("failed_requests", len(watch.failed_requests), "count")
    ctx.metric("console_errors", len(watch.console_errors), "count")
    ctx.metric("page_errors", len(watch.page_errors), "count")


def _mentions(watch: Watch) -> list[str]:
    """What else went wrong, in a few lines under a failure's message."""
    return [
        f"{len(found)} {sort}{'s' if len(found) > 1 else ''}: {'; '.join(found[:3])}{' …' if len(found) > 3 else ''}"
        for sort, found in (
            ("uncaught exception", watch.page_errors),
            ("console error", watch.console_errors),
            ("failed request", watch.failed_requests),
        )
        if found
    ]


def _judge(watch: Watch, params: Params) -> None:
    """What a page did beside its steps, after the last one.

    Raises:
        CheckFailed: findings that the params count as failures.
    """
    counted = Watch(
        watch.ctx,
        page_errors=watch.page_errors if params.fail_on_page_error else [],
        console_errors=watch.console_errors if params.fail_on_console_error else [],
        failed_requests=watch.failed_requests if params.fail_on_failed_request else [],
    )
    faults = _mentions(counted)
    if faults:
        raise CheckFailed("every step held, but:\n" + "\n".join(faults))
