"""The whole platform on one machine: servers, then provisioning and migrations, then every service as a child."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from webguard.local.backends import LocalServers
from webguard.local.datadir import AlreadyRunning, DataDir, began
from webguard.local.environment import (
    OWNER_ROLE,
    Backends,
    database_environment,
    environment,
    process_names,
    processes,
)
from webguard.local.process import StartFailed, die_with_parent, free_port, free_ports, is_free
from webguard.local.supervisor import Supervisor

__all__ = ["DEFAULT_PORT", "AlreadyRunning", "Launcher", "StartFailed"]

DEFAULT_PORT = 8080
CREDENTIALS = "credentials.json"
RUNTIME = "runtime.json"
_STEP_SECONDS = 120


class Launcher:
    """Starts a platform in a data folder, keeps it running, and stops it in order.

    Call `start` in the main thread: children end with the thread that started them.

    Args:
        port: the gateway's; None: 8080, else the next free one; 0: any free one.
        scale: service → how many processes, see `parse_scale`.
        executor_env: variables for executors alone: secrets of the tested systems, …
        s3: False: artifacts go to the JetStream Object Store.
        say: is told in a line what a person may want to know.
    """

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
        self._data = DataDir(folder)
        self._asked_port = port
        self._scale = dict(scale or {})
        self._executor_env = dict(executor_env or {})
        self._listener = say
        self._s3 = s3
        self._servers: LocalServers | None = None
        self._supervisor: Supervisor | None = None
        self.url = ""

    @property
    def folder(self) -> Path:
        return self._data.path

    @property
    def credentials_file(self) -> Path:
        return self._data / CREDENTIALS

    def start(self) -> None:
        """Start everything; returns when every service is healthy.

        Raises:
            AlreadyRunning: another launcher has this folder.
            StartFailed: something did not start; the text says what and why. What had started is stopped.
        """
        self._data.hold()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Services first, in reverse order, then the servers."""
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._servers is not None:
            self._servers.stop()
            self._servers = None
        self._data.release()

    def _say(self, line: str) -> None:
        with suppress(OSError), (self._data.logs / "launcher.log").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")
        self._listener(line)

    def _start(self) -> None:
        outer = dict(os.environ)
        port = self._gateway_port()
        self._servers = servers = LocalServers(self._data, outer, s3=self._s3)
        backends = servers.start(self._say)
        self.url = f"http://127.0.0.1:{port}"
        self._prepare(backends, outer)
        names = process_names(self._scale)
        ports = dict(zip(names, free_ports(len(names)), strict=True)) | {"gateway": port}
        self._say(f"starting {len(names)} services")
        self._supervisor = Supervisor(self._data.logs, self._say, lambda: servers.tend(self._say), self._write_runtime)
        self._supervisor.start(processes(self._scale, ports, backends, outer, self._executor_env))

    def _prepare(self, backends: Backends, outer: Mapping[str, str]) -> None:
        """Streams, schema, first account: all of it may be done any number of times."""
        self._say("preparing streams and tables")
        admin = environment("admin", "provision", 0, backends, outer)
        owner = environment("migrate", "migrate", 0, backends, outer) | database_environment(
            OWNER_ROLE, backends, outer
        )
        gateway = environment("gateway", "bootstrap", 0, backends, outer)
        out = self._data / "bootstrap.json"
        _together((admin, "shared.bus.provision"), (owner, "services.recorder", "migrate"))
        # The gateway's grants name what the recorder's migrations made.
        _together((owner, "services.gateway", "migrate"))
        _together((gateway, "services.gateway", "bootstrap", "--out", str(out)))
        made = self._data.read(out.name)
        kept = self._data.read(CREDENTIALS)
        self._data.write(CREDENTIALS, {**kept, **made, "url": self.url})
        out.unlink(missing_ok=True)
        if "api_key" not in {**kept, **made}:
            self._say(f"{self.credentials_file} has no API key: the account was made before, use its own")

    def _write_runtime(self) -> None:
        """Who runs where, for people and tests."""
        servers = self._servers.named if self._servers else {}
        services = self._supervisor.running if self._supervisor else []
        runtime: dict[str, Any] = {
            "launcher": os.getpid(),
            "url": self.url,
            "services": {
                s.process.name: _entry(s.child.pid, s.process.port) | {"starts": s.starts, "log": str(s.log_file)}
                for s in services
            },
            "servers": {name: _entry(s.child.pid, s.port) for name, s in servers.items() if s.child},
            "nats_url": self._servers.nats.url if self._servers and self._servers.nats else None,
            "nats_monitor_url": self._servers.nats.monitor_url if self._servers and self._servers.nats else None,
            "database_url": self._servers.postgres.url if self._servers and self._servers.postgres else None,
        }
        self._data.write(RUNTIME, runtime)

    def _gateway_port(self) -> int:
        if self._asked_port:
            if not is_free(self._asked_port):
                raise StartFailed(f"port {self._asked_port} is in use; choose another --port, or 0 for a free one")
            return self._asked_port
        if self._asked_port == 0:
            return free_port()
        return next((port for port in range(DEFAULT_PORT, DEFAULT_PORT + 100) if is_free(port)), None) or free_port()


def _entry(pid: int, port: int) -> dict[str, Any]:
    return {"pid": pid, "began": began(pid), "port": port}


def _together(*steps: tuple[Mapping[str, str], *tuple[str, ...]]) -> None:
    """Run modules side by side until all have ended.

    Raises:
        StartFailed: one failed; the text is what it said.
    """
    running: list[subprocess.Popen[str]] = []
    try:
        for env, *module in steps:
            running.append(_run(env, *module))
        for process in running:
            _must(process)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _run(env: Mapping[str, str], *module: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *module],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # An interrupt between the start and the next line would leave it waiting for servers that are gone.
        preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
    )


def _must(process: "subprocess.Popen[str]") -> None:
    arguments: Sequence[str] = process.args  # type: ignore[assignment]
    what = f"python {' '.join(arguments[2:5])}"
    try:
        output, _ = process.communicate(timeout=_STEP_SECONDS)
    except subprocess.TimeoutExpired:
        raise StartFailed(f"{what} took longer than {_STEP_SECONDS} s") from None
    if process.returncode != 0:
        raise StartFailed(f"{what} failed:\n{output.strip()[-2000:]}")
