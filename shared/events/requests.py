"""Wishes: execute this suite, cancel that execution. They may be refused."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.events.base import Message
from shared.events.ids import instant

TriggeredBy = Literal["schedule", "manual", "ci", "api", "event"]


class ExecuteRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.execute.requested.v1"):
    """Run a suite. The smallest one is `{"suite": "checkout"}` on `wg.<tenant>.request.execute`."""

    suite: str
    tenant: str = ""
    # Two requests with one key are one execution; without a key each stored request is its own.
    idempotency_key: str | None = None
    triggered_by: TriggeredBy = "api"
    requested_by: str | None = None
    requested_at: datetime | None = None
    variables: dict[str, Any] = {}
    ci_commit_sha: str | None = None
    ci_branch: str | None = None

    @property
    def event_id(self) -> str:
        return f"execute:{self.tenant}/{self.idempotency_key}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.request.execute"

    @property
    def time(self) -> datetime | None:
        return self.requested_at


class CancelRequest(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.cancel.requested.v1"):
    """Stop an execution: nothing more is started, what runs is asked to end."""

    execution_id: UUID
    tenant: str = ""
    reason: str = "cancelled on request"
    requested_by: str | None = None

    @property
    def event_id(self) -> str:
        return f"cancel:{self.tenant}/{self.execution_id}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.request.cancel"

    @property
    def trace_id(self) -> str | None:
        return self.execution_id.hex


class Tick(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.tick.v1"):
    """A suite is due at an instant of its schedule."""

    suite: str
    revision: int
    at: datetime

    @property
    def key(self) -> str:
        """The idempotency key of the execution this tick asks for."""
        return f"tick:{self.tenant}/{self.suite}@{instant(self.at)}"

    @property
    def event_id(self) -> str:
        return f"{self.key}#{self.revision}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.tick.{self.suite}"

    @property
    def time(self) -> datetime | None:
        return self.at
