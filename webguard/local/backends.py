"""The servers of a local platform: started here, but for those that the environment names."""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from webguard.local import objectstore
from webguard.local.datadir import DataDir
from webguard.local.environment import DATABASE_ROLES, OWNER_ROLE, Backends, given_passwords
from webguard.local.files import keep_secret
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import DATABASE, PostgresServer
from webguard.local.process import Child, StartFailed
from webguard.local.redis import RedisServer

_TRY_AGAIN_SECONDS = 5.0


class Server(Protocol):
    """What the launcher knows of a server."""

    child: Child | None
    port: int

    def launch(self) -> None: ...

    def wait(self) -> None: ...

    def stop(self) -> None: ...


class LocalServers:
    """Starts them side by side, keeps them running, stops them in order.

    Args:
        outer: the user's environment; a server that it names is not started here.
        s3: False: artifacts go to the JetStream Object Store, as where SeaweedFS is not installed.
    """

    def __init__(self, data: DataDir, outer: Mapping[str, str], *, s3: bool = True) -> None:
        self._data = data
        self._outer = outer
        self.nats = None if self._given("NATS") else NatsServer(data / "nats", data.port("nats"))
        self.postgres = None if self._given("DATABASE") else PostgresServer(data / "postgres", data.port("postgres"))
        self.redis = None if self._given("REDIS") else RedisServer(data / "redis", data.port("redis"))
        ours = s3 and not self._given("S3") and objectstore.installed()
        self.s3 = ObjectStoreServer(data / "s3", data.port("s3", objectstore.GRPC)) if ours else None
        self._database_passwords: dict[str, str] = {}
        self._try_again: dict[str, float] = {}

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

    def tend(self, say: Callable[[str], None]) -> bool:
        """Start again what has died, on the port it had. Returns whether something was started."""
        started = False
        for name, server in self.named.items():
            code = server.child.exit_code if server.child is not None else None
            if code is None or time.monotonic() < self._try_again.get(name, 0):
                continue
            say(f"{name} ended with {code}, starting it again")
            self._try_again[name] = time.monotonic() + _TRY_AGAIN_SECONDS
            try:
                server.stop()
                server.launch()
                server.wait()
                started = True
            except StartFailed as error:
                say(str(error))
        return started

    def stop(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            for stopped in [pool.submit(server.stop) for server in self.named.values()]:
                stopped.result()

    def _make_roles(self, postgres: PostgresServer) -> None:
        for role in (OWNER_ROLE, *DATABASE_ROLES.values()):
            path = postgres.folder / f"{role}.password"
            self._database_passwords[role] = keep_secret(path, lambda: secrets.token_urlsafe(24))
        postgres.execute(roles_sql(self._database_passwords))

    def _given(self, family: str) -> str | None:
        return self._outer.get(f"WEBGUARD_{family}_URL") or None

    def _backends(self) -> Backends:
        outer = self._outer
        if self.s3 is not None:
            s3 = {
                "WEBGUARD_S3_URL": self.s3.url,
                "WEBGUARD_S3_BUCKET": self.s3.bucket,
                "WEBGUARD_S3_REGION": objectstore.REGION,
                "WEBGUARD_S3_ACCESS_KEY": self.s3.access_key,
                "WEBGUARD_S3_SECRET_KEY": self.s3.secret_key,
            }
        else:
            s3 = {key: value for key, value in outer.items() if key.startswith("WEBGUARD_S3_") and self._given("S3")}
        return Backends(
            nats_url=self.nats.url if self.nats else outer["WEBGUARD_NATS_URL"],
            nats_passwords=self.nats.passwords if self.nats else given_passwords("NATS", outer),
            database_url=self.postgres.url if self.postgres else outer["WEBGUARD_DATABASE_URL"],
            database_passwords=self._database_passwords if self.postgres else given_passwords("DATABASE", outer),
            redis_url=self.redis.url if self.redis else outer["WEBGUARD_REDIS_URL"],
            redis_password=self.redis.password if self.redis else outer.get("WEBGUARD_REDIS_PASSWORD"),
            s3=s3,
            # Gateways on several machines must agree on it.
            jwt_secret=outer.get("WEBGUARD_JWT_SECRET")
            or keep_secret(self._data / "jwt.secret", lambda: secrets.token_urlsafe(48)),
        )


def roles_sql(passwords: Mapping[str, str]) -> str:
    """Makes the platform's roles, none of them a superuser: one owns the database, the others use what it grants.

    The text is all ours: role names that are constants, URL-safe passwords.
    """
    lines = []
    for role, password in passwords.items():
        missing = f"if not exists (select from pg_roles where rolname = '{role}')"
        lines.append(f"do $$ begin {missing} then create role {role}; end if; end $$;")
        lines.append(f"alter role {role} with login nosuperuser nocreatedb nocreaterole password '{password}';")
    lines.append(f"alter database {DATABASE} owner to {OWNER_ROLE};")
    lines.append(f"revoke all on database {DATABASE} from public;")
    lines.append(f"grant connect on database {DATABASE} to {', '.join(passwords)};")
    return "\n".join(lines)
