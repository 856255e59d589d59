"""Runs a skill here and now, with no platform: for `webguard skills run` and for a skill's own tests."""

import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shared.events import CaseAttempt, Kind
from shared.skill.discovery import Skill, load
from shared.skill.egress import Egress, Rules
from shared.skill.runner import Outcome, run_case
from shared.skill.tools import ToolBox

# Whoever runs a skill by hand may reach what their own machine reaches; cloud metadata services stay closed.
HERE = Rules(allow_loopback=True, allow_private=True)


def secret_of_environment(name: str) -> str | None:
    """Secrets are environment variables WEBGUARD_SECRET_<NAME>, as for executors."""
    return os.environ.get(f"WEBGUARD_SECRET_{name}")


async def run_skill(
    skill: Skill | Path,
    params: Mapping[str, Any],
    *,
    variables: Mapping[str, Any] | None = None,
    save: Mapping[str, str] | None = None,
    timeout_seconds: float | None = None,
    scratch: Path | None = None,
    secrets: Callable[[str], str | None] = secret_of_environment,
    rules: Rules = HERE,
) -> Outcome:
    """Run one case of a skill, in this process, as an executor would.

    Args:
        skill: a loaded skill or its folder.
        scratch: where its artifacts are left; default: a temporary folder that stays.

    Raises:
        BrokenSkill: the folder cannot be used. Whatever the case itself does ends in the outcome.
    """
    loaded = skill if isinstance(skill, Skill) else load(skill)
    metadata = loaded.manifest.metadata
    attempt = CaseAttempt(
        case=loaded.name,
        skill=loaded.name,
        params=dict(params),
        variables=dict(variables or {}),
        save=dict(save or {}),
        timeout_seconds=timeout_seconds or metadata.timeout,
    )
    folder = scratch or Path(tempfile.mkdtemp(prefix="webguard-skill-"))
    async with _browser(metadata.kind) as opener:
        tools = ToolBox(Egress(rules), opener).tools
        outcome = await run_case(loaded, attempt, scratch=folder, tools=tools, look_up_secret=secrets)
    if scratch is None and not any(folder.iterdir()):
        folder.rmdir()
    return outcome


@asynccontextmanager
async def _browser(kind: Kind) -> AsyncIterator[Callable[..., Any] | None]:
    if kind != "browser":
        yield None
        return
    from services.executors.browser.pool import BrowserPool  # Playwright is loaded where it is used

    pool = BrowserPool()
    try:
        yield pool.open_context
    finally:
        await pool.close()
