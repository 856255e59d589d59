"""What the server fixtures hand out: connection settings, and databases and folders of a test's own."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from shared.settings import ArtifactSettings, DatabaseSettings, RedisSettings, Settings
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import OWNER, PostgresServer
from webguard.local.redis import RedisServer


@dataclass(frozen=True)
class Database:
    """An empty PostgreSQL database of one test, and its owner, a superuser."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """Without user and password."""
        return self.server.url_of(self.name)

    @property
    def user(self) -> str:
        return OWNER

    @property
    def password(self) -> str:
        return self.server.password

    @property
    def dsn(self) -> str:
        """With user and password."""
        return self.dsn_as(self.user, self.password)

    def dsn_as(self, user: str, password: str) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.server.port}/{self.name}"

    @property
    def settings(self) -> DatabaseSettings:
        return DatabaseSettings(
            database_url=self.url, database_user=self.user, database_password=SecretStr(self.password)
        )


def bus_settings(server: NatsServer, user: str = "admin") -> Settings:
    return Settings(nats_url=server.url, nats_user=user, nats_password=SecretStr(server.passwords[user]))


def redis_settings(server: RedisServer) -> RedisSettings:
    return RedisSettings(redis_url=server.url, redis_password=SecretStr(server.password))


def artifact_settings(server: ObjectStoreServer) -> ArtifactSettings:
    return ArtifactSettings(
        s3_url=server.url,
        s3_bucket=server.bucket,
        s3_access_key=server.access_key,
        s3_secret_key=SecretStr(server.secret_key),
    )


def end(server: NatsServer | PostgresServer | RedisServer | ObjectStoreServer) -> None:
    """Stop a server whose data nobody needs any more."""
    if server.child is not None:
        server.child.stop(signal.SIGINT if isinstance(server, PostgresServer) else signal.SIGKILL)
    server.stop()


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """A folder for a server's data. Not pytest's: those are closed to user nobody, who runs PostgreSQL for root."""
    folder = Path(tempfile.mkdtemp(prefix=f"wg-test-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database_of(server: PostgresServer) -> Iterator[Database]:
    name = f"t_{os.getpid()}_{secrets.token_hex(4)}"
    server.run("createdb", name)
    try:
        yield Database(server, name)
    finally:
        server.run("dropdb", "--force", name)
