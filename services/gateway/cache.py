"""What Redis keeps for the gateway. All of it can be lost: without Redis the API goes on, and says less."""

import hashlib
import json
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.settings import RedisSettings
from shared.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

REQUESTED_SECONDS = 3600
LOGIN_WINDOW_SECONDS = 900
T = TypeVar("T")


class Cache:
    """Requests that are under way, and wrong passwords counted."""

    def __init__(self, settings: RedisSettings, metrics: Metrics) -> None:
        password = settings.redis_password.get_secret_value() if settings.redis_password else None
        self._redis = Redis.from_url(
            settings.redis_url, password=password, socket_timeout=1, socket_connect_timeout=1, decode_responses=True
        )
        self._metrics = metrics

    async def close(self) -> None:
        await self._redis.aclose()

    async def remember_request(self, tenant: str, execution_id: UUID, request: dict[str, Any]) -> None:
        """So that an execution is known before the recorder has seen it."""
        value = json.dumps({**request, "tenant": tenant})
        await self._try(self._redis.set(f"requested:{execution_id}", value, ex=REQUESTED_SECONDS))

    async def requested(self, tenant: str, execution_id: UUID) -> dict[str, Any] | None:
        """What was asked for under this id within the last hour, by this tenant."""
        value = await self._try(self._redis.get(f"requested:{execution_id}"))
        found = cast(dict[str, Any], json.loads(value)) if value else None
        return found if found and found.get("tenant") == tenant else None

    async def wrong_passwords(self, tenant: str, username: str) -> int:
        return int(await self._try(self._redis.get(_login_key(tenant, username))) or 0)

    async def count_wrong_password(self, tenant: str, username: str) -> None:
        key = _login_key(tenant, username)
        async with self._redis.pipeline(transaction=True) as both:
            # Together: a count without an end would lock its user out for ever.
            both.set(key, 0, ex=LOGIN_WINDOW_SECONDS, nx=True)
            both.incr(key)
            await self._try(both.execute())

    async def _try(self, call: Awaitable[T]) -> T | None:
        try:
            return await call
        except (RedisError, OSError, TimeoutError) as error:
            self._metrics.redis_failures.inc()
            log.warning("Redis does not answer, going on without", extra={"error": str(error)})
            return None


def _login_key(tenant: str, username: str) -> str:
    # What people type is no part of a key as it is: it may be long, or a password in the wrong field.
    return "login:" + hashlib.sha256(f"{tenant}\0{username}".encode()).hexdigest()[:32]
