"""What an execution went through, as the dispatcher says it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.events.base import Message
from shared.events.requests import TriggeredBy

FinalStatus = Literal["passed", "failed", "error", "timeout", "cancelled", "skipped"]


class ExecutionStarted(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.execution.started.v1"):
    """A request was accepted; the definition is frozen as it was then."""

    execution_id: UUID
    suite: str
    suite_id: UUID
    revision: int
    total: int  # cases
    triggered_by: TriggeredBy
    executed_at: datetime  # when the execution was made: the key of its partition in storage
    started_at: datetime
    requested_by: str | None = None
    ci_commit_sha: str | None = None
    ci_branch: str | None = None

    @property
    def event_id(self) -> str:
        return f"started:{self.execution_id}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.execution.started.{self.execution_id}"

    @property
    def time(self) -> datetime | None:
        return self.started_at

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex


class ExecutionFinished(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.execution.finished.v1"):
    """Every case of an execution has its last result. Counts are of cases, by their last attempt."""

    execution_id: UUID
    suite: str
    suite_id: UUID
    status: FinalStatus
    executed_at: datetime
    started_at: datetime
    finished_at: datetime
    total: int
    passed: int = 0
    failed: int = 0  # failed, error and timeout together
    skipped: int = 0  # skipped and cancelled together
    flaky: int = 0  # passed after a retry
    error_message: str | None = None

    @property
    def event_id(self) -> str:
        return f"finished:{self.execution_id}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.execution.finished.{self.execution_id}"

    @property
    def time(self) -> datetime | None:
        return self.finished_at

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex


class ExecutionRefused(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.execution.refused.v1"):
    """A request that cannot become an execution: unknown or disabled suite, missing variable, …

    It is recorded as an execution with status `error` so that nobody waits for it in vain.
    """

    execution_id: UUID
    suite: str
    suite_id: UUID
    reason: str
    triggered_by: TriggeredBy
    executed_at: datetime
    requested_by: str | None = None
    ci_commit_sha: str | None = None
    ci_branch: str | None = None

    @property
    def event_id(self) -> str:
        return f"refused:{self.execution_id}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.execution.refused.{self.execution_id}"

    @property
    def time(self) -> datetime | None:
        return self.executed_at

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex
