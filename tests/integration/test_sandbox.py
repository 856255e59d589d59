"""Processes of their own for cases: whatever one does to its process, its neighbours and its executor go on."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.executors import sandbox as module
from services.executors.sandbox import Sandbox, SandboxChild
from shared.events import CaseAttempt
from shared.skill.discovery import load
from shared.skill.runner import Outcome, Stopper

SKILL = load(Path(__file__).parents[1] / "skills" / "noop")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    found = Sandbox(max_cases=3, max_mb=1024)
    yield found
    await found.close()


async def run(sandbox: Sandbox, tmp_path: Path, seconds: float = 20, **params: Any) -> Outcome:
    attempt = CaseAttempt(case="a", skill="noop", params=params, timeout_seconds=seconds)
    return await sandbox.run(
        SKILL,
        attempt,
        scratch=tmp_path / "scratch",
        look_up_secret={"WORD": "s3cret-word"}.get,
        epoch=1,
        trace_id=None,
        stopper=Stopper(),
    )


def idle(sandbox: Sandbox) -> list[SandboxChild]:
    return sandbox._idle


async def test_a_case_ends_as_it_would_at_home_and_its_process_serves_the_next(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    passed = await run(sandbox, tmp_path, outputs={"n": 1})
    assert (passed.status, passed.outputs) == ("passed", {"n": 1})
    [child] = idle(sandbox)
    failed = await run(sandbox, tmp_path, fail="no good")
    assert (failed.status, failed.error_type, failed.error_message) == ("failed", "assertion", "no good")
    assert [c.pid for c in idle(sandbox)] == [child.pid]


async def test_a_process_that_dies_is_an_error_of_its_case_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    died = await run(sandbox, tmp_path, exit_code=3)
    assert (died.status, died.error_type) == ("error", "system")
    assert "exit code 3" in (died.error_message or "")
    assert (await run(sandbox, tmp_path)).status == "passed"


async def test_a_case_that_ignores_its_timeout_is_killed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(module, "KILL_SECONDS", 0.2)
    await run(sandbox, tmp_path)
    [child] = idle(sandbox)
    blocked = await run(sandbox, tmp_path, seconds=0.2, block_ms=60_000)
    assert (blocked.status, blocked.error_type) == ("timeout", "timeout")
    assert not child.alive
    assert (await run(sandbox, tmp_path)).status == "passed"


async def test_a_process_is_replaced_when_it_has_served_enough(sandbox: Sandbox, tmp_path: Path) -> None:
    pids = []
    for _ in range(4):
        await run(sandbox, tmp_path)
        pids.append(idle(sandbox)[0].pid if idle(sandbox) else 0)
    assert pids[0] == pids[1]
    assert pids[2] == 0, "the third case was its last"
    assert pids[3] not in pids[:2]


async def test_a_secret_reaches_the_case_and_nothing_that_it_leaves(sandbox: Sandbox, tmp_path: Path) -> None:
    outcome = await run(sandbox, tmp_path, outputs={"word": "${secrets.WORD}"})
    assert outcome.outputs == {"word": "***"}
    assert "WORD" not in os.environ
