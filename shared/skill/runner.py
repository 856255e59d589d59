"""Runs one attempt of one case and says what it ended in. Used by executors, by their sandboxes and by the CLI."""

import asyncio
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from pydantic import ValidationError

from shared.errors import Permanent
from shared.events import CaseAttempt, ErrorType, Metric, ResultStatus, Step
from shared.skill.context import Context, SavedFile, Tools
from shared.skill.discovery import Skill
from shared.skill.errors import DefinitionError, NetworkError, Skipped
from shared.suites.template import render

# How long a case that was told to stop may still tidy up (trace, screenshot) before it is left behind.
GRACE_SECONDS = 5.0


@dataclass
class Outcome:
    """What an attempt ended in, before its files are stored."""

    status: ResultStatus
    started_at: datetime
    finished_at: datetime
    error_type: ErrorType | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    saved: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    files: list[SavedFile] = field(default_factory=list)


@dataclass
class Stopper:
    """A way to end a running case from outside, so that it ends with what it has gathered."""

    reason: Literal["cancelled", "timeout"] | None = None
    message: str = ""
    task: asyncio.Task[Any] | None = None

    def stop(self, reason: Literal["cancelled", "timeout"], message: str) -> None:
        if self.reason is None:
            self.reason, self.message = reason, message
            if self.task is not None:
                self.task.cancel()


async def run_case(
    skill: Skill,
    attempt: CaseAttempt,
    *,
    scratch: Path,
    tools: Tools,
    look_up_secret: Callable[[str], str | None],
    epoch: int = 1,
    trace_id: str | None = None,
    stopper: Stopper | None = None,
) -> Outcome:
    """Run a case to its end, whatever it does: this returns an Outcome and raises only when cancelled itself,
    by something other than the stopper.

    The soft timeout cancels the skill and lets it tidy up for `GRACE_SECONDS`; a skill that ignores that
    is the caller's to kill. Files are left under `scratch` for the caller to store.
    """
    ctx = Context(
        case=attempt.case,
        timeout_seconds=attempt.timeout_seconds,
        scratch=scratch,
        tools=tools,
        look_up_secret=look_up_secret,
        variables=attempt.variables,
        attempt=attempt.attempt,
        epoch=epoch,
        trace_id=trace_id,
    )
    started_at = datetime.now(UTC)
    status: ResultStatus = "passed"
    error_type: ErrorType | None = None
    message: str | None = None
    stack: str | None = None
    saved: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    limit = asyncio.timeout(attempt.timeout_seconds)
    if stopper is not None:
        stopper.task = asyncio.current_task()
    try:
        try:
            if stopper is not None and stopper.reason is not None:
                raise asyncio.CancelledError
            params = skill.params.model_validate(_fill_in(attempt, ctx))
            async with limit:
                outputs = dict(await skill.run(ctx, params) or {})
            ctx.raise_for_failures()
            saved = _save(attempt.save, outputs)
        finally:
            await _close(ctx)
    except asyncio.CancelledError:
        if stopper is None or stopper.reason is None:
            raise
        if stopper.task is not None:
            stopper.task.uncancel()
        status, message = stopper.reason, stopper.message
        error_type = "timeout" if status == "timeout" else None
    except Exception as error:
        status, error_type, message = _judge(error, attempt, timed_out=limit.expired())
        if error_type == "system":
            stack = ctx.masker.text("".join(traceback.format_exception(error)))[-20_000:]
    finally:
        if stopper is not None:
            stopper.task = None
    if ctx.log_lines:
        ctx.artifacts.save("log.txt", "\n".join(ctx.log_lines) + "\n", "log", "text/plain; charset=utf-8")
    return Outcome(
        status=status,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        error_type=error_type,
        error_message=ctx.masker.text(message)[:10_000] if message else None,
        stack_trace=stack,
        saved=ctx.masker.json(saved),
        outputs=ctx.masker.json(outputs),
        metrics=ctx.metrics,
        steps=ctx.steps,
        files=ctx.artifacts.saved,
    )


async def _close(ctx: Context) -> None:
    """Close what the case opened; a resource that will not close must not hide the case's own end."""
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await ctx.exits.aclose()
    except Exception as error:
        ctx.log(f"closing: {type(error).__name__}: {error}")


def _fill_in(attempt: CaseAttempt, ctx: Context) -> Mapping[str, Any]:
    def look_up(name: str) -> Any:
        if name.startswith("secrets."):
            return ctx.secrets[name.removeprefix("secrets.")]
        return attempt.variables[name]

    filled: Mapping[str, Any] = render(attempt.params, look_up)
    return filled


def _save(wanted: Mapping[str, str], outputs: Mapping[str, Any]) -> dict[str, Any]:
    saved = {}
    for name, path in wanted.items():
        try:
            value = jmespath.search(path, outputs)
        except JMESPathError as error:
            raise DefinitionError(f"save.{name}: {path!r} is not a JMESPath: {error}") from error
        if value is None:
            raise AssertionError(
                f"save.{name}: nothing at {path!r}; the skill returned {', '.join(outputs) or 'nothing'}"
            )
        saved[name] = msgspec.to_builtins(value)
    return saved


def _judge(error: Exception, attempt: CaseAttempt, *, timed_out: bool) -> tuple[ResultStatus, ErrorType | None, str]:
    """Failed, error or timeout, by the class of what was raised (DESIGN §1)."""
    text = str(error) or type(error).__name__
    if isinstance(error, AssertionError):
        return "failed", "assertion", text
    if isinstance(error, Skipped):
        return "skipped", None, text
    if isinstance(error, ValidationError):
        faults = "; ".join(f"params.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:10])
        return "error", "definition", faults
    if isinstance(error, Permanent):
        return "error", "definition", text
    # A step's own time-out comes before the case's and is the skill's to name.
    if isinstance(error, TimeoutError) and timed_out:
        return "timeout", "timeout", f"not finished after {attempt.timeout_seconds:g} s"
    if isinstance(error, NetworkError | ConnectionError) or _is_httpx_transport(error):
        return "error", "network", text if isinstance(error, NetworkError) else f"{type(error).__name__}: {text}"
    return "error", "system", f"{type(error).__name__}: {text}"


def _is_httpx_transport(error: Exception) -> bool:
    httpx = sys.modules.get("httpx")  # not imported by skills that do without it
    return httpx is not None and isinstance(error, httpx.TransportError)
