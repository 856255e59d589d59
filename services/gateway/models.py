"""What the API takes and gives. Field names are the words of the platform; times are RFC 3339 in UTC."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from services.gateway import values
from services.gateway.auth import Role
from services.gateway.definitions import Change
from shared.events import ArtifactKind, ErrorType, Kind, ResultStatus, TriggeredBy
from shared.suites.definition import Name, VariableName

ExecutionStatus = Literal["queued", "running", "passed", "failed", "error", "timeout", "cancelled", "skipped"]
# PostgreSQL's text takes everything but NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=500)]
Item = TypeVar("Item")


def _storable(value: Item) -> Item:
    values.check(value)
    return value


class Body(BaseModel):
    """What is sent: an unknown field is a mistake that somebody wants to know of."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[Item]):
    """Part of a list."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="for the next page; null: this is the last")


class Login(Body):
    username: Annotated[str, StringConstraints(max_length=200)] = Field(examples=["admin"])
    password: Annotated[str, StringConstraints(max_length=1000)] = Field(examples=["correct horse battery staple"])
    tenant: Annotated[str, StringConstraints(max_length=100)] = "default"


class Token(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105
    expires_in: int = Field(description="seconds", examples=[1800])


class Me(BaseModel):
    name: str = Field(description="of the user or the key", examples=["admin"])
    tenant: str = Field(examples=["default"])
    role: Role
    via: Literal["token", "api key"]


class Statistics(BaseModel):
    """Of a suite, over the last 30 days."""

    suite_id: UUID
    suite_name: str = Field(examples=["checkout"])
    total_executions: int
    passed_executions: int
    failed_executions: int
    pass_rate: float | None = Field(description="percent of those that came to a verdict", examples=[98.5])
    avg_execution_time_ms: float | None
    last_execution_at: datetime | None


class SuiteRow(BaseModel):
    id: UUID
    name: str = Field(examples=["checkout"])
    revision: int
    description: str
    enabled: bool
    schedule_cron: str | None = Field(examples=["*/15 * * * *"])
    timezone: str
    cases: int
    created_at: datetime
    updated_at: datetime
    last_execution_id: UUID | None
    last_status: str | None
    last_execution_at: datetime | None


class Suite(BaseModel):
    id: UUID
    name: str = Field(examples=["checkout"])
    revision: int
    definition: dict[str, Any] = Field(description="as saved, without what has its default value")
    created_at: datetime
    saved_at: datetime
    saved_by: str | None
    statistics: Statistics | None = Field(description="null where nothing is recorded yet")


class Saved(BaseModel):
    """What became of a definition that was sent."""

    id: UUID
    name: str = Field(examples=["checkout"])
    revision: int
    changed: bool = Field(description="false: it was saved like this already")
    created: bool
    dry_run: bool
    changes: list[Change]
    before: dict[str, Any] | None = Field(description="the definition that this one takes the place of")
    definition: dict[str, Any]


class Valid(BaseModel):
    """A definition that can be saved."""

    name: str
    cases: int
    definition: dict[str, Any] = Field(description="as it would be saved, each case with its kind and timeout")


class Trigger(Body):
    suite: Name = Field(examples=["checkout"])
    variables: Annotated[dict[VariableName, JsonValue], AfterValidator(_storable)] = Field(
        default_factory=dict, description="instead of the suite's"
    )
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")] | None = (
        Field(None, description="two requests with one key are one execution", examples=["build-4711"])
    )
    triggered_by: Literal["manual", "ci", "api"] = "api"
    ci_commit_sha: Text | None = None
    ci_branch: Text | None = None


class Triggered(BaseModel):
    execution_id: UUID
    suite: str
    status: Literal["queued"] = "queued"
    idempotency_key: str
    repeated: bool = Field(description="true: an execution with this key was asked for before")


class Cancel(Body):
    reason: Text | None = None


class Cancelling(BaseModel):
    execution_id: UUID
    status: Literal["cancelling"] = "cancelling"


class Execution(BaseModel):
    """A run of a suite, as far as it has come. Counts are of cases, by their last attempt."""

    id: UUID
    suite: str = Field(examples=["checkout"])
    suite_id: UUID
    revision: int | None = None
    status: ExecutionStatus
    executed_at: datetime = Field(description="when it was made; of a queued one, when it was asked for")
    total: int = 0
    passed: int = 0
    failed: int = Field(0, description="failed, error and timeout together")
    skipped: int = Field(0, description="skipped and cancelled together")
    flaky: int = Field(0, description="passed after a retry")
    triggered_by: TriggeredBy = "api"
    requested_by: str | None = None
    ci_commit_sha: str | None = None
    ci_branch: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    error_message: str | None = None


class Artifact(BaseModel):
    id: UUID
    result_id: UUID
    name: str = Field(examples=["screenshot.png"])
    kind: ArtifactKind
    content_type: str = Field(examples=["image/png"])
    size: int = Field(description="bytes")
    sha256: str
    url: str = Field(description="where the file is", examples=["/api/v1/artifacts/4d1f9a0e-…"])
    created_at: datetime


class ArtifactOfCase(Artifact):
    case: str
    attempt: int


class Metric(BaseModel):
    id: UUID
    result_id: UUID
    name: str = Field(examples=["time_total"])
    value: float
    unit: str = Field(examples=["ms"])
    created_at: datetime


class MetricOfCase(Metric):
    case: str
    attempt: int


class StepOfResult(BaseModel):
    """A named, timed part of a case; `parent` is the index of the enclosing step."""

    name: str
    status: str = "passed"
    offset_ms: float
    duration_ms: float
    error_message: str | None = None
    parent: int | None = None


class Result(BaseModel):
    """What one attempt of a case ended in."""

    id: UUID
    execution_id: UUID
    case: str
    skill: str
    kind: Kind
    role: str = Field(description="case, or what ran for one", examples=["case"])
    attempt: int
    status: ResultStatus
    error_type: ErrorType | None
    error_message: str | None
    stack_trace: str | None
    duration_ms: int
    started_at: datetime
    finished_at: datetime
    executor: str | None
    steps: list[StepOfResult]
    artifacts: list[Artifact]
    screenshot_url: str | None
    video_url: str | None
    log_url: str | None


class ResultDetail(Result):
    metrics: list[Metric]


class Skill(BaseModel):
    name: str = Field(examples=["http-check"])
    kind: Kind
    description: str
    version: str
    enabled: bool
    timeout_seconds: float
    offered_at: datetime = Field(description="when an executor last said that it has it")
    params_schema: dict[str, Any] = Field(description="JSON Schema of the skill's params")
    documentation: str = Field(description="Markdown")


class ServiceStatus(BaseModel):
    """What a live process said of itself."""

    service: str = Field(examples=["executors"])
    instance: str
    version: str = ""
    uptime_seconds: float = 0
    details: dict[str, Any] = {}


class StreamDepth(BaseModel):
    messages: int
    bytes: int
    last_sequence: int


class Status(BaseModel):
    """The platform now."""

    suites: int
    running_executions: int
    services: list[ServiceStatus]
    queues: dict[str, int] = Field(description="tasks that no executor has taken, by consumer")
    running: int = Field(description="tasks that executors have taken and not finished")
    backlog: dict[str, int] = Field(description="messages that a service has not taken, by stream/consumer")
    recorder_lag: int = Field(description="events stored and not yet recorded")
    dead_letters: int
    streams: dict[str, StreamDepth]
