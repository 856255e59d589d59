"""Does nothing, or goes wrong as it is told."""

import asyncio
import os
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.skill import Context


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sleep_ms: float = 0
    block_ms: float = 0  # holds up the event loop
    stubborn_ms: float = 0  # ignores its cancellation
    fail: str | None = None
    fail_attempts: int = 0  # the first so many attempts fail
    error: str | None = None
    exit_code: int | None = None  # takes its process with it
    outputs: dict[str, Any] = {}


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    if params.sleep_ms:
        await asyncio.sleep(params.sleep_ms / 1000)
    if params.block_ms:
        time.sleep(params.block_ms / 1000)  # noqa: ASYNC251
    until = time.monotonic() + params.stubborn_ms / 1000
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    if params.exit_code is not None:
        os._exit(params.exit_code)
    if params.error is not None:
        raise RuntimeError(params.error)
    ctx.expect(params.fail is None, params.fail or "")
    ctx.expect(ctx.attempt > params.fail_attempts, f"attempt {ctx.attempt} fails as it was told")
    return params.outputs
