"""Executions that were asked for and are not recorded yet, kept in Redis for an hour. All of it can be lost:
then such an execution is unknown for the moment until it is recorded."""

import json
import logging
from datetime import UTC, datetime
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway.models import Execution
from shared.events.ids import suite_id

log = logging.getLogger(__name__)
SECONDS = 3600


class Requested:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def note(self, tenant: str, execution_id: UUID, suite: str) -> None:
        about = json.dumps({"suite": suite, "at": datetime.now(UTC).isoformat()})
        try:
            await self._redis.set(f"requested:{tenant}:{execution_id}", about, ex=SECONDS)
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer, going on without", extra={"error": str(error)})

    async def find(self, tenant: str, execution_id: UUID) -> Execution | None:
        try:
            found = await self._redis.get(f"requested:{tenant}:{execution_id}")
        except (RedisError, OSError) as error:
            log.warning("Redis does not answer, going on without", extra={"error": str(error)})
            return None
        if found is None:
            return None
        about = json.loads(found)
        return Execution(
            id=execution_id,
            suite=about["suite"],
            suite_id=suite_id(tenant, about["suite"]),
            revision=None,
            status="queued",
            executed_at=datetime.fromisoformat(about["at"]),
            started_at=None,
            completed_at=None,
            total=0,
            passed=0,
            failed=0,
            skipped=0,
            flaky=0,
            duration_ms=None,
            triggered_by="api",
            requested_by=None,
            ci_commit_sha=None,
            ci_branch=None,
            error_message=None,
        )
