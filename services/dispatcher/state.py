"""What changes in an execution: a letter a case, and little else, so that it is cheap to write at each commit."""

from datetime import datetime
from typing import Any

import msgspec

from shared.events import FinalStatus, ResultStatus

# One letter a case.
WAITING = "w"  # for cases it depends on, or for a free place
RELEASED = "q"  # a task is out: queued or running
BACKING_OFF = "r"  # did not pass; its next attempt is due later
# Decided by the dispatcher and said in EVENTS; final when read back from there, like any other result.
SKIPPING, CANCELLING, TIMING_OUT = "k", "x", "o"
PASSED, FAILED, ERROR, TIMEOUT, SKIPPED, CANCELLED = "p", "f", "e", "t", "s", "c"

FINAL: dict[ResultStatus, str] = {
    "passed": PASSED,
    "failed": FAILED,
    "error": ERROR,
    "timeout": TIMEOUT,
    "skipped": SKIPPED,
    "cancelled": CANCELLED,
}
ENDED = frozenset(FINAL.values())
OPEN = frozenset((RELEASED, SKIPPING, CANCELLING, TIMING_OUT))  # a result is expected


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """An execution between two commits. `stop` and `stop_message` are read by executors too."""

    cases: str  # a letter a case, by position in the plan
    parts: int = 1  # messages that the plan is stored in
    applied: int = 0  # sequence of the last result in EVENTS that is folded in
    attempts: dict[int, int] = {}  # position → attempt, where it is not the first
    due: dict[int, datetime] = {}  # position → when its next attempt may start
    last: dict[int, str] = {}  # position → how the attempt before ended, while backing off
    saved: dict[str, Any] = {}  # variables saved by cases that passed
    flaky: int = 0
    stop: str | None = None  # cancelled or timeout
    stop_message: str | None = None
    stop_at: datetime | None = None  # when executors were told; after a grace the dispatcher decides without them
    timer_at: datetime | None = None
    finished_at: datetime | None = None
    status: FinalStatus | None = None

    def attempt(self, position: int) -> int:
        return self.attempts.get(position, 1)
