"""One gateway and one recorder for all tests of a worker; each test has a tenant of its own."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from services.gateway.auth import make_key
from shared.bus.connection import connect
from shared.bus.publish import Publisher, record
from shared.events import Message, SkillOffered
from tests.integration.gateway.stage import Stage, stage
from tests.servers import bus_settings
from webguard.local.postgres import PostgresServer
from webguard.local.redis import RedisServer

T = TypeVar("T")
SKILL = SkillOffered(
    tenant="system",
    name="http-check",
    kind="api",
    description="Asks a URL",
    version="1.0.0",
    params_schema={
        "type": "object",
        "properties": {"url": {"type": "string"}, "method": {"enum": ["GET", "POST"]}},
        "required": ["url"],
        "additionalProperties": False,
    },
    digest="1",
    offered_at=datetime(2026, 1, 1, tzinfo=UTC),
    timeout_seconds=45,
    documentation="# http-check",
)


@dataclasses.dataclass
class Tenant:
    """A tenant of one test: its keys by role, and a client of its admin."""

    name: str
    id: UUID
    keys: dict[str, str]
    api: httpx.AsyncClient

    def as_role(self, role: str) -> dict[str, str]:
        return {"X-API-Key": self.keys[role]}


class Bus:
    """Admin's connection: says what the other services would say."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.publisher = Publisher(nc)

    async def say(self, *messages: Message) -> None:
        for message in messages:
            await self.publisher.publish(record(message, "webguard/test"))


async def eventually(look: Callable[[], Awaitable[T]], seconds: float = 20) -> T:
    """What `look` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def servers(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Stage]:
    """Servers with streams, tables and roles; no service runs."""
    with stage(postgres_server, redis_server) as made:
        yield made


@pytest.fixture(scope="session")
async def gateway(servers: Stage) -> AsyncIterator[Stage]:
    with servers.service("recorder"), servers.service("gateway") as url:
        running = dataclasses.replace(servers, url=url)
        nc = await connect(bus_settings(servers.nats), "test")
        bus = Bus(nc)
        await bus.say(SKILL)
        async with httpx.AsyncClient(base_url=url) as api, owner_of(servers) as owner:
            probe = await make_tenant(owner, api, f"probe-{token_hex(4)}")

            async def offered() -> bool:
                return len((await api.get("/api/v1/skills", headers=probe.as_role("viewer"))).json()) > 0

            await eventually(offered)
        await nc.close()
        yield running


@asynccontextmanager
async def owner_of(servers: Stage) -> AsyncIterator[Any]:
    """A connection of the database's owner, for what no service may do."""
    connection = await asyncpg.connect(servers.database.dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def owner(servers: Stage) -> AsyncIterator[Any]:
    async with owner_of(servers) as connection:
        yield connection


@pytest.fixture
async def events(servers: Stage) -> AsyncIterator[Bus]:
    nc = await connect(bus_settings(servers.nats), "test")
    yield Bus(nc)
    await nc.close()


async def make_tenant(owner: Any, api: httpx.AsyncClient, name: str) -> Tenant:
    identity = uuid4()
    await owner.execute("insert into accounts.tenants (id, name) values ($1, $2)", identity, name)
    keys = {}
    for role in ("admin", "editor", "viewer"):
        key = make_key()
        insert = "insert into accounts.api_keys (id, tenant_id, name, key_hash, role) values ($1, $2, $3, $4, $5)"
        await owner.execute(insert, key.id, identity, f"{role} of {name}", key.digest, role)
        keys[role] = key.text
    return Tenant(name, identity, keys, api)


@pytest.fixture
async def tenant(gateway: Stage, owner: Any) -> AsyncIterator[Tenant]:
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/v1", timeout=20) as api:
        made = await make_tenant(owner, api, f"t-{token_hex(6)}")
        api.headers["X-API-Key"] = made.keys["admin"]
        yield made


@pytest.fixture
async def other(gateway: Stage, owner: Any) -> AsyncIterator[Tenant]:
    """Another tenant beside the test's own."""
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/v1", timeout=20) as api:
        made = await make_tenant(owner, api, f"o-{token_hex(6)}")
        api.headers["X-API-Key"] = made.keys["admin"]
        yield made


def definition(name: str = "checkout", **more: Any) -> dict[str, Any]:
    """A suite that can be saved."""
    cases = [{"name": "front page", "skill": "http-check", "params": {"url": "${base_url}/"}}]
    return {"suite": name, "variables": {"base_url": "http://127.0.0.1:1"}, "cases": cases, **more}
