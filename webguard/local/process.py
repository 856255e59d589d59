"""A child process of the launcher: it does not outlive us, its log is kept, and it is ended in order."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from shared.errors import WebGuardError

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: the child may only call what is already there.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class StartFailed(WebGuardError):
    """A program did not start; the text has the last lines of its log."""


class Child:
    """One running program."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_file: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._log: IO[bytes] = log_file.open("ab")
        as_user: dict[str, Any] = {"user": user, "group": group_of(user), "extra_groups": []} if user else {}
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            # A Ctrl-C in the terminal reaches only us: children are ended one after the other.
            start_new_session=True,
            preexec_fn=_die_with_parent,
            **as_user,
        )

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
        """End it; kill it when it takes longer."""
        self.send(with_signal)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until `ready` says so.

        Raises:
            StartFailed: the program ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.exit_code is not None:
                raise StartFailed(f"{self.name} ended with {self.exit_code}:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready after {seconds:g} s:\n{self.last_lines()}")
            time.sleep(0.02)

    def last_lines(self, count: int = 15) -> str:
        text = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return "\n".join(f"  {line}" for line in text.splitlines()[-count:]) or "  (it said nothing)"


def _die_with_parent() -> None:
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def group_of(user: str) -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def keep_secret(path: Path, make: Callable[[], str]) -> str:
    """The content of a file that only its owner may read, made at the first time."""
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
    return path.read_text()
