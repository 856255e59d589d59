"""Keeps service processes running: one that ends is started again, later and later if it keeps ending."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from webguard.local.environment import Process
from webguard.local.probe import http_status
from webguard.local.process import Child, StartFailed

FIRST_BACKOFF, MOST_BACKOFF, STEADY_SECONDS = 0.5, 10.0, 30.0
READY_SECONDS = 120.0  # two cores that also start six others


def next_backoff(last: float | None, lived: float) -> float:
    """Seconds until the next start: doubled each time, from the beginning after a life of half a minute."""
    return FIRST_BACKOFF if last is None or lived >= STEADY_SECONDS else min(2 * last, MOST_BACKOFF)


@dataclass
class Supervised:
    """A service process and how it has fared."""

    process: Process
    log_file: Path
    child: Child
    started: float
    starts: int = 1
    backoff: float | None = None
    restart_at: float | None = None


class Supervisor:
    """Runs processes until `stop`.

    Args:
        tend: is called again and again beside that, says whether it started a process.
        changed: is called when a process number has changed.
    """

    def __init__(
        self, logs: Path, say: Callable[[str], None], tend: Callable[[], bool], changed: Callable[[], None]
    ) -> None:
        self._logs = logs
        self._say = say
        self._tend_others = tend
        self._changed = changed
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self.running: list[Supervised] = []

    def start(self, processes: Sequence[Process], seconds: float = READY_SECONDS) -> None:
        """Start all, side by side, and wait until each is ready.

        Raises:
            StartFailed: one ended, or was not ready in time; the text has its last lines.
        """
        for process in processes:
            log_file = self._logs / f"{process.name}.log"
            self.running.append(Supervised(process, log_file, self._spawn(process, log_file), time.monotonic()))
        deadline = time.monotonic() + seconds
        for supervised in self.running:
            left = max(1.0, deadline - time.monotonic())
            supervised.child.wait_until(lambda port=supervised.process.port: is_ready(port), left)  # type: ignore[misc]
        self._changed()
        # It starts children, which end with the thread that started them: it lives until `stop`.
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def stop(self, seconds: float = 15) -> None:
        """SIGTERM to all at once; who is still there after `seconds` is killed."""
        self._stopping.set()
        for supervised in reversed(self.running):
            supervised.child.send(signal.SIGTERM)
        if self._watcher is not None:
            self._watcher.join()
        deadline = time.monotonic() + seconds
        for supervised in reversed(self.running):
            supervised.child.stop(seconds=max(0.1, deadline - time.monotonic()))
        self.running.clear()

    def _spawn(self, process: Process, log_file: Path) -> Child:
        return Child(process.name, process.command, log_file, env=process.env)

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            changed = False
            try:
                for supervised in self.running:
                    changed |= self._tend(supervised, time.monotonic())
                changed |= self._tend_others()
                if changed:
                    self._changed()
            except Exception as error:  # a full disk, no more processes: that may pass, and nobody else would do it
                self._say(f"supervision failed, going on: {type(error).__name__}: {error}")

    def _tend(self, supervised: Supervised, now: float) -> bool:
        code = supervised.child.exit_code
        if code is None:
            return False
        name = supervised.process.name
        if supervised.restart_at is None:
            supervised.child.bury()
            supervised.backoff = next_backoff(supervised.backoff, now - supervised.started)
            supervised.restart_at = now + supervised.backoff
            self._say(f"{name} ended with {code}, starting it again in {supervised.backoff:g} s; {supervised.log_file}")
        if now < supervised.restart_at or self._stopping.is_set():
            return False
        try:
            supervised.child = self._spawn(supervised.process, supervised.log_file)
        except StartFailed as error:
            supervised.backoff = next_backoff(supervised.backoff, 0)
            supervised.restart_at = now + supervised.backoff
            self._say(str(error))
            return False
        supervised.starts += 1
        supervised.started, supervised.restart_at = now, None
        return True


def is_ready(port: int) -> bool:
    """What a service says of itself."""
    return http_status(port, "/readyz") == 200
