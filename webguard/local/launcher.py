"""The whole platform on one machine: servers, then provisioning and migrations, then every service as a child."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from shared.errors import WebGuardError
from webguard.local.backends import LocalServers
from webguard.local.environment import (
    Backends,
    Process,
    database_environment,
    environment,
    process_names,
    processes,
    write_private,
)
from webguard.local.postgres import OWNER
from webguard.local.process import Child, StartFailed, accepts, free_port

DEFAULT_PORT = 8080
READY_SECONDS = 60.0
FIRST_BACKOFF, MOST_BACKOFF, STEADY_SECONDS = 0.2, 10.0, 30.0
CREDENTIALS = "credentials.json"
RUNTIME = "runtime.json"


class AlreadyRunning(WebGuardError):
    """Another launcher uses this data folder."""


@dataclass
class Supervised:
    """A service process and how it has fared."""

    process: Process
    child: Child
    started: float
    backoff: float = FIRST_BACKOFF
    restart_at: float | None = None


class Launcher:
    """Starts a platform in a data folder, keeps it running, and stops it in order."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        scale: Mapping[str, int] | None = None,
        executor_env: Mapping[str, str] | None = None,
        s3: bool = True,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.folder = folder.absolute()
        self._asked_port = port
        self._scale = dict(scale or {})
        self._executor_env = dict(executor_env or {})
        self._say = say
        self._s3 = s3
        self._lock: IO[str] | None = None
        self._servers: LocalServers | None = None
        self._services: list[Supervised] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self.url = ""

    @property
    def credentials_file(self) -> Path:
        return self.folder / CREDENTIALS

    def start(self) -> None:
        """Start everything; returns when every service is healthy.

        Raises:
            AlreadyRunning: another launcher has this folder.
            StartFailed: something did not start; the text says what and why. What had started is stopped.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        self._take_lock()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Services first, in reverse order, then the servers."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        # All are told at once and waited for one by one: they end side by side.
        for supervised in reversed(self._services):
            supervised.child.send(signal.SIGTERM)
        for supervised in reversed(self._services):
            supervised.child.stop()
        self._services.clear()
        if self._servers is not None:
            self._servers.stop()
            self._servers = None
        with suppress(FileNotFoundError):
            (self.folder / RUNTIME).unlink()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _start(self) -> None:
        outer = dict(os.environ)
        self._servers = LocalServers(self.folder, outer, s3=self._s3)
        backends = self._servers.start(self._say)
        port = self._gateway_port()
        self.url = f"http://127.0.0.1:{port}"
        self._prepare(backends, outer)
        names = process_names(self._scale)
        ports = {name: port if name == "gateway" else free_port() for name in names}
        self._say("starting services")
        for process in processes(self._scale, ports, backends, outer, self._executor_env):
            self._services.append(Supervised(process, self._spawn(process), time.monotonic()))
        for supervised in self._services:
            supervised.child.wait_until(lambda port=supervised.process.port: _ready(port), READY_SECONDS)  # type: ignore[misc]
        self._write_runtime()
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def _prepare(self, backends: Backends, outer: Mapping[str, str]) -> None:
        """Streams, schema, first account: all of it may be done any number of times."""
        self._say("provisioning")
        admin = environment("admin", "provision", 0, backends, outer)
        owner = environment("migrate", "migrate", 0, backends, outer) | database_environment(OWNER, backends)
        gateway = environment("gateway", "bootstrap", 0, backends, outer)
        out = self.folder / "bootstrap.json"
        first = [_run(admin, "shared.bus.provision"), _run(owner, "services.recorder", "migrate")]
        for process in first:
            _must(process)
        _must(_run(owner, "services.gateway", "migrate"))
        _must(_run(gateway, "services.gateway", "bootstrap", "--out", str(out)))
        made = json.loads(out.read_text()) if out.exists() else {}
        out.unlink(missing_ok=True)
        kept = json.loads(self.credentials_file.read_text()) if self.credentials_file.exists() else {}
        write_private(self.credentials_file, {**kept, **made, "url": self.url})

    def _spawn(self, process: Process) -> Child:
        command = [sys.executable, "-m", f"services.{process.service}", *process.arguments]
        log = self.folder / "logs" / f"{process.name}.log"
        return Child(process.name, command, log, env=process.env, cwd=_root())

    def _watch(self) -> None:
        """Restart a service that ended, at once the first time, later and later if it keeps ending."""
        while not self._stopping.wait(0.1):
            changed = False
            for supervised in self._services:
                changed |= self._tend(supervised, time.monotonic())
            if changed:
                self._write_runtime()

    def _tend(self, supervised: Supervised, now: float) -> bool:
        code = supervised.child.exit_code
        if code is None:
            return False
        if supervised.restart_at is None:
            if now - supervised.started > STEADY_SECONDS:
                supervised.backoff = FIRST_BACKOFF
            supervised.restart_at = now + supervised.backoff
            self._say(f"{supervised.process.name} ended with {code}, starting it again in {supervised.backoff:g} s")
            supervised.backoff = min(supervised.backoff * 2, MOST_BACKOFF)
        if now < supervised.restart_at or self._stopping.is_set():
            return False
        supervised.child = self._spawn(supervised.process)
        supervised.started, supervised.restart_at = now, None
        return True

    def _write_runtime(self) -> None:
        """Who runs where, for people and tests."""
        servers = self._servers.named if self._servers else {}
        runtime = {
            "launcher": os.getpid(),
            "url": self.url,
            "services": {s.process.name: {"pid": s.child.pid, "port": s.process.port} for s in self._services},
            "servers": {name: {"pid": server.child.pid} for name, server in servers.items() if server.child},
            "nats_url": self._servers.nats.url if self._servers and self._servers.nats else None,
            "database_url": self._servers.postgres.url if self._servers and self._servers.postgres else None,
        }
        part = self.folder / f"{RUNTIME}.part"
        part.write_text(json.dumps(runtime, indent=2) + "\n")
        part.replace(self.folder / RUNTIME)

    def _take_lock(self) -> None:
        lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise AlreadyRunning(
                f"another `webguard up` uses {self.folder}; stop it, or choose another --data-dir"
            ) from error
        self._lock = lock

    def _gateway_port(self) -> int:
        if self._asked_port is not None:
            if self._asked_port and accepts(self._asked_port):
                raise StartFailed(f"port {self._asked_port} is in use; choose another --port, or 0 for a free one")
            return self._asked_port or free_port()
        return DEFAULT_PORT if not accepts(DEFAULT_PORT) else free_port()


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


def _run(env: Mapping[str, str], *module: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=_root(),
        text=True,
    )


def _must(process: "subprocess.Popen[str]") -> None:
    output, _ = process.communicate(timeout=120)
    if process.returncode != 0:
        arguments: Sequence[str] = process.args  # type: ignore[assignment]
        raise StartFailed(f"{' '.join(arguments[1:4])} failed:\n{output.strip()[-2000:]}")


def _root() -> Path:
    """Where `python -m services.…` is found when WebGuard runs from a checkout."""
    return Path(__file__).resolve().parents[2]
