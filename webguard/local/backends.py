"""The servers of a local platform: started here, but for those that the environment names."""

import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from webguard.local.environment import DATABASE_ROLES, Backends
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ACCESS_KEY, BUCKET, ObjectStoreServer
from webguard.local.postgres import OWNER, PostgresServer
from webguard.local.process import Child, keep_secret
from webguard.local.redis import RedisServer


class Server(Protocol):
    """What the launcher knows of a server."""

    child: Child | None

    def launch(self) -> None: ...

    def wait(self) -> None: ...

    def stop(self) -> None: ...


class LocalServers:
    """Starts them side by side, stops them in order."""

    def __init__(self, folder: Path, outer: Mapping[str, str], *, s3: bool = True) -> None:
        self._folder = folder
        self._outer = outer
        self.nats = None if "WEBGUARD_NATS_URL" in outer else NatsServer(folder / "nats")
        self.postgres = None if "WEBGUARD_DATABASE_URL" in outer else PostgresServer(folder / "postgres")
        self.redis = None if "WEBGUARD_REDIS_URL" in outer else RedisServer(folder / "redis")
        self.s3 = ObjectStoreServer(folder / "s3") if s3 and "WEBGUARD_S3_URL" not in outer else None
        self._database_passwords: dict[str, str] = {}

    @property
    def named(self) -> dict[str, Server]:
        """Those that are ours, by name."""
        every: dict[str, Server | None] = {
            "nats": self.nats,
            "postgres": self.postgres,
            "redis": self.redis,
            "s3": self.s3,
        }
        return {name: server for name, server in every.items() if server is not None}

    def start(self, say: Callable[[str], None]) -> Backends:
        """Start what is ours and say where everything is.

        Raises:
            StartFailed: a server did not start.
        """
        say(f"starting {', '.join(self.named) or 'nothing: every server is given'}")
        # In this thread: a child ends with the thread that started it (PR_SET_PDEATHSIG).
        for server in reversed(list(self.named.values())):
            server.launch()
        for server in self.named.values():
            server.wait()
        if self.postgres is not None:
            self._make_roles(self.postgres)
        return self._backends()

    def stop(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            for stopped in [pool.submit(server.stop) for server in self.named.values()]:
                stopped.result()

    def _make_roles(self, postgres: PostgresServer) -> None:
        for role in DATABASE_ROLES.values():
            kept = keep_secret(postgres.folder / f"{role}.password", lambda: secrets.token_urlsafe(24))
            self._database_passwords[role] = kept
            # The text is ours: a role name of a constant and a URL-safe password.
            make = (
                f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') then "
                f"create role {role} login; end if; end $$; alter role {role} login password '{kept}'"
            )
            postgres.run("psql", "-qv", "ON_ERROR_STOP=1", "-d", "webguard", "-c", make)
        self._database_passwords[OWNER] = postgres.password

    def _backends(self) -> Backends:
        outer = self._outer
        if self.s3 is not None:
            s3 = {
                "WEBGUARD_S3_URL": self.s3.url,
                "WEBGUARD_S3_BUCKET": BUCKET,
                "WEBGUARD_S3_ACCESS_KEY": ACCESS_KEY,
                "WEBGUARD_S3_SECRET_KEY": self.s3.secret_key,
            }
        else:
            s3 = {key: value for key, value in outer.items() if key.startswith("WEBGUARD_S3_")}
        return Backends(
            nats_url=self.nats.url if self.nats else outer["WEBGUARD_NATS_URL"],
            nats_passwords=self.nats.passwords if self.nats else _given(outer, "WEBGUARD_NATS"),
            database_url=self.postgres.url if self.postgres else outer["WEBGUARD_DATABASE_URL"],
            database_passwords=self._database_passwords,
            redis_url=self.redis.url if self.redis else outer["WEBGUARD_REDIS_URL"],
            redis_password=self.redis.password if self.redis else outer.get("WEBGUARD_REDIS_PASSWORD"),
            s3=s3,
            jwt_secret=keep_secret(self._folder / "jwt.secret", lambda: secrets.token_urlsafe(48)),
        )


def _given(outer: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Passwords of a server from outside: WEBGUARD_NATS_PASSWORD_<USER>."""
    start = f"{prefix}_PASSWORD_"
    return {key.removeprefix(start).lower(): value for key, value in outer.items() if key.startswith(start)}
