"""Executions: asked for, cancelled, and found — in PostgreSQL, or in Redis while nobody has recorded them yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from services.gateway.cache import Cache
from services.gateway.cursor import LAST
from services.gateway.database import Database
from services.gateway.models import Execution, ExecutionStatus, Trigger
from services.gateway.problems import Refusal, not_found
from shared.bus import lookup
from shared.bus.publish import MAX_BYTES_EXCEEDED, MESSAGE_TOO_LARGE, record
from shared.errors import PublishFailed
from shared.events import CancelRequest, ExecuteRequest, Message, ids
from shared.service import App

PUBLISH_SECONDS = 5.0


@dataclass(frozen=True)
class Accepted:
    """The server has the request on disk."""

    execution_id: UUID
    idempotency_key: str
    repeated: bool


class Executions:
    """What the API says and asks of executions."""

    def __init__(self, app: App, database: Database, cache: Cache) -> None:
        self._app = app
        self._database = database
        self._cache = cache

    async def trigger(self, tenant: str, wish: Trigger, by: str, now: datetime) -> Accepted:
        """Store a request to run a suite. Returns when it is on disk.

        Raises:
            Refusal: no such suite, a disabled one, a key that another suite has used, or no room for requests.
        """
        saved = await lookup.saved_suite(self._app.nc, tenant, wish.suite)
        if saved is None:
            raise not_found("suite", wish.suite)
        if not saved.definition.get("enabled", True):
            raise Refusal(409, f"suite {wish.suite!r} is disabled; save it with `enabled: true` first")
        key = wish.idempotency_key or str(uuid4())
        execution_id = ids.execution_id(tenant, key)
        before = await self.find(tenant, execution_id) if wish.idempotency_key else None
        if before is not None and before.suite != wish.suite:
            raise Refusal(409, f"idempotency key {key!r} is that of an execution of suite {before.suite!r}")
        request = ExecuteRequest(
            tenant=tenant,
            suite=wish.suite,
            idempotency_key=key,
            triggered_by=wish.triggered_by,
            requested_by=by,
            requested_at=now,
            variables=wish.variables,
            ci_commit_sha=wish.ci_commit_sha,
            ci_branch=wish.ci_branch,
        )
        # First, so that nobody who has the answer is told that there is no such execution.
        asked = {
            "suite": wish.suite,
            "executed_at": now.isoformat(),
            "triggered_by": wish.triggered_by,
            "requested_by": by,
            "ci_commit_sha": wish.ci_commit_sha,
            "ci_branch": wish.ci_branch,
        }
        await self._cache.remember_request(tenant, execution_id, asked)
        await self._ask(request, f"repeat it with idempotency_key {key!r}: it cannot run twice")
        return Accepted(execution_id, key, before is not None)

    async def cancel(self, tenant: str, execution_id: UUID, reason: str | None, by: str) -> None:
        """Store a request to stop an execution.

        Raises:
            Refusal: no such execution, it has ended, or no room for requests.
        """
        execution = await self.get(tenant, execution_id)
        if execution.completed_at is not None:
            raise Refusal(409, f"the execution has ended already: {execution.status}")
        text = reason or f"cancelled by {by}"
        await self._ask(
            CancelRequest(tenant=tenant, execution_id=execution_id, reason=text, requested_by=by), "repeat it"
        )

    async def get(self, tenant: str, execution_id: UUID) -> Execution:
        """
        Raises:
            Refusal: there is none.
        """
        found = await self.find(tenant, execution_id)
        if found is None:
            raise not_found("execution", execution_id)
        return found

    async def find(self, tenant: str, execution_id: UUID) -> Execution | None:
        row = await self._database.tenant_row(tenant, "execution", execution_id)
        if row is not None:
            return execution_of(row)
        asked = await self._cache.requested(tenant, execution_id)
        if asked is None:
            return None
        del asked["tenant"]
        return Execution(id=execution_id, suite_id=ids.suite_id(tenant, asked["suite"]), status="queued", **asked)

    async def page(
        self,
        tenant: str,
        limit: int,
        after: tuple[datetime, UUID] = LAST,
        suite: str | None = None,
        status: ExecutionStatus | None = None,
    ) -> list[Execution]:
        """The latest first."""
        if suite is not None:
            of_suite = ids.suite_id(tenant, suite)
            rows = await self._database.tenant_rows(tenant, "executions_of_suite", limit, *after, of_suite, status)
        elif status is not None:
            rows = await self._database.tenant_rows(tenant, "executions_by_status", limit, *after, status)
        else:
            rows = await self._database.tenant_rows(tenant, "executions", limit, *after)
        return [execution_of(row) for row in rows]

    async def _ask(self, request: Message, what_now: str) -> None:
        try:
            await self._app.publisher.publish(record(request, self._app.source), PUBLISH_SECONDS)
        except PublishFailed as error:
            if error.code == MAX_BYTES_EXCEEDED:
                text = "the platform has more requests than it can hold; try again later"
                raise Refusal(429, text, headers={"Retry-After": "30"}) from error
            if error.code == MESSAGE_TOO_LARGE:
                raise Refusal(422, "the request is larger than 256 KB: put less into its variables") from error
            doubt = "was not stored" if error.code else "may be stored or not"
            raise Refusal(503, f"the request {doubt}; {what_now}", headers={"Retry-After": "5"}) from error


def execution_of(row: Mapping[str, Any]) -> Execution:
    return Execution(
        id=row["id"],
        suite=row["suite_name"],
        suite_id=row["suite_id"],
        revision=row["revision"],
        status=row["status"],
        total=row["total_tests"],
        passed=row["passed_tests"],
        failed=row["failed_tests"],
        skipped=row["skipped_tests"],
        flaky=row["flaky_tests"],
        triggered_by=row["triggered_by"],
        requested_by=row["requested_by"],
        ci_commit_sha=row["ci_commit_sha"],
        ci_branch=row["ci_branch"],
        executed_at=row["executed_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        duration_ms=row["execution_time_ms"],
        error_message=row["error_message"],
    )
