"""A new skill folder that passes its own test."""

import re
from pathlib import Path

from shared.errors import WebGuardError
from shared.skill.manifest import read_manifest

MANIFEST = """\
---
name: {name}
description: Say in a sentence or two what {name} checks, and when to use it.
metadata:
  kind: {kind}
  version: "0.1"
  isolation: shared
  timeout: 60
---
# {name}

What it does, for people and agents. Its params:

- `name`: whom to greet.
"""

CODE = '''\
"""Say what this skill checks."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from webguard.skill import Context


class Params(BaseModel):
    """What a suite gives it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, description="whom to greet", examples=["world"])


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Raise AssertionError, or note with `ctx.expect`, what is wrong with the system under test."""
    async with ctx.step("greet"):
        greeting = f"hello {params.name}"
        ctx.expect(len(greeting) < 100, f"expected a short greeting, got {len(greeting)} characters")
    ctx.metric("length", len(greeting), "characters")
    return {"greeting": greeting}
'''

TEST = '''\
"""The skill, run as an executor runs it."""

from pathlib import Path

from shared.skill.testing import run_skill

SKILL = Path(__file__).parent


async def test_it_greets() -> None:
    outcome = await run_skill(SKILL, {"name": "world"})
    assert outcome.status == "passed", outcome.error_message
    assert outcome.outputs == {"greeting": "hello world"}


async def test_a_long_name_fails() -> None:
    outcome = await run_skill(SKILL, {"name": "x" * 200})
    assert outcome.status == "failed"
'''


class BadName(WebGuardError):
    """A name that no skill can have, or one that is taken."""


def scaffold(name: str, kind: str, into: Path) -> Path:
    """Make `into/name` and return it.

    Raises:
        BadName: not a skill's name, no kind, or the folder is there already.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or len(name) > 64:
        raise BadName(f"{name!r} is no name for a skill: lower-case words apart by hyphens, at most 64 characters")
    if kind not in ("browser", "api", "data"):
        raise BadName(f"--kind {kind!r}: choose browser, api or data")
    folder = into / name
    if folder.exists():
        raise BadName(f"{folder} is there already")
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(MANIFEST.format(name=name, kind=kind))
    (folder / "skill.py").write_text(CODE)
    (folder / "test_skill.py").write_text(TEST)
    read_manifest(folder.resolve())
    return folder
