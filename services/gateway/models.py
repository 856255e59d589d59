"""What the API answers."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list; the last one has no cursor."""

    items: list[T]
    next_cursor: str | None = None


class Login(BaseModel):
    username: str = Field(examples=["admin"])
    password: str
    tenant: str = "default"


class Token(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="seconds")


class Me(BaseModel):
    name: str
    tenant: str
    role: str


class SuiteSummary(BaseModel):
    id: UUID
    name: str
    description: str
    enabled: bool
    schedule_cron: str | None
    timezone: str
    revision: int
    cases: int
    created_at: datetime
    updated_at: datetime
    last_execution_id: UUID | None
    last_status: str | None
    last_execution_at: datetime | None


class Suite(BaseModel):
    id: UUID
    name: str
    revision: int
    definition: dict[str, JsonValue]
    created_at: datetime
    saved_at: datetime
    saved_by: str | None
    statistics: "Statistics | None" = None


class SuiteSavedAnswer(BaseModel):
    id: UUID
    name: str
    revision: int
    created: bool
    changed: bool
    dry_run: bool
    before: dict[str, JsonValue] | None = Field(None, description="the definition that this one takes the place of")
    definition: dict[str, JsonValue]


class Statistics(BaseModel):
    """Of the last 30 days."""

    suite_id: UUID
    suite_name: str
    total_executions: int
    passed_executions: int
    failed_executions: int
    pass_rate: float | None = Field(description="per cent of the executions that passed, failed, erred or timed out")
    avg_execution_time_ms: float | None
    last_execution_at: datetime | None


class Trigger(BaseModel):
    suite: str = Field(examples=["checkout"])
    variables: dict[str, JsonValue] = {}
    idempotency_key: str | None = Field(None, max_length=200, description="the same key is the same execution")
    triggered_by: Literal["manual", "ci", "api"] = "api"
    ci_commit_sha: str | None = Field(None, max_length=64)
    ci_branch: str | None = Field(None, max_length=255)


class Triggered(BaseModel):
    execution_id: UUID
    suite: str
    status: Literal["queued"] = "queued"


class Cancel(BaseModel):
    reason: str = Field("cancelled on request", max_length=500)


class Execution(BaseModel):
    id: UUID
    suite: str
    suite_id: UUID
    revision: int | None
    status: str
    executed_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    total: int
    passed: int
    failed: int
    skipped: int
    flaky: int
    duration_ms: int | None
    triggered_by: str
    requested_by: str | None
    ci_commit_sha: str | None
    ci_branch: str | None
    error_message: str | None


class Result(BaseModel):
    id: UUID
    execution_id: UUID
    case: str
    skill: str
    kind: str
    role: str
    attempt: int
    status: str
    error_type: str | None
    error_message: str | None
    stack_trace: str | None
    duration_ms: int
    screenshot_url: str | None = Field(description="path of the artifact in this API")
    video_url: str | None
    log_url: str | None
    executor: str | None
    steps: list[dict[str, Any]]
    started_at: datetime
    finished_at: datetime


class Metric(BaseModel):
    result_id: UUID
    case: str
    attempt: int
    name: str
    value: float
    unit: str
    created_at: datetime


class Artifact(BaseModel):
    id: UUID
    result_id: UUID
    case: str
    attempt: int
    name: str
    kind: str
    content_type: str
    size: int = Field(description="bytes")
    sha256: str
    url: str = Field(description="path in this API; answers with the file or a link to it")


class Skill(BaseModel):
    name: str
    kind: str
    description: str
    version: str
    timeout_seconds: float
    params_schema: dict[str, Any]
    documentation: str
    offered_at: datetime


class ServiceStatus(BaseModel):
    """What a live service said of itself."""

    service: str
    instance: str
    version: str
    uptime_seconds: float
    details: dict[str, Any] = {}


class PlatformStatus(BaseModel):
    services: list[ServiceStatus]
    queues: dict[str, int] = Field(description="tasks that no executor has taken, by consumer")
    recorder_lag: int = Field(description="events stored and not recorded")
    dead_letters: int
    running: int = Field(description="tasks that executors have taken and not finished")
