"""`webguard apply` and `webguard suites`."""

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.markup import escape

from shared.suites import SuiteDefinition
from webguard.cli.common import JsonFlag, ago, options, out, print_json, print_table, styled
from webguard.client import Client, Refused
from webguard.suites import BadFiles, FileFault, SuiteFile, read_files

app = typer.Typer(no_args_is_help=True, help="Suites: what is tested.")
FileOption = Annotated[Path, typer.Option("--file", "-f", help="A suite file, or a folder of them.")]


def apply(
    context: typer.Context,
    file: FileOption,
    prune: Annotated[bool, typer.Option(help="Delete suites that are in no file.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Check and show what would change; change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Save suites from files. Nothing is saved when one of them is not valid; the same again changes nothing.

    Examples:

      webguard apply -f suites/

      webguard apply -f suites/ --dry-run --prune
    """
    files = read_files(file)
    with options(context).client() as client:
        answers = [client_save(client, item, dry_run=True) for item in _checked(client, files)]
        if not dry_run:
            answers = [client_save(client, item, dry_run=False) for item in files]
        gone = _pruned(client, files, dry_run=dry_run) if prune else []
    if as_json:
        suites = [{k: a[k] for k in ("name", "revision", "created", "changed")} for a in answers]
        print_json({"suites": suites, "pruned": gone, "dry_run": dry_run})
        return
    for answer in answers:
        _show(answer)
    for name in gone:
        out().print(f"[red]deleted[/] {escape(name)}")
    if dry_run:
        out().print("nothing was saved (--dry-run)")


def _checked(client: Client, files: list[SuiteFile]) -> list[SuiteFile]:
    """The files, every one of which the platform would take.

    Raises:
        BadFiles: with every fault of every file.
    """
    faults: list[FileFault] = []
    for item in files:
        try:
            client.post("/suites/validate", item.suite.document())
        except Refused as error:
            if error.status != 422:
                raise
            faults += [item.fault(e["field"], e["message"]) for e in error.errors] or [item.fault("", error.detail)]
    if faults:
        raise BadFiles(faults)
    return files


def client_save(client: Client, item: SuiteFile, *, dry_run: bool) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/suites", item.suite.document(), dry_run=str(dry_run).lower())
    return answer


def _pruned(client: Client, files: list[SuiteFile], *, dry_run: bool) -> list[str]:
    kept = {item.suite.suite for item in files}
    gone = [suite["name"] for suite in client.items("/suites") if suite["name"] not in kept]
    for name in gone:
        if not dry_run:
            client.delete(f"/suites/{name}")
    return gone


def _show(answer: dict[str, Any]) -> None:
    name, revision = escape(answer["name"]), answer["revision"]
    if not answer["changed"]:
        out().print(f"[dim]unchanged[/] {name} (revision {revision})")
        return
    out().print(f"[green]{'created' if answer['created'] else 'changed'}[/] {name} (revision {revision})")
    if answer["before"] is not None:
        before, after = (_yaml(answer[key]).splitlines() for key in ("before", "definition"))
        for line in list(difflib.unified_diff(before, after, "saved", "file", lineterm="", n=1))[2:]:
            style = {"+": "green", "-": "red"}.get(line[:1], "dim")
            out().print(f"  [{style}]{escape(line)}[/]")


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@app.command("list")
def list_suites(context: typer.Context, as_json: JsonFlag = False) -> None:
    """List suites with their last execution.

    Example: webguard suites list
    """
    with options(context).client() as client:
        suites = list(client.items("/suites"))
    if as_json:
        print_json(suites)
        return
    now = datetime.now(UTC)
    rows = [
        (
            escape(s["name"]),
            str(s["cases"]),
            s["schedule_cron"] or "",
            styled(s["last_status"] or ""),
            ago(s["last_execution_at"], now),
        )
        for s in suites
    ]
    print_table(("SUITE", "CASES", "SCHEDULE", "LAST", "WHEN"), rows, "no suites yet: webguard apply -f FILE")


@app.command()
def show(context: typer.Context, name: str, as_json: JsonFlag = False) -> None:
    """Show a suite, its cases and its last 30 days.

    Example: webguard suites show checkout
    """
    with options(context).client() as client:
        suite = client.get(f"/suites/{name}")
    if as_json:
        print_json(suite)
        return
    definition, statistics = suite["definition"], suite["statistics"] or {}
    console = out()
    console.print(f"[bold]{escape(suite['name'])}[/] revision {suite['revision']}, saved {suite['saved_at']}")
    if statistics.get("pass_rate") is not None:
        console.print(f"30 days: {statistics['total_executions']} executions, {statistics['pass_rate']:g} % passed")
    rows = [
        (escape(c["name"]), c["skill"], str(c.get("kind", "")), escape(", ".join(c.get("depends_on", []))))
        for c in definition["cases"]
    ]
    print_table(("CASE", "SKILL", "KIND", "DEPENDS ON"), rows, "no cases")


@app.command()
def export(context: typer.Context, name: str) -> None:
    """Print a suite as a file that `webguard apply` takes.

    Example: webguard suites export checkout > checkout.yaml
    """
    with options(context).client() as client:
        typer.echo(client.text(f"/suites/{name}/export"), nl=False)


@app.command()
def delete(context: typer.Context, name: str) -> None:
    """Delete a suite; what it ran stays.

    Example: webguard suites delete checkout
    """
    with options(context).client() as client:
        client.delete(f"/suites/{name}")
    out().print(f"deleted {escape(name)}")


@app.command()
def validate(context: typer.Context, file: FileOption) -> None:
    """Check suite files against the platform's skills without saving them.

    Example: webguard suites validate -f suites/
    """
    with options(context).client() as client:
        files = _checked(client, read_files(file))
    out().print(f"{len(files)} {'suite is' if len(files) == 1 else 'suites are'} valid")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a suite file, for editors.

    Example: webguard suites schema > suite.schema.json
    """
    print_json(SuiteDefinition.model_json_schema())
