"""A gateway as a process of its own, with the least rights it needs, beside a recorder that fills its tables."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import Database, database_of, end, server_folder
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import PostgresServer
from webguard.local.process import Child, free_port
from webguard.local.redis import RedisServer

JWT_SECRET = "a secret of the tests, at least 32 characters"


@dataclass(frozen=True)
class Stage:
    """The running servers, and the environment of any service on them."""

    folder: Path
    nats: NatsServer
    database: Database
    redis: RedisServer
    role_password: str
    first: Path  # what `bootstrap` wrote
    url: str = ""

    def environment(self, service: str, **more: str) -> dict[str, str]:
        owner = service in ("admin", "owner")
        user = "admin" if owner else service
        return {
            "PATH": os.environ["PATH"],
            "WEBGUARD_NATS_URL": self.nats.url,
            "WEBGUARD_NATS_USER": user,
            "WEBGUARD_NATS_PASSWORD": self.nats.passwords[user],
            "WEBGUARD_DATABASE_URL": self.database.url,
            "WEBGUARD_DATABASE_USER": self.database.user if owner else f"webguard_{service}",
            "WEBGUARD_DATABASE_PASSWORD": self.database.password if owner else self.role_password,
            "WEBGUARD_REDIS_URL": self.redis.url,
            "WEBGUARD_REDIS_PASSWORD": self.redis.password,
            "WEBGUARD_JWT_SECRET": JWT_SECRET,
            **more,
        }

    def run(self, *module: str, role: str = "owner") -> str:
        """Run a command to its end and return what it said."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", *module],
            env=self.environment(role),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{module}: {done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def service(self, service: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
        """A service from ready to stopped; its URL."""
        port = free_port()
        env = {**self.environment(service), "WEBGUARD_HTTP_PORT": str(port), **(environment or {})}
        log = self.folder / f"{service}-{port}.log"
        child = Child(service, [sys.executable, "-P", "-m", f"services.{service}"], log, env=env)
        url = f"http://127.0.0.1:{port}"
        try:
            child.wait_until(lambda: _ready(url))
            yield url
        finally:
            child.stop()


@contextmanager
def stage(postgres: PostgresServer, redis: RedisServer) -> Iterator[Stage]:
    with server_folder("gateway") as folder, database_of(postgres) as database:
        nats = NatsServer(folder / "nats")
        nats.start()
        made = Stage(folder, nats, database, redis, secrets.token_urlsafe(16), folder / "first.json")
        made.run("shared.bus.provision", role="admin")
        made.run("services.recorder", "migrate")
        made.run("services.gateway", "migrate")
        for role in ("webguard_recorder", "webguard_gateway"):
            change = f"alter role {role} login password '{made.role_password}'"
            postgres.run("psql", "-qd", database.name, "-c", change)
        made.run("services.gateway", "bootstrap", "--out", str(made.first), role="gateway")
        yield made
        end(nats)


def s3_environment(server: ObjectStoreServer) -> dict[str, str]:
    return {
        "WEBGUARD_S3_URL": server.url,
        "WEBGUARD_S3_BUCKET": server.bucket,
        "WEBGUARD_S3_ACCESS_KEY": server.access_key,
        "WEBGUARD_S3_SECRET_KEY": server.secret_key,
    }


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
