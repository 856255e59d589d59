"""What every command shares: the connection, output for people and for machines, exit codes."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from webguard.client import Client, find_connection

# 0: all passed; and:
FAILED, USAGE, PLATFORM = 1, 2, 3

STATUS_STYLE = {
    "passed": "green",
    "failed": "red",
    "error": "magenta",
    "timeout": "yellow",
    "skipped": "dim",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "blue",
}


@dataclass
class Options:
    """Options that stand before the command."""

    url: str | None = None
    api_key: str | None = None
    data_dir: Path = Path(".webguard")
    debug: bool = False

    def client(self) -> Client:
        return Client(find_connection(self.url, self.api_key, self.data_dir, os.environ))


JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def options(context: typer.Context) -> Options:
    found: Options = context.find_root().obj
    return found


def out() -> Console:
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    return Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Bare, whatever the terminal is."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*row)
        count += 1
    out().print(table if count else empty)


def styled(status: str) -> str:
    style = STATUS_STYLE.get(status)
    return f"[{style}]{status}[/]" if style else status


def duration(milliseconds: int | float | None) -> str:
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def ago(when: str | None, now: datetime) -> str:
    if not when:
        return "never"
    seconds = int((now - datetime.fromisoformat(when)).total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"
