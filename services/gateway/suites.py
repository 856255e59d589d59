"""Suites: KV is the truth. A revision is written under compare-and-set, then said on EVENTS; a reconciler says it
again where that was lost."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.gateway import definitions
from services.gateway.database import Database
from services.gateway.definitions import Change, Skill
from services.gateway.problems import Refusal, not_found
from shared.bus import lookup
from shared.bus.envelope import EXPECTED_LAST_SUBJECT_SEQUENCE
from shared.bus.lookup import StoredMessage
from shared.bus.publish import MESSAGE_TOO_LARGE, Record, record
from shared.bus.topology import SUITES_BUCKET
from shared.errors import LostRace, Malformed, PublishFailed, Unavailable
from shared.events import Message, SuiteDeleted, SuiteSaved, decode, encode
from shared.events.ids import suite_id
from shared.service import App
from shared.suites import SuiteDefinition

log = logging.getLogger(__name__)

STREAM = f"KV_{SUITES_BUCKET}"
OPERATION = "KV-Operation"
# A deletion has no value to keep these in.
REVISION, DELETED_AT, DELETED_BY = "wg-revision", "wg-deleted-at", "wg-deleted-by"
TRIES = 8
RECONCILE_SECONDS = 60.0
# The server takes 1 MB with its headers.
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Saving:
    """What became of a save."""

    saved: SuiteSaved
    created: bool
    changes: list[Change]
    before: dict[str, Any] | None


@dataclass(frozen=True)
class _Current:
    """What KV holds of a suite: its last revision, or its deletion, or nothing."""

    sequence: int
    revision: int
    saved: SuiteSaved | None


class Suites:
    """Saves, reads and deletes definitions."""

    def __init__(self, app: App, database: Database) -> None:
        self._app = app
        self._database = database

    async def check(self, body: bytes, is_yaml: bool) -> SuiteDefinition:
        """
        Raises:
            Refusal: with each field that is wrong.
        """
        skills = await self._skills()
        return await asyncio.to_thread(lambda: definitions.read(definitions.parse(body, is_yaml), skills))

    async def get(self, tenant: str, suite: str) -> SuiteSaved:
        """
        Raises:
            Refusal: there is none.
        """
        saved = (await self._current(tenant, suite)).saved
        if saved is None:
            raise not_found("suite", suite)
        return saved

    async def names(self, tenant: str) -> list[str]:
        """Every suite that was ever saved, sorted; deleted ones too until their marker is gone."""
        subjects = await lookup.subjects(self._app.nc, STREAM, _key(tenant, "*"))
        return [subject.rsplit(".", 1)[-1] for subject in subjects]

    async def page(self, tenant: str, after: str, limit: int) -> tuple[list[SuiteSaved], bool]:
        """Suites by name, and whether there are more."""
        names = [name for name in await self.names(tenant) if name > after]
        found: list[SuiteSaved] = []
        # Deleted ones leave gaps that the next names fill.
        while names and len(found) <= limit:
            take, names = names[: limit + 1], names[limit + 1 :]
            stored = await lookup.last_of(self._app.nc, STREAM, [_key(tenant, name) for name in take])
            found += [saved for saved in map(_saved, stored.values()) if saved is not None]
        found.sort(key=lambda saved: saved.suite)
        return found[:limit], len(found) > limit

    async def save(
        self, tenant: str, definition: SuiteDefinition, by: str, now: datetime, dry_run: bool = False
    ) -> Saving:
        """Save a definition as the next revision; the same definition again is the same revision.

        Raises:
            Refusal: it is too large, or others keep saving the same suite.
            Unavailable: KV does not answer; it may be saved or not.
        """
        document = definition.document()
        for _ in range(TRIES):
            current = await self._current(tenant, definition.suite)
            before = current.saved
            if before is not None and before.definition == document:
                return Saving(before, False, [], document)
            saved = SuiteSaved(
                tenant=tenant,
                suite=definition.suite,
                suite_id=suite_id(tenant, definition.suite),
                revision=current.revision + 1,
                definition=document,
                created_at=before.created_at if before else now,
                saved_at=now,
                saved_by=by,
            )
            old = before.definition if before else None
            result = Saving(saved, before is None, definitions.changes(old, document), old)
            payload = encode(saved)
            if len(payload) > MAX_BYTES:
                raise Refusal(
                    422,
                    f"the suite takes {len(payload):,} bytes, {MAX_BYTES:,} are the most: split it, or move data out",
                )
            if dry_run or await self._write(tenant, definition.suite, current, payload, {}):
                if not dry_run:
                    await self._announce(saved)
                return result
        raise _contended(definition.suite)

    async def delete(self, tenant: str, suite: str, by: str, now: datetime) -> None:
        """
        Raises:
            Refusal: there is none, or others keep saving it.
            Unavailable: KV does not answer; it may be deleted or not.
        """
        for _ in range(TRIES):
            current = await self._current(tenant, suite)
            if current.saved is None:
                raise not_found("suite", suite)
            deleted = SuiteDeleted(
                tenant=tenant,
                suite=suite,
                suite_id=current.saved.suite_id,
                revision=current.revision + 1,
                deleted_at=now,
                deleted_by=by,
            )
            headers = {
                OPERATION: "DEL",
                REVISION: str(deleted.revision),
                DELETED_AT: now.isoformat(),
                DELETED_BY: by.encode("ascii", "backslashreplace").decode(),
            }
            if await self._write(tenant, suite, current, b"", headers):
                await self._announce(deleted)
                return
        raise _contended(suite)

    async def reconcile(self) -> None:
        """For ever: say again what the recorder has not recorded."""
        while True:
            try:
                said = await self.announce_missing()
                if said:
                    log.info("suites that were not recorded were announced again", extra={"count": said})
            except (Unavailable, PublishFailed) as error:
                log.warning("reconciling suites failed, will be tried again", extra={"error": str(error)})
            await asyncio.sleep(RECONCILE_SECONDS)

    async def announce_missing(self) -> int:
        """Publish the last word on each suite that is further in KV than in PostgreSQL; how many there were."""
        by_tenant = defaultdict(list)
        for subject in await lookup.subjects(self._app.nc, STREAM, _key("*", "*")):
            by_tenant[subject.split(".")[2]].append(subject)
        said = 0
        for tenant, subjects in by_tenant.items():
            recorded = {
                row["name"]: row["revision"] for row in await self._database.tenant_rows(tenant, "suite_revisions")
            }
            for message in (await lookup.last_of(self._app.nc, STREAM, subjects)).values():
                event = _event(tenant, message)
                if event is not None and event.revision > recorded.get(event.suite, 0):
                    await self._app.publisher.publish(record(event, self._app.source))
                    said += 1
        return said

    async def _skills(self) -> dict[str, Skill]:
        rows = await self._database.rows("skill_schemas")
        return {
            row["name"]: Skill(row["name"], row["category"], row["timeout_seconds"], row["params_schema"])
            for row in rows
        }

    async def _current(self, tenant: str, suite: str) -> _Current:
        message = await lookup.last(self._app.nc, STREAM, _key(tenant, suite))
        if message is None:
            return _Current(0, 0, None)
        saved = _saved(message)
        if saved is not None:
            return _Current(message.sequence, saved.revision, saved)
        if REVISION in message.headers:
            return _Current(message.sequence, int(message.headers[REVISION]), None)
        # Deleted by another tool: its revision is one more than the last that was recorded.
        row = await self._database.tenant_row(tenant, "suite_revision", suite)
        return _Current(message.sequence, row["revision"] + 1 if row else 0, None)

    async def _write(
        self, tenant: str, suite: str, current: _Current, payload: bytes, headers: Mapping[str, str]
    ) -> bool:
        """Write after `current` and nothing else; False: another was faster."""
        expected = {EXPECTED_LAST_SUBJECT_SEQUENCE: str(current.sequence)}
        try:
            await self._app.publisher.publish(Record(_key(tenant, suite), payload, {**headers, **expected}))
        except LostRace:
            return False
        except PublishFailed as error:
            if error.code == MESSAGE_TOO_LARGE:
                raise Refusal(422, "the suite is larger than the server takes: split it, or move data out") from error
            # In doubt: look whether it is there.
            stored = await lookup.last(self._app.nc, STREAM, _key(tenant, suite))
            if stored is None or stored.data != payload or stored.sequence == current.sequence:
                raise Unavailable(f"the suite may be saved or not: {error}") from error
        return True

    async def _announce(self, event: Message) -> None:
        try:
            await self._app.publisher.publish(record(event, self._app.source))
        except PublishFailed as error:
            # It is saved: that is the answer. The reconciler says the rest.
            log.warning("suite saved, its event is not said yet", extra={"event": event.event_id, "error": str(error)})


def _key(tenant: str, suite: str) -> str:
    return f"$KV.{SUITES_BUCKET}.{tenant}.{suite}"


def _saved(message: StoredMessage) -> SuiteSaved | None:
    if message.headers.get(OPERATION) or not message.data:
        return None
    try:
        return decode(message.data, SuiteSaved)
    except Malformed as error:
        log.error("KV holds what is no suite", extra={"subject": message.subject, "error": str(error)})
        return None


def _event(tenant: str, message: StoredMessage) -> SuiteSaved | SuiteDeleted | None:
    saved = _saved(message)
    if saved is not None or REVISION not in message.headers:
        return saved
    suite = message.subject.rsplit(".", 1)[-1]
    return SuiteDeleted(
        tenant=tenant,
        suite=suite,
        suite_id=suite_id(tenant, suite),
        revision=int(message.headers[REVISION]),
        deleted_at=datetime.fromisoformat(message.headers.get(DELETED_AT, datetime.now(UTC).isoformat())),
        deleted_by=message.headers.get(DELETED_BY),
    )


def _contended(suite: str) -> Refusal:
    return Refusal(409, f"suite {suite!r} is being saved by others; try again", headers={"Retry-After": "1"})
