"""Live progress of one execution."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from shared.events import CaseFinished, Event
from webguard.cli.common import STYLES, count, duration, err
from webguard.follow import OnNews, Standing


@contextmanager
def watching(suite: str) -> Iterator[OnNews]:
    """A bar on a terminal, else a line for each attempt that ended. On standard error: the answer is not this."""
    console = err()
    if not sys.stderr.isatty():
        yield lambda standing, event: console.print(_line(event)) if isinstance(event, CaseFinished) else None
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(escape(suite), total=None, counts="")

        def on_news(standing: Standing, event: Event) -> None:
            done = len(standing.latest)
            progress.update(bar, completed=done, total=max(standing.total, done) or None, counts=counts(standing))
            if isinstance(event, CaseFinished) and event.status != "passed":
                progress.console.print(_line(event))

        yield on_news


def counts(standing: Standing) -> str:
    """What has ended so far and what runs, as markup."""
    shown = [
        f"[{STYLES[status]}]{number} {status}[/]"
        for status in ("passed", "failed", "error", "timeout", "skipped", "cancelled")
        if (number := standing.count(status))
    ]
    if standing.running:
        shown.append(f"[cyan]{len(standing.running)} running[/]")
    return ", ".join(shown)


def _line(event: CaseFinished) -> str:
    again = f" (attempt {event.attempt})" if event.attempt > 1 else ""
    why = f": {' '.join(event.error_message.split())}" if event.error_message else ""
    style = STYLES[event.status]
    return f"[{style}]{event.status:9}[/] {escape(event.case)}{again}  {duration(event.duration_ms)}{escape(why)}"


def summary(total: int, passed: int, failed: int, skipped: int, milliseconds: float | None) -> str:
    """`12 cases: 10 passed, 2 failed in 3.4 s`."""
    parts = [f"{passed} passed"]
    if failed:
        parts.append(f"{failed} failed")
    if skipped:
        parts.append(f"{skipped} skipped")
    took = f" in {duration(milliseconds)}" if milliseconds is not None else ""
    return f"{count(total, 'case')}: {', '.join(parts)}{took}"
