"""PostgreSQL: a batch of events in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from services.recorder.projections import case_rows, columns, project, suite_row
from shared.bus.topology import EVENTS
from shared.errors import Permanent, Unavailable
from shared.events import Event, SuiteSaved
from shared.settings import DatabaseSettings
from shared.sql import load_queries


@dataclass
class Recorded:
    """What a batch added."""

    results: int = 0
    metrics: int = 0
    artifacts: int = 0
    finished: set[UUID] = field(default_factory=set)  # executions whose end was not recorded before


class Store:
    """Writes the projection. One connection pool a process."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", queries: Mapping[str, str]) -> None:
        self._pool = pool
        self._sql = queries

    @classmethod
    async def connect(cls, settings: DatabaseSettings) -> "Store":
        """
        Raises:
            Unavailable: the database does not answer.
        """
        password = settings.database_password.get_secret_value() if settings.database_password else None
        try:
            pool = await asyncpg.create_pool(
                settings.database_url,
                user=settings.database_user,
                password=password,
                min_size=1,
                max_size=4,
                command_timeout=30,
                server_settings={"application_name": "webguard-recorder"},
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"PostgreSQL at {settings.database_url}: {error}") from error
        return cls(pool, load_queries(Path(__file__).parent / "queries.sql"))

    async def close(self) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        await self._pool.fetchval("select 1")

    async def make_partitions(self, now: datetime) -> int:
        """Of this month and the two after it; returns how many were missing.

        Raises:
            Unavailable: the database does not answer, or a partition cannot be made now.
        """
        try:
            made: int = await self._pool.fetchval("select make_partitions($1)", now)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error
        return made

    async def forget(self) -> None:
        """Empty the projection, before it is rebuilt."""
        await self._pool.execute(self._sql["forget"])

    async def record(self, batch: Sequence[tuple[int, Event]]) -> Recorded:
        """Record events, given with their sequence in EVENTS and in its order, in one transaction.

        Raises:
            Unavailable: the database does not answer; nothing was recorded, or nobody knows.
            Permanent: one of the events cannot be recorded; nothing was.
        """
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                return await self._record(connection, batch)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, OverflowError) as error:
            raise Permanent(f"PostgreSQL refuses it: {error}") from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error

    async def _record(self, connection: Any, batch: Sequence[tuple[int, Event]]) -> Recorded:
        rows = project(event for _, event in batch)
        sql, done = self._sql, Recorded()
        for event in rows.suites:
            await self._suite(connection, event)
        for skill in rows.skills:
            await connection.execute(sql["skill_offered"], *skill)
        for refused in rows.refused:
            await connection.execute(sql["refused"], *refused)
        if rows.started:
            await connection.execute(sql["started"], *columns(list(rows.started.values())))
        if rows.results:
            inserted = await connection.fetch(sql["results"], *columns(list(rows.results.values())))
            done.results = len(inserted)
            # Of a result that was there already the metrics and artifacts are too, or are another delivery's.
            new = {row["id"] for row in inserted}
            metrics = [row for identity, found in rows.metrics.items() if identity in new for row in found]
            artifacts = [row for identity, found in rows.artifacts.items() if identity in new for row in found]
            done.metrics, done.artifacts = len(metrics), len(artifacts)
            if metrics:
                await connection.execute(sql["metrics"], *columns(metrics))
            if artifacts:
                await connection.execute(sql["artifacts"], *columns(artifacts))
        if rows.finished:
            ended = await connection.fetch(sql["finished"], *columns(list(rows.finished.values())))
            done.finished = {row["id"] for row in ended}
        await connection.execute(sql["position"], EVENTS.name, max(sequence for sequence, _ in batch))
        return done

    async def _suite(self, connection: Any, event: Any) -> None:
        if not isinstance(event, SuiteSaved):
            about = (event.suite_id, event.deleted_at, event.revision, event.tenant, event.suite)
            await connection.execute(self._sql["suite_deleted"], *about)
            return
        if await connection.fetchval(self._sql["suite_saved"], *suite_row(event)) is None:
            return  # a later revision is recorded already
        cases = case_rows(event)
        await connection.execute(self._sql["cases_gone"], event.suite_id, [row[3] for row in cases])
        await connection.execute(self._sql["cases_saved"], *columns(cases))
