"""What the REST API answers, as far as commands read it."""

from typing import Any
from uuid import UUID

import msgspec

from shared.events import ErrorType, Kind, ResultStatus

FINAL = frozenset(("passed", "failed", "error", "timeout", "cancelled", "skipped"))


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Answers are read by name; fields that we do not know are left out."""


class Saved(_Answer, frozen=True, kw_only=True):
    """What became of a suite that was sent."""

    name: str
    revision: int
    created: bool
    changed: bool
    before: dict[str, Any] | None = None  # the definition that this one takes the place of
    definition: dict[str, Any] = {}  # as saved: with the kinds and timeouts of its skills


class SuiteRow(_Answer, frozen=True, kw_only=True):
    name: str
    revision: int = 0
    description: str = ""
    enabled: bool = True
    schedule_cron: str | None = None
    timezone: str = "UTC"
    cases: int = 0
    updated_at: str | None = None
    last_execution_id: UUID | None = None
    last_status: str | None = None
    last_execution_at: str | None = None


class Execution(_Answer, frozen=True, kw_only=True):
    """A run of a suite, as far as it has come."""

    id: UUID
    suite: str
    status: str
    total: int = 0
    passed: int = 0
    failed: int = 0  # failed, error and timeout together
    skipped: int = 0  # skipped and cancelled together
    flaky: int = 0  # passed after a retry
    triggered_by: str = ""
    requested_by: str | None = None
    ci_commit_sha: str | None = None
    ci_branch: str | None = None
    executed_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    duration_ms: int | None = None
    error_message: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


class Result(_Answer, frozen=True, kw_only=True):
    """What one attempt of a case ended in."""

    case: str
    skill: str
    kind: Kind | None = None
    attempt: int = 1
    status: ResultStatus
    error_type: ErrorType | None = None
    error_message: str | None = None
    duration_ms: int = 0
