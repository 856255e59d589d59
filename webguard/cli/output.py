"""What commands print: answers on standard output, everything else on standard error."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

STYLES = {
    "passed": "green",
    "failed": "red",
    "error": "magenta",
    "timeout": "yellow",
    "skipped": "dim",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "cyan",
}


def out() -> Console:
    """Standard output as it is now: colours where it is a terminal and NO_COLOR is not set."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def say(text: str) -> None:
    """A line for people, beside the answer."""
    err().print(escape(text))


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, none: str = "none") -> None:
    """A table that fits the terminal; unabridged, a line a row, where the output is no terminal."""
    listed = [[_cell(value) for value in row] for row in rows]
    console = out()
    if not listed:
        say(none)
        return
    wide = None if sys.stdout.isatty() else max(80, _width(columns, listed))
    table = Table(box=None, pad_edge=False, header_style="bold", width=None, collapse_padding=True)
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], str) and row[index].isdecimal() for row in listed)
        table.add_column(
            column, justify="right" if numbers else "left", overflow="ellipsis" if wide is None else "fold"
        )
    for row in listed:
        table.add_row(*(Text(str(cell), STYLES.get(str(cell), "")) for cell in row))
    if wide is not None:
        console.width = wide
    console.print(table)


def status_text(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


def duration(milliseconds: float | None) -> str:
    """For people: 12 ms, 1.2 s, 3 min 5 s."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s"


def instant(text: str | None) -> str:
    """RFC 3339 to the second, a space for the T."""
    return (text or "")[:19].replace("T", " ")


def count(number: int, one: str, many: str = "") -> str:
    """`1 case`, `2 cases`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widest = [max(len(column), *(len(row[index]) for row in rows)) for index, column in enumerate(columns)]
    return sum(widest) + 2 * len(columns)
