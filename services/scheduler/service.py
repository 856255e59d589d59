"""The scheduler: one timer a suite in TICKS; each tick becomes a request and the next timer.

Replicas share nothing: a tick that two of them handle asks for the same execution (its id is the instant's),
and writes the same next timer.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client

from services.scheduler.planner import Schedule, after, first
from shared.bus import envelope, lookup
from shared.bus.delivery import Delivery
from shared.bus.envelope import EXPECTED_LAST_SUBJECT_SEQUENCE, SCHEDULE, SCHEDULE_TARGET
from shared.bus.publish import Publisher, Record, record
from shared.bus.topology import SUITES_BUCKET, TICKS
from shared.errors import LostRace, Malformed, Permanent, Unavailable
from shared.events import ExecuteRequest, SuiteDeleted, SuiteSaved, Tick, decode, encode
from shared.events.ids import instant
from shared.service import App

log = logging.getLogger(__name__)

SOURCE = "webguard/scheduler"
RECONCILE_SECONDS = 30.0
# A timer that has not fired by then is no longer going to.
OVERDUE = timedelta(seconds=30)


def schedule_of(saved: SuiteSaved | None) -> Schedule | None:
    """The schedule a suite has now; None: it has none, is disabled or gone."""
    if saved is None or not saved.definition.get("enabled", True):
        return None
    cron = saved.definition.get("schedule")
    return Schedule(str(cron), str(saved.definition.get("timezone", "UTC"))) if cron else None


class Scheduler:
    """Keeps one timer for each suite that has a schedule."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._timers = Timers(app.nc, app.publisher)

    async def handle_suites(self, batch: Sequence[Delivery]) -> None:
        """Saved and deleted suites: the timer follows the definition that is in KV now, not the event's."""
        for tenant, suite in dict.fromkeys([await self._suite_of(delivery) for delivery in batch]):
            if suite:
                await self.refresh(tenant, suite, datetime.now(UTC))

    async def handle_ticks(self, batch: Sequence[Delivery]) -> None:
        """Fired timers: ask for the execution, then write the next timer, then ack."""
        for delivery in batch:
            try:
                tick = decode(delivery.data, Tick, tenant=delivery.tenant)
            except Permanent as error:
                await self._app.dead.bury(delivery, str(error))
                continue
            await self._fire(tick)

    async def refresh(self, tenant: str, suite: str, now: datetime) -> None:
        """Make the timer of a suite what its definition says."""
        saved = await lookup.saved_suite(self._app.nc, tenant, suite)
        schedule = schedule_of(saved)
        current = await self._timers.current(tenant, suite)
        if saved is None or schedule is None:
            if current is not None:
                await self._timers.remove(tenant, suite)
                log.info("schedule removed", extra={"tenant": tenant, "suite": suite})
            return
        if current is not None and current[1].revision == saved.revision and now - current[1].at < OVERDUE:
            return
        tick = Tick(tenant=tenant, suite=suite, revision=saved.revision, at=first(schedule, now))
        await self._timers.write(tick, current[0] if current else 0)
        log.info("schedule set", extra={"tenant": tenant, "suite": suite, "next": instant(tick.at)})

    async def reconcile(self) -> None:
        """For ever: restore a timer that is missing, whatever made it go missing."""
        while True:
            try:
                async for message in lookup.latest(self._app.nc, f"KV_{SUITES_BUCKET}", f"$KV.{SUITES_BUCKET}.>"):
                    tenant, suite = message.subject.split(".")[2:4]
                    await self.refresh(tenant, suite, datetime.now(UTC))
            except (Unavailable, Permanent) as error:
                log.warning("reconciling schedules failed, will be tried again", extra={"error": str(error)})
            await asyncio.sleep(RECONCILE_SECONDS)

    async def _suite_of(self, delivery: Delivery) -> tuple[str, str]:
        try:
            saved: SuiteSaved | SuiteDeleted
            if ".event.suite.saved." in delivery.subject:
                saved = decode(delivery.data, SuiteSaved)
            elif ".event.suite.deleted." in delivery.subject:
                saved = decode(delivery.data, SuiteDeleted)
            else:
                raise Malformed(f"{delivery.subject!r} is no event of a suite that is known here")
            if saved.tenant != delivery.tenant:
                raise Malformed(f"tenant {saved.tenant!r} of the body is not that of the subject {delivery.subject}")
        except Permanent as error:
            await self._app.dead.bury(delivery, str(error))
            return "", ""
        return saved.tenant, saved.suite

    async def _fire(self, tick: Tick) -> None:
        now = datetime.now(UTC)
        saved = await lookup.saved_suite(self._app.nc, tick.tenant, tick.suite)
        schedule = schedule_of(saved)
        if saved is None or schedule is None or saved.revision != tick.revision:
            # The definition changed while the timer was under way: its own event brings the new timer.
            await self.refresh(tick.tenant, tick.suite, now)
            return
        request = ExecuteRequest(
            tenant=tick.tenant,
            suite=tick.suite,
            idempotency_key=tick.key,
            triggered_by="schedule",
            requested_at=tick.at,
        )
        await self._app.publisher.publish(record(request, SOURCE))
        self._app.metrics.tick_lag.observe(max(0.0, (now - tick.at).total_seconds()))
        following = Tick(tenant=tick.tenant, suite=tick.suite, revision=tick.revision, at=after(schedule, tick.at, now))
        current = await self._timers.current(tick.tenant, tick.suite)
        if current is None or current[1].at <= tick.at:
            await self._timers.write(following, current[0] if current else 0)


class Timers:
    """The timers in TICKS, one message a suite; a later one takes the place of the earlier."""

    def __init__(self, nc: Client, publisher: Publisher) -> None:
        self._nc = nc
        self._publisher = publisher

    async def current(self, tenant: str, suite: str) -> tuple[int, Tick] | None:
        """The timer that is set, with its sequence; None: there is none."""
        stored = await lookup.last(self._nc, TICKS.name, _subject(tenant, suite))
        if stored is None or not stored.data:
            return None
        return stored.sequence, decode(stored.data, Tick)

    async def write(self, tick: Tick, expected: int) -> None:
        """Set the timer unless another replica did so meanwhile: then its timer stands."""
        headers = {
            **envelope.headers(tick, SOURCE),
            SCHEDULE: f"@at {instant(tick.at)}",
            SCHEDULE_TARGET: tick.subject,
            EXPECTED_LAST_SUBJECT_SEQUENCE: str(expected),
        }
        del headers[envelope.MSG_ID]  # set, removed and set again is no repeat
        try:
            await self._publisher.publish(Record(_subject(tick.tenant, tick.suite), encode(tick), headers))
        except LostRace:
            log.debug("another scheduler set the timer", extra={"suite": tick.suite})

    async def remove(self, tenant: str, suite: str) -> None:
        # A schedule can only be removed by a message of the stream that names it; this one fires nothing.
        subject = _subject(tenant, suite)
        headers = {"Nats-Scheduler": subject, "Nats-Schedule-Next": "purge"}
        await self._publisher.publish(Record(subject.replace(".schedule.", ".unscheduled."), b"", headers))


def _subject(tenant: str, suite: str) -> str:
    return f"wg.{tenant}.schedule.{suite}"
