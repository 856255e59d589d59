"""Processes for skills with `isolation: process`: warm, reused, killed when a case does not end."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from shared.events import CaseAttempt
from shared.skill.discovery import Skill
from shared.skill.runner import GRACE_SECONDS, Outcome, Stopper
from shared.suites.template import names

# After the soft timeout and the time to tidy up.
KILL_SECONDS = 3.0
MAX_MESSAGE = 64 * 1024 * 1024
_PAGE_MB = resource.getpagesize() / 1024 / 1024


class Job(msgspec.Struct, frozen=True):
    """What a sandbox process gets for one case; its secrets travel here, not in its environment."""

    folder: str
    attempt: CaseAttempt
    epoch: int
    trace_id: str | None
    scratch: str
    secrets: dict[str, str]


def to_wire(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def from_wire(kind: type, value: Any) -> Any:
    return Path(value) if kind is Path else value


encode_outcome = msgspec.json.Encoder(enc_hook=to_wire).encode
_decode_outcome = msgspec.json.Decoder(Outcome, dec_hook=from_wire).decode


class SandboxChild:
    """One process, which runs one case at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.cases = 0

    @classmethod
    async def start(cls) -> "SandboxChild":
        # Only what the skill's code needs of our environment: no password of the platform.
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith("WEBGUARD_") or k.startswith("WEBGUARD_EGRESS_")
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.executors.sandbox_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            env=kept,
            start_new_session=True,
            limit=MAX_MESSAGE,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    @property
    def memory_mb(self) -> float:
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_MB
        return 0.0

    async def run(self, job: Job) -> Outcome:
        """
        Raises:
            ChildDied: the process ended in the middle.
        """
        assert self._process.stdin is not None  # noqa: S101  piped at start
        assert self._process.stdout is not None  # noqa: S101
        self.cases += 1
        data = msgspec.json.encode(job)
        try:
            self._process.stdin.write(len(data).to_bytes(4) + data)
            await self._process.stdin.drain()
            size = int.from_bytes(await self._process.stdout.readexactly(4))
            return _decode_outcome(await self._process.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise ChildDied(f"the skill's process ended with {how} before the case did") from error

    async def kill(self) -> None:
        """The process and all that it started."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()


class ChildDied(Exception):
    """A sandbox process ended in the middle of a case."""


class Sandbox:
    """Lends each case a process of its own; as many at once as cases."""

    def __init__(self, max_cases: int, max_mb: int) -> None:
        self._max_cases = max_cases
        self._max_mb = max_mb
        self._idle: list[SandboxChild] = []

    async def run(
        self,
        skill: Skill,
        attempt: CaseAttempt,
        *,
        scratch: Path,
        look_up_secret: Callable[[str], str | None],
        epoch: int,
        trace_id: str | None,
        stopper: Stopper,
    ) -> Outcome:
        """Run a case in a process; whatever it does there, this returns an Outcome."""
        wanted = {name.removeprefix("secrets.") for name in names(attempt.params) if name.startswith("secrets.")}
        secrets = {name: value for name in wanted if (value := look_up_secret(name)) is not None}
        job = Job(str(skill.folder), attempt, epoch, trace_id, str(scratch), secrets)
        began = datetime.now(UTC)
        child = await self._take()
        try:
            stopper.task = asyncio.current_task()
            async with asyncio.timeout(attempt.timeout_seconds + GRACE_SECONDS + KILL_SECONDS):
                outcome = await child.run(job)
        except TimeoutError:
            text = f"killed after {attempt.timeout_seconds:g} s: it ignored its timeout"
            outcome = Outcome("timeout", began, datetime.now(UTC), "timeout", text)
        except ChildDied as error:
            outcome = Outcome("error", began, datetime.now(UTC), "system", str(error))
        except asyncio.CancelledError:
            if stopper.reason is None:
                await child.kill()
                raise
            stopper.task = None
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            kind: Any = "timeout" if stopper.reason == "timeout" else None
            outcome = Outcome(stopper.reason, began, datetime.now(UTC), kind, stopper.message)
        else:
            stopper.task = None
            await self._give_back(child)
            return outcome
        stopper.task = None
        await child.kill()
        return outcome

    async def close(self) -> None:
        for child in self._idle:
            await child.kill()
        self._idle.clear()

    async def _take(self) -> SandboxChild:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
        return await SandboxChild.start()

    async def _give_back(self, child: SandboxChild) -> None:
        if child.cases >= self._max_cases or child.memory_mb > self._max_mb:
            await child.kill()
        else:
            self._idle.append(child)
