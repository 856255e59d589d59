"""Suites as they are defined: KV `suites` is the truth, every save a new revision, every revision an event."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from nats.aio.client import Client
from pydantic import ValidationError

from services.gateway.database import Database, Row
from services.gateway.problems import FieldError, ProblemError
from shared.bus import envelope, lookup
from shared.bus.publish import BatchPublisher, Publisher, Record
from shared.bus.topology import SUITES_BUCKET
from shared.errors import LostRace
from shared.events import SuiteDeleted, SuiteSaved, decode, encode
from shared.events.ids import suite_id
from shared.suites import SkillInfo, SuiteDefinition, check
from shared.suites.params import check_params

log = logging.getLogger(__name__)

_STREAM = f"KV_{SUITES_BUCKET}"
SAVE_TRIES = 5


@dataclass(frozen=True)
class Saved:
    """What saving came to."""

    event: SuiteSaved
    created: bool
    changed: bool


class Definitions:
    """Reads and writes suites."""

    def __init__(self, nc: Client, publisher: Publisher, events: BatchPublisher, database: Database) -> None:
        self._nc = nc
        self._publisher = publisher
        self._events = events
        self._database = database

    async def get(self, tenant: str, name: str) -> SuiteSaved:
        """
        Raises:
            ProblemError: 404, there is no such suite.
        """
        saved = await lookup.saved_suite(self._nc, tenant, name)
        if saved is None:
            raise ProblemError(404, f"there is no suite {name!r}")
        return saved

    async def validate(self, tenant: str, body: Any) -> SuiteDefinition:
        """The definition with what follows from the skills filled in (kind, time-out).

        Raises:
            ProblemError: 422 with every fault and its field.
        """
        try:
            suite = SuiteDefinition.model_validate(body)
        except ValidationError as error:
            faults = [_fault(e) for e in error.errors()]
            raise ProblemError(422, "the suite is not valid; see errors", faults) from error
        rows = await self._database.rows(tenant, "skills", None)
        faults = [FieldError(field=f.field, message=f.message) for f in check(suite, skill_infos(rows))]
        if faults:
            raise ProblemError(422, f"suite {suite.suite!r} is not valid; see errors", faults)
        by_name = {row["name"]: row for row in rows}
        cases = [
            case.model_copy(
                update={
                    "kind": by_name[case.skill]["category"],
                    "timeout_seconds": case.timeout_seconds or by_name[case.skill]["timeout_seconds"],
                }
            )
            for case in suite.cases
        ]
        return suite.model_copy(update={"cases": cases})

    async def save(self, tenant: str, suite: SuiteDefinition, by: str, now: datetime, *, dry_run: bool) -> Saved:
        """Save a validated definition; the same definition again changes nothing.

        Raises:
            ProblemError: 409, others keep saving the same suite.
        """
        key = f"$KV.{SUITES_BUCKET}.{tenant}.{suite.suite}"
        document = suite.document()
        for _ in range(SAVE_TRIES):
            stored = await lookup.last(self._nc, _STREAM, key)
            deleted = stored is not None and bool(stored.headers.get("KV-Operation"))
            before = decode(stored.data, SuiteSaved) if stored is not None and stored.data and not deleted else None
            if before is not None and before.definition == document:
                return Saved(before, created=False, changed=False)
            # After a deletion the numbers go on, so that no revision ever names two definitions.
            last = before.revision if before else int(stored.headers.get("wg-revision", "0")) if stored else 0
            event = SuiteSaved(
                tenant=tenant,
                suite=suite.suite,
                suite_id=suite_id(tenant, suite.suite),
                revision=last + 1,
                definition=document,
                created_at=before.created_at if before else now,
                saved_at=now,
                saved_by=by,
            )
            if dry_run:
                return Saved(event, created=before is None, changed=True)
            expected = {envelope.EXPECTED_LAST_SUBJECT_SEQUENCE: str(stored.sequence if stored else 0)}
            try:
                await self._publisher.publish(Record(key, encode(event), expected))
            except LostRace:
                continue
            await self._events.publish(event)
            return Saved(event, created=before is None, changed=True)
        raise ProblemError(409, f"suite {suite.suite!r} is being saved by others; try again")

    async def delete(self, tenant: str, name: str, by: str, now: datetime) -> None:
        """
        Raises:
            ProblemError: 404, there is no such suite; 409, it is being saved.
        """
        saved = await self.get(tenant, name)
        key = f"$KV.{SUITES_BUCKET}.{tenant}.{name}"
        stored = await lookup.last(self._nc, _STREAM, key)
        revision = saved.revision + 1
        headers = {"KV-Operation": "DEL", "wg-revision": str(revision)}
        headers[envelope.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(stored.sequence if stored else 0)
        try:
            await self._publisher.publish(Record(key, b"", headers))
        except LostRace as error:
            raise ProblemError(409, f"suite {name!r} is being saved by others; try again") from error
        await self._events.publish(
            SuiteDeleted(
                tenant=tenant, suite=name, suite_id=saved.suite_id, revision=revision, deleted_at=now, deleted_by=by
            )
        )

    async def say_again(self) -> int:
        """Publish the event of every suite whose revision PostgreSQL does not have: a save may have ended
        between the truth and its event. Returns how many."""
        said = 0
        recorded: dict[str, dict[str, Row]] = {}
        async for message in lookup.latest(self._nc, _STREAM, f"$KV.{SUITES_BUCKET}.>"):
            if message.headers.get("KV-Operation") or not message.data:
                continue
            saved = decode(message.data, SuiteSaved)
            if saved.tenant not in recorded:
                rows = await self._database.rows(saved.tenant, "revisions")
                recorded[saved.tenant] = {row["name"]: row for row in rows}
            known = recorded[saved.tenant].get(saved.suite)
            if known is None or known["revision"] < saved.revision:
                await self._events.publish(saved)
                said += 1
        return said


def skill_infos(rows: Sequence[Row]) -> Mapping[str, SkillInfo]:
    """What the registry says of each skill, as validation wants it."""
    return {
        row["name"]: SkillInfo(row["name"], row["category"], partial(check_params, row["params_schema"]))
        for row in rows
    }


def _fault(error: Any) -> FieldError:
    text = error["msg"].removeprefix("Value error, ")
    field = ".".join(str(part) for part in error["loc"])
    # A validator of the whole suite names the field itself, at the start of its text.
    if not field and ": " in text:
        field, text = text.split(": ", 1)
    if error["type"] == "extra_forbidden":
        text = "there is no such field here"
    return FieldError(field=field or "suite", message=text)
