"""PostgreSQL as the gateway sees it: reads of the `api_*` views under a tenant, and its own accounts."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg

from services.gateway.auth import Caller, api_key_id, api_key_matches, hash_password, make_api_key, password_matches
from shared.errors import Unavailable
from shared.settings import DatabaseSettings
from shared.sql import load_queries

Row = Mapping[str, Any]


async def _json_columns(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


class Database:
    """One pool. Every read of the projection names its tenant; row-level security does the rest."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._sql = load_queries(Path(__file__).parent / "queries.sql")
        self._nobody = hash_password(uuid4().hex)  # the hash of nothing anybody has

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
                init=_json_columns,
                server_settings={"application_name": "webguard-gateway"},
            )
        except (OSError, asyncpg.PostgresError) as error:
            raise Unavailable(f"PostgreSQL at {settings.database_url}: {error}") from error
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        await self._pool.fetchval("select 1")

    async def rows(self, tenant: str, query: str, *arguments: Any) -> list[Row]:
        """All rows of a named query, as far as they are the tenant's."""
        async with self._connection() as connection, connection.transaction(readonly=True):
            await connection.execute("select set_config('webguard.tenant', $1, true)", tenant)
            return list(await connection.fetch(self._sql[query], *arguments))

    async def row(self, tenant: str, query: str, *arguments: Any) -> Row | None:
        found = await self.rows(tenant, query, *arguments)
        return found[0] if found else None

    async def log_in(self, tenant: str, name: str, password: str) -> Caller | None:
        """Who has this password; takes as long for a name that nobody has."""
        async with self._connection() as connection:
            user = await connection.fetchrow(self._sql["user"], name, tenant)
        if user is None:
            password_matches(self._nobody, password)
            return None
        if not password_matches(user["password_hash"], password):
            return None
        return Caller(user["name"], user["tenant"], user["role"])

    async def caller_of_key(self, key: str) -> Caller | None:
        identity = api_key_id(key)
        if identity is None:
            return None
        async with self._connection() as connection:
            found = await connection.fetchrow(self._sql["api_key"], identity)
        if found is None or not api_key_matches(key, found["key_hash"]):
            return None
        return Caller(found["name"], found["tenant"], found["role"])

    async def bootstrap(self, tenant: str, username: str, password: str) -> str | None:
        """Make the first tenant, its admin and an API key, once.

        Returns:
            The API key; None where there is an admin already.
        """
        async with self._connection() as connection, connection.transaction():
            await connection.execute("lock table accounts.users in exclusive mode")
            if await connection.fetchval(self._sql["has_admin"]):
                return None
            tenant_id = await connection.fetchval(self._sql["add_tenant"], uuid4(), tenant)
            await connection.execute(
                self._sql["add_user"], uuid4(), tenant_id, username, hash_password(password), "admin"
            )
            key, identity, hashed = make_api_key()
            await connection.execute(self._sql["add_api_key"], identity, tenant_id, "local", hashed, "admin")
            return key

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"PostgreSQL: {type(error).__name__}: {error}") from error
