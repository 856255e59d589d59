"""When a suite is due. Pure: the schedule, the last instant and the time in, the next instants out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.suites.cron import next_fire

# A tick that comes later than this was missed: the platform was down. Of missed ticks only the last one runs.
MISFIRE_GRACE = timedelta(seconds=60)
# Instants looked through after a long stop, so that a second-level schedule does not hold up the others.
MAX_CATCH_UP = 100_000


@dataclass(frozen=True)
class Schedule:
    """A suite's cron expression in its zone."""

    cron: str
    timezone: str


def first(schedule: Schedule, now: datetime) -> datetime:
    """The first instant of a schedule that begins now."""
    return next_fire(schedule.cron, schedule.timezone, now)


def after(schedule: Schedule, fired: datetime, now: datetime) -> datetime:
    """The instant that follows `fired`, even when it is past by now, as long as it is within the grace.

    Beyond the grace instants were missed; of those the last one is due, at once.
    """
    due = next_fire(schedule.cron, schedule.timezone, fired)
    if now - due <= MISFIRE_GRACE:
        return due
    for _ in range(MAX_CATCH_UP):
        following = next_fire(schedule.cron, schedule.timezone, due)
        if following > now:
            return due
        due = following
    return next_fire(schedule.cron, schedule.timezone, now)
