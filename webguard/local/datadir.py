"""The data folder of a platform on one machine: who uses it, what runs in it, and how to enter."""

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from shared.errors import WebGuardError
from webguard.local.files import write_private
from webguard.local.process import free_ports, is_free


class AlreadyRunning(WebGuardError):
    """Another launcher uses this data folder."""


class DataDir:
    """Paths of a data folder. Only one launcher at a time may hold it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def hold(self) -> None:
        """Take the folder, making it at the first time; wait for what a killed launcher left running.

        Raises:
            AlreadyRunning: another launcher holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self._lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().strip() or "unknown"
            self._lock.close()
            self._lock = None
            raise AlreadyRunning(
                f"{self.path} is in use by another `webguard up` or `demo` (process {holder}): "
                "stop that one, or choose another --data-dir"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        runtime = self.read("runtime.json")
        end_leftovers([*runtime.get("services", {}).values(), *runtime.get("servers", {}).values()])

    def release(self) -> None:
        """Give the folder back; nothing runs in it any more."""
        if self._lock is not None:
            (self.path / "runtime.json").unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of ours; empty where there is none or it cannot be read."""
        try:
            found = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, name: str, content: dict[str, Any]) -> None:
        write_private(self.path / name, json.dumps(content, indent=2) + "\n")

    def port(self, name: str, *also: int) -> int:
        """The port that a server had at its last start, if it is free: links that were handed out stay good."""
        ports = self.read("ports.json")
        known = ports.get(name)
        if isinstance(known, int) and all(is_free(known + distance) for distance in (0, *also)):
            return known
        [port] = free_ports(1, *also)
        self.write("ports.json", {**ports, name: port})
        return port


def began(pid: int) -> str | None:
    """When a process began, which with its number tells it from all others; None: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def end_leftovers(processes: list[dict[str, Any]], seconds: float = 15) -> None:
    """After a launcher was killed its children end by themselves. Two servers on one folder would destroy it."""
    left = [entry for entry in processes if isinstance(entry.get("pid"), int) and entry.get("began")]
    deadline = time.monotonic() + seconds
    while left := [entry for entry in left if began(entry["pid"]) == entry["began"]]:
        if time.monotonic() > deadline:
            for entry in left:
                with suppress(ProcessLookupError):
                    os.kill(entry["pid"], signal.SIGKILL)
            deadline += seconds
        time.sleep(0.05)
