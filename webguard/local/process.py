"""A child process of the launcher: it does not outlive us, its log is kept, and it is ended in order."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from shared.errors import WebGuardError

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: the child may only call what is already there.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_LOG_BYTES = 20_000_000
# Below the range from which the system takes the ports of outgoing connections, so that nobody gets
# ours by chance between the choice and the start. SeaweedFS also listens on its ports + 10000.
_PORTS = range(10_000, 20_000)


class StartFailed(WebGuardError):
    """A program did not start; the text has the last lines of its log."""


class Child:
    """One running program, leader of a process group of its own.

    When the launcher dies, even by SIGKILL, the child gets `last_signal`. The kernel means the *thread* that
    started it: start children from a thread that lives as long as the launcher.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_file: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        last_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log_file = log_file
        if log_file.exists() and log_file.stat().st_size > _LOG_BYTES:
            log_file.replace(log_file.with_name(f"{log_file.name}.1"))
        self._log: IO[bytes] = log_file.open("ab")
        self._began_at = self._log.tell()
        as_user: dict[str, Any] = {"user": user, "group": group_of(user), "extra_groups": []} if user else {}
        try:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                # A Ctrl-C in the terminal reaches only us: children are ended one after the other.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), last_signal),
                **as_user,
            )
        except OSError as error:
            self._log.close()
            raise StartFailed(f"{name} cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM, seconds: float = 15) -> None:
        """End it; kill it when it takes longer. What it left in its process group is killed in any case."""
        self.send(with_signal)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.bury()

    def bury(self) -> None:
        """After its end: kill what is left of its process group and close its log."""
        if self._log.closed:
            return  # by now the number may be another's
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._log.close()

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until `ready` says so.

        Raises:
            StartFailed: the program ended, or was not ready in time; it does not run on.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None and not ready():
                self.bury()
                raise StartFailed(f"{self.name} ended with {self.exit_code}:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                raise StartFailed(f"{self.name} was not ready after {seconds:g} s:\n{self.last_lines()}")
            time.sleep(0.02)

    def last_lines(self, count: int = 15) -> str:
        """What it said last, since this start."""
        with self.log_file.open("rb") as log:
            log.seek(max(self._began_at, log.seek(0, os.SEEK_END) - 100_000))
            text = log.read().decode(errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-count:]) or "  (it said nothing)"


def die_with_parent(parent: int, number: signal.Signals) -> None:
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)


def group_of(user: str) -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    return free_ports(1)[0]


def free_ports(count: int, *also: int) -> list[int]:
    """Different ports that nobody uses now, nor the ports at the distances `also` from them."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if all(is_free(port + distance) for distance in (0, *also)):
            found.append(port)
        if len(found) == count:
            return found
    raise StartFailed(f"too few ports between {_PORTS.start} and {_PORTS.stop} are free")


def is_free(port: int) -> bool:
    """Whether a program could listen on a port of this machine now."""
    with socket.socket() as probe:
        # As servers do: what is left of closed connections does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False
