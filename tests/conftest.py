"""Real servers for tests. Each is started when the first test of a worker asks for it, and lives as long as that."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from shared.bus.connection import connect
from shared.bus.provision import provision
from shared.settings import Settings
from tests.servers import Database, bus_settings, database_of, end, server_folder
from webguard.local.launcher import Launcher
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import PostgresServer
from webguard.local.redis import RedisServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests on the whole platform run in one worker: it takes the longest to start."""
    for item in items:
        if "platform" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("platform"))


@pytest.fixture(scope="session")
def platform() -> Iterator[Launcher]:
    """All servers and services, with the skills under tests/skills: for tests that leave it as they found it."""
    with server_folder("platform") as folder:
        extra = {"WEBGUARD_SKILLS_PATH": json.dumps([str(Path(__file__).parent / "skills")])}
        launcher = Launcher(folder, port=0, executor_env=extra)
        launcher.start()
        yield launcher
        launcher.stop()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    """One for all tests of a worker, without streams: use names of your own."""
    with server_folder("nats") as folder:
        server = NatsServer(folder)
        server.start()
        yield server
        end(server)


@pytest.fixture
def fresh_nats() -> Iterator[NatsServer]:
    """One for this test alone, without streams: may be killed and started again."""
    with server_folder("nats") as folder:
        server = NatsServer(folder)
        server.start()
        yield server
        end(server)


@pytest.fixture
async def bus(fresh_nats: NatsServer) -> AsyncIterator[Client]:
    """Admin's connection to a server of this test's own that has the platform's streams and consumers."""
    nc = await connect(bus_settings(fresh_nats), "test")
    await provision(nc)
    yield nc
    await nc.close()


@pytest.fixture
def fresh_bus_settings(fresh_nats: NatsServer) -> Settings:
    """How admin reaches the server of `bus`."""
    return bus_settings(fresh_nats)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with server_folder("postgres") as folder:
        server = PostgresServer(folder)
        server.start()
        yield server
        end(server)


@pytest.fixture
def fresh_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database of this test's own."""
    with database_of(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for all tests of a worker: use keys of your own."""
    with server_folder("redis") as folder:
        server = RedisServer(folder)
        server.start()
        yield server
        end(server)


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStoreServer]:
    """An S3 endpoint for all tests of a worker: use keys of your own."""
    with server_folder("s3") as folder:
        server = ObjectStoreServer(folder)
        server.start()
        yield server
        end(server)
