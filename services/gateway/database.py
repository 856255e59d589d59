"""PostgreSQL as the gateway sees it: views of the projection, one tenant at a time, and its own accounts."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from shared.errors import Unavailable
from shared.settings import DatabaseSettings
from shared.sql import load_queries

Row = Mapping[str, Any]
# Errors of the connection and the server; those of a query are ours, and no reason to try again.
_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)


class Database:
    """Runs the queries of `queries.sql` by name. One connection pool a process."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", queries: Mapping[str, str]) -> None:
        self._pool = pool
        self._sql = queries

    @classmethod
    async def connect(cls, settings: DatabaseSettings) -> "Database":
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
                max_size=10,
                command_timeout=15,
                init=_read_json,
                server_settings={"application_name": "webguard-gateway"},
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"PostgreSQL at {settings.database_url}: {error}") from error
        return cls(pool, load_queries(Path(__file__).parent / "queries.sql"))

    async def close(self) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        await self._pool.fetchval("select 1", timeout=2)

    async def bypasses_rows(self) -> bool:
        """Whether row-level security does not hold for the role that we are."""
        return bool(
            await self._pool.fetchval("select rolsuper or rolbypassrls from pg_roles where rolname = current_user")
        )

    async def tenant_rows(self, tenant: str, query: str, *arguments: Any) -> list[Row]:
        """Rows of one tenant; the query's first parameter is the tenant.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._connection() as connection, connection.transaction(readonly=True):
            await connection.execute("select set_config('webguard.tenant', $1, true)", tenant)
            rows: list[Row] = await connection.fetch(self._sql[query], tenant, *arguments)
            return rows

    async def tenant_row(self, tenant: str, query: str, *arguments: Any) -> Row | None:
        rows = await self.tenant_rows(tenant, query, *arguments)
        return rows[0] if rows else None

    async def rows(self, query: str, *arguments: Any) -> list[Row]:
        """Rows that belong to no tenant, or are looked for to learn whose they are.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._connection() as connection:
            rows: list[Row] = await connection.fetch(self._sql[query], *arguments)
            return rows

    async def row(self, query: str, *arguments: Any) -> Row | None:
        rows = await self.rows(query, *arguments)
        return rows[0] if rows else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Several queries, all or none."""
        async with self._connection() as connection, connection.transaction():
            yield Transaction(connection, self._sql)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=5) as connection:
                yield connection
        except _AWAY as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error


class Transaction:
    """Queries of one transaction."""

    def __init__(self, connection: Any, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = queries

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self._connection.fetchval(self._sql[query], *arguments)


async def _read_json(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        # The binary form begins with a version byte.
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )
