"""`webguard suites`: list, show, export, validate, delete; and `webguard schema`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from shared.settings import SkillSettings
from shared.skill.discovery import Skill, discover
from shared.suites import SkillInfo
from shared.suites.params import check_params
from webguard.cli.apply import definition_of
from webguard.cli.common import USAGE, JsonFlag, count, err, instant, print_json, print_table, say
from webguard.cli.frame import connected
from webguard.client import Client, Saved
from webguard.errors import UsageFault
from webguard.schema import suite_schema
from webguard.suites import SuiteFile, check_suites, find_files, read_suites, to_yaml

app = typer.Typer(help="Suites: named sets of cases.", no_args_is_help=True, rich_markup_mode="rich")
Name = Annotated[str, typer.Argument(help="The suite's name.", show_default=False)]
Skills = Annotated[
    list[Path] | None, typer.Option("--skills", metavar="DIR", help="A folder of skill folders, besides ours.")
]


@app.command("list")
@connected
def list_suites(client: Client, json: JsonFlag = False) -> None:
    """List the suites.

    Example:

      webguard suites list --json
    """
    rows = list(client.suites())
    if json:
        print_json(rows)
        return
    print_table(
        ("SUITE", "REVISION", "CASES", "SCHEDULE", "ZONE", "ENABLED", "UPDATED (UTC)", "DESCRIPTION"),
        [
            (
                *(r.name, r.revision, r.cases, r.schedule_cron, r.timezone if r.schedule_cron else ""),
                *(r.enabled, instant(r.updated_at), r.description),
            )
            for r in rows
        ],
        empty="no suites yet; save one with `webguard apply -f FILE`",
    )


@app.command("show")
@connected
def show_suite(client: Client, name: Name, json: JsonFlag = False) -> None:
    """Show a suite's definition.

    Example:

      webguard suites show checkout
    """
    suite = client.suite(name)
    if json:
        print_json(suite)
    else:
        sys.stdout.write(to_yaml(definition_of(suite)))


@app.command("export")
@connected
def export_suite(
    client: Client,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there. [default: standard output]")
    ] = None,
) -> None:
    """Print a suite as a file that `webguard apply` takes.

    Example:

      webguard suites export checkout -o checkout.yaml
    """
    text = client.export_suite(name)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


@app.command("delete")
@connected
def delete_suite(client: Client, name: Name) -> None:
    """Delete a suite. Its executions stay.

    Example:

      webguard suites delete checkout
    """
    client.delete_suite(name)
    say(f"deleted {name}")


@app.command("validate")
def validate_suites(
    path: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A suite file, or a folder of them.")],
    skills: Skills = None,
    json: JsonFlag = False,
) -> None:
    """Check suite files against the skills that are installed here. No platform is needed.

    Each fault is printed as `file:line: field: message`; exit code 2 if there is one.

    Example:

      webguard suites validate suites/
    """
    files = find_files(path)
    suites, faults = read_suites(files)
    found = discover([*(skills or []), *SkillSettings().skills_path])
    known = {name: _info(skill) for name, skill in found.skills.items()}
    faults += check_suites(suites, known)
    if json:
        print_json([{"file": str(f.file), "line": f.line, "field": f.field, "message": f.message} for f in faults])
    else:
        console = err()
        for fault in faults:
            console.print(Text(str(fault)))
        if not faults:
            say(f"{count(len(suites), 'suite')} in {count(len(files), 'file')}: no faults")
    if faults:
        raise typer.Exit(USAGE)


def schema(
    skills: Skills = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there. [default: standard output]")
    ] = None,
) -> None:
    """Print the JSON Schema of suite files, params of the installed skills included. No platform is needed.

    Editors with a YAML language server complete and check a file that begins with

      # yaml-language-server: $schema=suite.schema.json

    Example:

      webguard schema -o suite.schema.json
    """
    found = discover([*(skills or []), *SkillSettings().skills_path])
    document = suite_schema(found.skills.values())
    if output is None:
        print_json(document)
        return
    try:
        import json

        output.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageFault(f"{output} cannot be written: {error}") from error


def _info(skill: Skill) -> SkillInfo:
    return SkillInfo(skill.name, skill.manifest.metadata.kind, lambda params: check_params(skill.schema, params))


def client_save(client: Client, file: SuiteFile, *, dry_run: bool) -> Saved:
    """Save the suite of a file."""
    return client.save_suite(file.suite.document(), dry_run=dry_run)
