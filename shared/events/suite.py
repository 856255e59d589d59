"""What is tested: definitions saved and deleted, skills that executors offer."""

from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events.base import Message


class SuiteSaved(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.suite.saved.v1"):
    """A suite has a new revision. The same bytes are the value in KV `suites` under `<tenant>.<suite>`."""

    suite: str
    suite_id: UUID
    revision: int  # 1, 2, 3 …
    definition: dict[str, Any]  # shared.suites.SuiteDefinition as JSON, every case with its kind
    created_at: datetime  # of revision 1
    saved_at: datetime
    saved_by: str | None = None

    @property
    def event_id(self) -> str:
        return f"suite:{self.tenant}/{self.suite}@{self.revision}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.suite.saved.{self.suite}"

    @property
    def time(self) -> datetime | None:
        return self.saved_at


class SuiteDeleted(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.suite.deleted.v1"):
    """A suite is no more; what it ran stays."""

    suite: str
    suite_id: UUID
    revision: int  # of the deletion: one more than the last saved
    deleted_at: datetime
    deleted_by: str | None = None

    @property
    def event_id(self) -> str:
        return f"suite:{self.tenant}/{self.suite}@{self.revision}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.suite.deleted.{self.suite}"

    @property
    def time(self) -> datetime | None:
        return self.deleted_at


class SkillOffered(Message, frozen=True, kw_only=True, omit_defaults=True, tag="webguard.skill.offered.v1"):
    """An executor has a skill. Of the tenant `system`: every tenant may use it."""

    name: str
    kind: str  # browser, api or data
    description: str
    version: str
    params_schema: dict[str, Any]  # JSON Schema 2020-12 of the skill's Params
    digest: str  # of all the above: the same offer has the same id
    offered_at: datetime
    timeout_seconds: float = 300
    documentation: str = ""  # the text of SKILL.md under its front matter

    @property
    def event_id(self) -> str:
        return f"skill:{self.name}@{self.version}/{self.digest}"

    @property
    def subject(self) -> str:
        return f"wg.{self.tenant}.event.skill.offered.{self.name}"

    @property
    def time(self) -> datetime | None:
        return self.offered_at
