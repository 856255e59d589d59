"""Cron expressions: 5 fields (minute first) or 6 (second first), and the usual aliases."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import CroniterBadCronError, CroniterBadDateError, CroniterError, croniter


def check_cron(expression: str) -> str:
    """Return the expression if it can ever fire.

    Raises:
        ValueError: it cannot; the text says which part.
    """
    fields = expression.split()
    if not expression.startswith("@") and len(fields) not in (5, 6):
        raise ValueError(f"{expression!r} has {len(fields)} fields; cron has 5, or 6 with seconds first")
    try:
        croniter(expression, datetime(2026, 1, 1, tzinfo=UTC), second_at_beginning=True).get_next(datetime)
    except (CroniterBadCronError, CroniterBadDateError, CroniterError, ValueError, KeyError) as error:
        raise ValueError(f"{expression!r} is not a cron expression: {error}") from error
    return expression


def next_fire(expression: str, timezone: str, after: datetime) -> datetime:
    """The first instant after `after` at which the expression is due in its zone, in UTC.

    A local time that a clock change skips fires at the next valid instant, a repeated one once.
    """
    local = after.astimezone(ZoneInfo(timezone))
    due: datetime = croniter(expression, local, second_at_beginning=True).get_next(datetime)
    return due.astimezone(UTC)
