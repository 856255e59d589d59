"""One attempt of one case: run it, store its files, say what it ended in."""

import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from services.executors.sandbox import Sandbox
from shared.artifacts import ArtifactStore, artifact_key
from shared.errors import WebGuardError
from shared.events import Artifact, CaseAttempt, CaseFinished, Task
from shared.skill.context import SavedFile, Tools
from shared.skill.discovery import Found
from shared.skill.errors import SkillNotFound
from shared.skill.runner import Outcome, Stopper, run_case

log = logging.getLogger(__name__)

# Under the server's limit of 1 MB a message, with room for the rest of the event.
MAX_SAVED_BYTES = 256_000
MAX_STEPS = 1_000


@dataclass
class Runner:
    """Runs attempts with the skills and tools of this process."""

    found: Found
    tools: Tools
    sandbox: Sandbox
    store: ArtifactStore
    look_up_secret: Callable[[str], str | None]
    executor: str
    scratch_dir: Path | None = None

    async def run(self, task: Task, attempt: CaseAttempt, epoch: int, stopper: Stopper) -> CaseFinished:
        """Run an attempt to its result. Nothing that a case does makes this raise."""
        # A name only: cases that leave nothing need no folder.
        parent = self.scratch_dir or Path(tempfile.gettempdir())
        scratch = parent / f"wg-{self.executor}-{task.execution_id.hex[:12]}-{id(stopper):x}"
        outcome = await self._outcome(task, attempt, epoch, stopper, scratch)
        artifacts: list[Artifact] = []
        if outcome.files:
            artifacts, lost = await self._store(task, attempt, epoch, outcome.files)
            if lost:
                note = f"{len(lost)} of {len(outcome.files)} artifacts could not be stored: {lost[0]}"
                outcome.error_message = f"{outcome.error_message}\n{note}" if outcome.error_message else note
            shutil.rmtree(scratch, ignore_errors=True)
        return result_of(task, attempt, epoch, outcome, artifacts, self.executor)

    async def _outcome(self, task: Task, attempt: CaseAttempt, epoch: int, stopper: Stopper, scratch: Path) -> Outcome:
        try:
            skill = self.found.get(attempt.skill)
        except SkillNotFound as error:
            now = datetime.now(UTC)
            return Outcome("error", now, now, "definition", str(error))
        common: dict[str, Any] = {
            "scratch": scratch,
            "look_up_secret": self.look_up_secret,
            "epoch": epoch,
            "trace_id": task.trace_id,
            "stopper": stopper,
        }
        if skill.manifest.metadata.isolation == "process":
            return await self.sandbox.run(skill, attempt, **common)
        return await run_case(skill, attempt, tools=self.tools, **common)

    async def _store(
        self, task: Task, attempt: CaseAttempt, epoch: int, files: list[SavedFile]
    ) -> tuple[list[Artifact], list[str]]:
        """Store files; those that the store does not take are named, the result is not lost for them."""
        stored: list[Artifact] = []
        lost: list[str] = []
        for file in files:
            key = artifact_key(task.tenant, task.execution_id, attempt.case, attempt.attempt, epoch, file.name)
            try:
                await self.store.put(key, file.path, file.content_type)
            except (WebGuardError, OSError) as error:
                log.warning("artifact not stored", extra={"key": key, "error": str(error)})
                lost.append(f"{file.name}: {error}")
                continue
            stored.append(
                Artifact(
                    name=file.name,
                    kind=file.kind,
                    key=key,
                    content_type=file.content_type,
                    size=file.size,
                    sha256=file.sha256,
                )
            )
        return stored, lost


def result_of(
    task: Task, attempt: CaseAttempt, epoch: int, outcome: Outcome, artifacts: list[Artifact], executor: str
) -> CaseFinished:
    """The event of an outcome, trimmed so that it fits a message."""
    status, error_type, message, saved = outcome.status, outcome.error_type, outcome.error_message, outcome.saved
    if saved and len(msgspec.json.encode(saved)) > MAX_SAVED_BYTES:
        saved = {}
        if status == "passed":
            status, error_type = "error", "definition"
            message = f"the saved values are larger than {MAX_SAVED_BYTES // 1000} kB; save less"
    steps = outcome.steps
    if len(steps) > MAX_STEPS:
        message = f"{message or ''}\n(only the first {MAX_STEPS} of {len(steps)} steps are kept)".strip()
        steps = steps[:MAX_STEPS]
    return CaseFinished(
        tenant=task.tenant,
        execution_id=task.execution_id,
        suite=task.suite,
        executed_at=task.executed_at,
        case=attempt.case,
        skill=attempt.skill,
        kind=task.kind,
        attempt=attempt.attempt,
        epoch=epoch,
        status=status,
        error_type=error_type,
        error_message=message,
        stack_trace=outcome.stack_trace,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
        executor=executor,
        saved=saved,
        metrics=outcome.metrics[:MAX_STEPS],
        steps=steps,
        artifacts=artifacts,
    )


def lost_result(task: Task, attempt: CaseAttempt, epoch: int, executor: str, now: datetime) -> CaseFinished:
    """For an attempt that took its executor with it, each time it was delivered."""
    text = f"executor lost: {epoch - 1} executors ended while this case ran; it may have killed them"
    return result_of(task, attempt, epoch, Outcome("error", now, now, "system", text), [], executor)
