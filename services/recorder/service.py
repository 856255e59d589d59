"""The recorder's loop: a batch of events, one transaction, then the acks."""

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.recorder.store import Recorded, Store
from shared.bus.delivery import Delivery
from shared.errors import Malformed, Permanent, Unavailable
from shared.events import (
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionStarted,
    SuiteDeleted,
    SuiteSaved,
)
from shared.events.ids import suite_id
from shared.service import App

log = logging.getLogger(__name__)

SUMMARY_SECONDS = 3600
PARTITION_SECONDS = 6 * 3600.0
PARTITION_RETRY_SECONDS = 30.0
_WithSuite = ExecutionStarted | ExecutionFinished | ExecutionRefused | SuiteSaved | SuiteDeleted
_decode = msgspec.json.Decoder(Event).decode


class Recorder:
    """Any number of these run side by side: every row has an id of its own, and conflicts do nothing."""

    def __init__(self, app: App, store: Store, redis: "Redis | None") -> None:
        self._app = app
        self._store = store
        self._redis = redis
        self._pending = 0
        app.metrics.recorder_lag.set_function(lambda: self._pending)

    async def handle(self, batch: Sequence[Delivery]) -> None:
        """Record a batch; what cannot be read goes to DEAD, what the database refuses is found one by one.

        Raises:
            Unavailable: the database does not answer; the same batch is to be handed over again.
            Permanent: one of the events cannot be recorded.
        """
        events: list[tuple[int, Event]] = []
        for delivery in batch:
            try:
                events.append((delivery.stream_seq, read(delivery)))
            except Permanent as error:
                await self._app.dead.bury(delivery, str(error))
        if not events:
            return
        events.sort(key=lambda item: item[0])
        done = await self._store.record(events)
        self._pending = batch[-1].pending
        self._count(done)
        if done.finished:
            ended = [e for _, e in events if isinstance(e, ExecutionFinished) and e.execution_id in done.finished]
            await self._count_in_redis({e.execution_id: e for e in ended}.values())

    async def keep_partitions(self) -> None:
        """For ever: make the partitions of the months to come."""
        while True:
            try:
                made = await self._store.make_partitions(datetime.now(UTC))
            except Unavailable as error:
                log.warning("partitions not made, will be tried again", extra={"error": str(error)})
                await asyncio.sleep(PARTITION_RETRY_SECONDS)
                continue
            if made:
                log.info("partitions made", extra={"count": made})
            await asyncio.sleep(PARTITION_SECONDS)

    def _count(self, done: Recorded) -> None:
        recorded = self._app.metrics.recorded
        for table, count in (("results", done.results), ("metrics", done.metrics), ("artifacts", done.artifacts)):
            if count:
                recorded.labels(table).inc(count)

    async def _count_in_redis(self, ended: Iterable[ExecutionFinished]) -> None:
        """Summaries and counters, in one round trip; all of it can be lost and comes back."""
        finished = list(ended)
        for event in finished:
            took = (event.finished_at - event.started_at).total_seconds()
            self._app.metrics.executions.labels(event.suite, event.status).inc()
            self._app.metrics.duration.labels(event.suite).observe(took)
        if self._redis is None:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for event in finished:
                    pipe.set(f"test_result:{event.execution_id}", json.dumps(summary(event)), ex=SUMMARY_SECONDS)
                    pipe.incr(f"stats:suite:{event.suite_id}:{event.status}")
                await pipe.execute()
        except (RedisError, OSError) as error:
            self._app.metrics.redis_failures.inc()
            log.warning("Redis does not answer, going on without", extra={"error": str(error)})


def read(delivery: Delivery) -> Event:
    """The event of a delivery.

    Raises:
        Malformed: not an event that is known, or its tenant is not that of its subject.
    """
    try:
        event: Event = _decode(delivery.data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"no event: {error}") from error
    if event.tenant != delivery.tenant:
        raise Malformed(f"tenant {event.tenant!r} of the body is not that of the subject {delivery.subject}")
    # Rows are found by these ids: one that is not the tenant's own could change another's.
    if isinstance(event, _WithSuite) and event.suite_id != suite_id(event.tenant, event.suite):
        raise Malformed(f"suite_id {event.suite_id} is not that of suite {event.suite!r} of {event.tenant!r}")
    return event


def summary(event: ExecutionFinished) -> dict[str, object]:
    """What is kept for an hour of a finished execution."""
    return {
        "execution_id": str(event.execution_id),
        "tenant": event.tenant,
        "suite": event.suite,
        "status": event.status,
        "total": event.total,
        "passed": event.passed,
        "failed": event.failed,
        "skipped": event.skipped,
        "flaky": event.flaky,
        "finished_at": event.finished_at.isoformat(),
    }
