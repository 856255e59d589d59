"""The model of a suite file. Shape only: what needs skills or the other cases is in `validate`."""

from typing import Annotated, Any, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from shared.events import Kind
from shared.events.ids import TOKEN
from shared.suites.cron import check_cron

Name = Annotated[str, StringConstraints(pattern=f"^{TOKEN.pattern}$")]
CaseName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


def _known_zone(zone: str) -> str:
    if zone not in available_timezones():
        raise ValueError(f"{zone!r} is not an IANA time zone, e.g. UTC, Europe/Berlin, Asia/Taipei")
    return zone


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Retry(_Strict):
    """When an attempt did not pass, and not because the test itself is wrong, try again."""

    attempts: int = Field(1, ge=1, le=10, description="attempts in all; 1: no retry")
    backoff_seconds: float = Field(1, ge=0, le=600, description="wait before the second attempt; doubles each time")
    max_backoff_seconds: float = Field(600, ge=0, le=600, description="no wait is longer")
    jitter: bool = Field(True, description="wait between half and all of it, so that retries do not come in step")


class CaseDefinition(_Strict):
    """One test: a skill, its params, its place in the workflow."""

    name: CaseName
    skill: Name
    kind: Kind | None = Field(None, description="follows from the skill; filled in when the suite is saved")
    description: str = ""
    params: dict[str, JsonValue] = Field(default_factory=dict, description="the skill's params; may hold ${name}")
    depends_on: list[CaseName] = Field(default_factory=list, description="cases that must pass before this one starts")
    priority: int = Field(0, ge=-1000, le=1000, description="larger first")
    timeout_seconds: float | None = Field(None, gt=0, le=86_400, description="default: the skill's, else 300")
    retry: Retry | None = Field(None, description="instead of the suite's")
    save: dict[VariableName, str] = Field(
        default_factory=dict, description="variable → JMESPath into what the skill returns, for later cases"
    )
    tags: list[str] = Field(default_factory=list)
    enabled: bool = True


class SuiteDefinition(_Strict):
    """A named set of cases with a schedule, limits and variables."""

    suite: Name
    description: str = ""
    enabled: bool = True
    schedule: Annotated[str, AfterValidator(check_cron)] | None = Field(
        None, description="cron: 5 fields, or 6 with seconds first, or @hourly, @daily, …"
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    max_concurrent_tests: int = Field(5, ge=1, le=10_000)
    timeout_minutes: float = Field(60, gt=0, le=1440, description="deadline of an execution")
    retry: Retry = Retry()
    variables: dict[VariableName, JsonValue] = Field(default_factory=dict)
    cases: list[CaseDefinition] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: set[str] = set()
        for index, case in enumerate(self.cases):
            if case.name in seen:
                raise ValueError(f"cases.{index}.name: there is already a case {case.name!r} in this suite")
            seen.add(case.name)
        return self

    def document(self) -> dict[str, Any]:
        """As stored: JSON, without what has its default value."""
        return self.model_dump(mode="json", exclude_defaults=True)
