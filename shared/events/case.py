"""What an executor gets (a task) and what it says of each case in it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from shared.events.base import Message

Kind = Literal["browser", "api", "data"]
PriorityClass = Literal["high", "normal", "low"]
ResultStatus = Literal["passed", "failed", "error", "timeout", "skipped", "cancelled"]
# `definition` is ours on top of the promised four: the test itself is wrong, a retry cannot help.
ErrorType = Literal["assertion", "timeout", "network", "system", "definition"]
ArtifactKind = Literal["screenshot", "video", "trace", "har", "log", "report", "data", "other"]


class CaseAttempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of one case, with all an executor needs to run it."""

    case: str
    skill: str
    attempt: int = 1
    params: dict[str, Any] = {}  # may hold ${name} and ${secrets.NAME}
    variables: dict[str, Any] = {}  # those that the params name; a value is never rendered again
    save: dict[str, str] = {}  # name → JMESPath into what the skill returns
    timeout_seconds: float = 300


class Task(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.task.v1"):
    """One message to an executor: a case attempt, or a chunk of short ones of one execution."""

    execution_id: UUID
    suite: str
    executed_at: datetime  # when the execution was made; every result of it carries the same
    kind: Kind
    priority: PriorityClass = "normal"
    attempts: list[CaseAttempt]

    @property
    def event_id(self) -> str:
        first = self.attempts[0]
        return f"task:{self.execution_id}/{first.case}/{first.attempt}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.task.{self.kind}.{self.priority}.{self.execution_id}"

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    value: float
    unit: str = ""  # ms, bytes, rows, …


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named, timed part of a case; `parent` is the index of the enclosing step."""

    name: str
    status: Literal["passed", "failed", "error"] = "passed"
    offset_ms: float  # since the case started
    duration_ms: float
    error_message: str | None = None
    parent: int | None = None


class Artifact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored file. `key` is its address in the artifact store, never a presigned link."""

    name: str
    kind: ArtifactKind
    key: str
    content_type: str
    size: int  # bytes
    sha256: str


class CaseStarted(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.case.started.v1"):
    """A case is running. Said of cases that have run for a moment; a shorter one says it all when it ends."""

    execution_id: UUID
    case: str
    attempt: int
    epoch: int
    executor: str
    started_at: datetime

    @property
    def event_id(self) -> str:
        return f"started:{self.execution_id}/{self.case}/{self.attempt}/{self.epoch}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.case.started.{self.execution_id}"

    @property
    def time(self) -> datetime | None:
        return self.started_at

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex


class CaseFinished(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.case.finished.v1"):
    """An attempt of a case has its result. Of two for one attempt the first in the stream counts."""

    execution_id: UUID
    suite: str
    executed_at: datetime  # copied from the task
    case: str
    skill: str
    kind: Kind
    attempt: int
    status: ResultStatus
    started_at: datetime
    finished_at: datetime
    epoch: int = 1  # delivery count of the task; 0: the dispatcher says it, no executor did
    error_type: ErrorType | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    executor: str | None = None
    saved: dict[str, Any] = {}
    metrics: list[Metric] = []
    steps: list[Step] = []
    artifacts: list[Artifact] = []

    @property
    def duration_ms(self) -> int:
        return round((self.finished_at - self.started_at).total_seconds() * 1000)

    @property
    def event_id(self) -> str:
        return f"finished:{self.execution_id}/{self.case}/{self.attempt}/{self.epoch}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.case.finished.{self.execution_id}"

    @property
    def time(self) -> datetime | None:
        return self.finished_at

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex
