"""What every command shares: where the platform is, what is printed and where, exit codes."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from webguard.client import Client, find_connection

# 0: all passed; and:
FAILED, USAGE, PLATFORM, INTERRUPTED = 1, 2, 3, 130
DATA_DIR = Path(".webguard")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines, and nothing else.")]

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


@dataclass(frozen=True)
class Options:
    """Options that may stand before any command."""

    url: str | None = None
    api_key: str | None = None
    data_dir: Path = DATA_DIR

    def client(self) -> Client:
        return Client(find_connection(self.url, self.api_key, self.data_dir, os.environ))


def options(context: typer.Context) -> Options:
    found: Options = context.find_root().obj
    return found


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
    """One JSON value on standard output, bare whatever the terminal is."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write(text + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A table that fits the terminal; unabridged, a line a row, where the output is no terminal."""
    listed = [[_cell(value) for value in row] for row in rows]
    console = out()
    if not listed:
        say(empty)
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


def styled(status: str) -> str:
    """The same as markup."""
    style = STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


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


def ago(when: str | None, now: datetime) -> str:
    """For people: never, 5 s ago, 3 min ago, 2 h ago, 4 d ago."""
    if not when:
        return "never"
    seconds = int((now - datetime.fromisoformat(when)).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"


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
