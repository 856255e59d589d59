"""`webguard apply`: make the platform's suites those of the files. All of them are valid, or nothing is changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from webguard.cli.common import JsonFlag, out, print_json
from webguard.cli.frame import connected
from webguard.client import Client, Refused
from webguard.suites import BadFiles, FileFault, SuiteFile, diff, read_files

Action = Literal["created", "changed", "unchanged", "pruned"]
_STYLES = {"created": "green", "changed": "yellow", "unchanged": "dim", "pruned": "red"}


@dataclass(frozen=True)
class Change:
    """What applying does to one suite."""

    suite: str
    action: Action
    diff: str = ""
    file: SuiteFile | None = None


@connected
def apply(
    client: Client,
    path: Annotated[Path, typer.Option("--file", "-f", metavar="DIR|FILE", help="A suite file, or a folder of them.")],
    prune: Annotated[bool, typer.Option("--prune", help="Delete the suites that are in no file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    json: JsonFlag = False,
) -> None:
    """Make the suites of the platform those of the files. Repeating it changes nothing.

    Every file is checked first; when one is bad nothing is applied, and each fault is shown with file, line and field.

    Examples:

      webguard apply -f suites/

      webguard apply -f suites/ --prune --dry-run
    """
    changes = plan(client, read_files(path), prune=prune)
    if not json:
        for change in changes:
            _show(change, dry_run)
    if not dry_run:
        carry_out(client, changes)
    if json:
        print_json([{"suite": c.suite, "action": c.action, "diff": c.diff} for c in changes])


def plan(client: Client, suites: list[SuiteFile], *, prune: bool = False) -> list[Change]:
    """What applying these suites would change. Nothing is changed.

    Raises:
        BadFiles: the server refuses a definition; with every fault of every file.
    """
    faults: list[FileFault] = []
    changes: list[Change] = []
    for file in suites:
        try:
            saved = client.save_suite(file.suite.document(), dry_run=True)
        except Refused as error:
            if error.status not in (400, 409, 422):
                raise
            found = [file.fault(fault["field"], fault["message"]) for fault in error.errors]
            faults += found or [file.fault("", error.detail)]
            continue
        action: Action = "created" if saved.created else "changed" if saved.changed else "unchanged"
        shown = diff(file.name, saved.before, saved.definition) if saved.changed or saved.created else ""
        changes.append(Change(file.name, action, shown, file))
    if faults:
        raise BadFiles(faults)
    if prune:
        there = {row.name for row in client.suites()}
        changes += [Change(name, "pruned") for name in sorted(there - {file.name for file in suites})]
    return changes


def carry_out(client: Client, changes: list[Change]) -> None:
    """Save and delete what the plan says."""
    for change in changes:
        if change.action == "pruned":
            client.delete_suite(change.suite)
        elif change.action != "unchanged" and change.file is not None:
            client.save_suite(change.file.suite.document())


def definition_of(answer: dict[str, Any]) -> dict[str, Any]:
    """The definition in what the server says of a suite."""
    definition: dict[str, Any] = answer["definition"]
    return definition


def _show(change: Change, dry_run: bool) -> None:
    console = out()
    would = "would be " if dry_run and change.action != "unchanged" else ""
    console.print(Text(f"{change.suite} {would}{change.action}", _STYLES[change.action]))
    if change.action == "changed":
        for line in change.diff.splitlines():
            style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
            console.print(Text(f"  {line}", style))
