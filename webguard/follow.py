"""Waiting for an execution: by its live events where they come, by asking where they do not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from shared.events import CaseFinished, CaseStarted, Event, ExecutionFinished, ExecutionRefused, ExecutionStarted
from webguard.client import SILENCE_SECONDS, Client, Execution, Refused, Result
from webguard.errors import PlatformError
from webguard.sse import ServerEvent

# A service that was killed is started again within this time; only then is it an error.
OUTAGE_SECONDS = 60.0
# From a result in the stream to its row: the recorder's batch, and its restart in the worst case.
RECORDING_SECONDS = 60.0
POLL_SECONDS = 0.5
# A stream that says nothing for so long is not believed without a look.
QUIET_SECONDS = 5.0

_decode = msgspec.json.Decoder(Event).decode


class StillRunning(PlatformError):
    """The time to wait is over; the execution goes on."""


@dataclass
class Standing:
    """How far an execution has come, folded from its events. Pure."""

    total: int = 0
    latest: dict[str, CaseFinished] = field(default_factory=dict)  # case → result of its last attempt so far
    running: set[str] = field(default_factory=set)
    finished: bool = False

    def fold(self, event: Event) -> bool:
        """Take one more event in; says whether it was news. Events may come twice and in any order."""
        match event:
            case ExecutionStarted():
                self.total = event.total
            case ExecutionFinished() | ExecutionRefused():
                self.finished = True
                self.running.clear()
            case CaseStarted():
                known = self.latest.get(event.case)
                if self.finished or (known is not None and known.attempt >= event.attempt):
                    return False
                self.running.add(event.case)
            case CaseFinished():
                known = self.latest.get(event.case)
                if known is not None and known.attempt >= event.attempt:
                    return False
                self.latest[event.case] = event
                self.running.discard(event.case)
            case _:
                return False
        return True

    def count(self, *statuses: str) -> int:
        return sum(1 for result in self.latest.values() if result.status in statuses)


OnNews = Callable[[Standing, Event], None]


def follow(
    client: Client, execution_id: UUID, on_news: OnNews = lambda *_: None, *, deadline: float | None = None
) -> Execution:
    """Wait for the end of an execution, through restarts of services and broken connections.

    Args:
        on_news: called for each event that changes the standing.
        deadline: as of `time.monotonic`.

    Raises:
        StillRunning: the deadline came first.
        PlatformError: no answer, or nothing recorded, for a minute.
    """
    standing, last_id, live = Standing(), "", True
    unseen_since = down_since = time.monotonic()
    while True:
        _check(deadline, execution_id)
        try:
            execution = _look(client, execution_id)
            looked = down_since = time.monotonic()
            if execution is None and down_since - unseen_since > RECORDING_SECONDS:
                raise PlatformError(f"execution {execution_id} is not recorded; see `webguard status`")
            if execution is not None and execution.is_final:
                return execution
            if live and not standing.finished:
                silence = SILENCE_SECONDS if deadline is None else deadline - time.monotonic()
                for event in client.events(execution_id, last_id, max(0.2, min(SILENCE_SECONDS, silence))):
                    _check(deadline, execution_id)
                    if event is None:
                        if time.monotonic() - looked > QUIET_SECONDS:  # the stream may have begun after the end
                            execution, looked = _look(client, execution_id), time.monotonic()
                            standing.finished = execution is not None and execution.is_final
                    else:
                        last_id = event.id
                        _take(event, standing, on_news)
                    if standing.finished:
                        break
        except Refused:
            if not live:
                raise
            live = False  # a server without live events, or that has none of this execution
        except StillRunning:
            raise
        except PlatformError as error:
            # Events may break off while the rest of the API answers: then the next look resets the clock.
            if time.monotonic() - down_since > OUTAGE_SECONDS:
                raise PlatformError(f"{error} (execution {execution_id} may still be running)") from error
        time.sleep(0.05 if standing.finished else POLL_SECONDS)


def all_results(client: Client, execution: Execution) -> list[Result]:
    """Every attempt's result; waits until each case has one."""
    deadline = time.monotonic() + RECORDING_SECONDS
    while True:
        results = list(client.results(execution.id))
        if len({result.case for result in results}) >= execution.total:
            return results
        if time.monotonic() > deadline:
            raise PlatformError(
                f"execution {execution.id} is {execution.status}, but only {len(results)} results of "
                f"{execution.total} cases are recorded; see `webguard status`"
            )
        time.sleep(POLL_SECONDS)


def last_attempts(results: list[Result]) -> dict[str, Result]:
    """Of each case the result that counts, in the order in which the cases first appear."""
    last: dict[str, Result] = {}
    for result in results:
        if result.case not in last or last[result.case].attempt <= result.attempt:
            last[result.case] = result
    return last


def _look(client: Client, execution_id: UUID) -> Execution | None:
    """The execution as recorded; None where it is accepted, but not recorded yet."""
    try:
        return client.execution(execution_id)
    except Refused as error:
        if error.status == 404:
            return None
        raise


def _take(event: ServerEvent, standing: Standing, on_news: OnNews) -> None:
    try:
        decoded = _decode(event.data)
    except msgspec.MsgspecError:
        return  # of a newer kind
    if standing.fold(decoded):
        on_news(standing, decoded)


def _check(deadline: float | None, execution_id: UUID) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise StillRunning(
            f"execution {execution_id} is still running; go on with `webguard executions show {execution_id} --watch`"
        )
