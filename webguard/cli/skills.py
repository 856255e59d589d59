"""`webguard skills`: what is there, trying one without a platform, writing a new one."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from shared.events import CaseAttempt, Kind
from shared.skill.discovery import Skill, discover, load
from shared.skill.egress import Egress, EgressSettings, Rules
from shared.skill.errors import BrokenSkill
from shared.skill.runner import Outcome, run_case
from shared.skill.tools import ToolBox
from shared.suites.params import check_params
from webguard.cli.common import FAILED, USAGE, JsonFlag, duration, err, out, print_json, print_table, styled
from webguard.cli.scaffold import scaffold

app = typer.Typer(no_args_is_help=True, help="Skills: the plug-in folders that run cases.")
FolderOption = Annotated[list[Path] | None, typer.Option("--path", help="A folder of more skills; again for more.")]


@app.command("list")
def list_skills(path: FolderOption = None, as_json: JsonFlag = False) -> None:
    """List the skills installed here.

    Example: webguard skills list --json
    """
    found = discover(path or [])
    if as_json:
        print_json([_about(skill) for skill in found.skills.values()])
    else:
        rows = [
            (
                s.name,
                s.manifest.metadata.kind,
                s.manifest.metadata.version,
                escape(s.manifest.description.split(". ")[0]),
            )
            for s in found.skills.values()
        ]
        print_table(("SKILL", "KIND", "VERSION", "WHAT"), rows, "no skills found")
    for fault in found.broken.values():
        err().print(f"[red]broken:[/] {escape(fault)}")


@app.command()
def show(name: str, path: FolderOption = None, as_json: JsonFlag = False) -> None:
    """Show a skill: its text, and its params as JSON Schema.

    Example: webguard skills show http-check
    """
    skill = discover(path or []).get(name)
    if as_json:
        print_json({**_about(skill), "params_schema": skill.schema, "documentation": skill.manifest.documentation})
        return
    out().print(escape(skill.manifest.documentation))
    out().print(escape(json.dumps(skill.schema, indent=2)))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Name of a skill, or the path of its folder.")],
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE; the value may be JSON; again for more.")] = None,
    params: Annotated[Path | None, typer.Option(help="Params as a JSON or YAML file.")] = None,
    keep: Annotated[Path | None, typer.Option("--out", help="Folder for the files it leaves.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds; default: the skill's.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a skill here and now, with no platform running. Targets on this machine are allowed.

    Example: webguard skills run http-check --param url=https://example.com --param 'expect={"status": 200}'
    """
    folder = Path(name)
    skill = load(folder.resolve()) if (folder / "SKILL.md").is_file() else discover().get(name)
    given = {**_file(params), **dict(_pair(text) for text in param or [])}
    faults = [f"  {'.'.join(map(str, at)) or 'params'}: {text}" for at, text in check_params(skill.schema, given)]
    if faults:
        err().print(f"[red]error:[/] params of {skill.name} are not valid:\n{escape(chr(10).join(faults))}")
        raise typer.Exit(USAGE)
    seconds = timeout or skill.manifest.metadata.timeout
    attempt = CaseAttempt(case=skill.name, skill=skill.name, params=given, timeout_seconds=seconds)
    with tempfile.TemporaryDirectory(prefix="wg-run-") as scratch:
        outcome = asyncio.run(_run(skill, attempt, Path(scratch) / "case"))
        files = _keep(outcome, keep or Path("webguard-artifacts") / f"{skill.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    _print(outcome, files, as_json=as_json)
    if outcome.status not in ("passed", "skipped"):
        raise typer.Exit(FAILED)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Lower case, words apart by hyphens.")],
    kind: Annotated[str, typer.Option(help="browser, api or data.")] = "api",
    into: Annotated[Path, typer.Option(help="Folder to make it in.")] = Path("skills"),
) -> None:
    """Make a new skill folder that passes its own test.

    Example: webguard skills new price-check --kind api
    """
    folder = scaffold(name, kind, into)
    out().print(f"made {folder}; try: webguard skills run {folder} --param name=world")


@app.command()
def validate(folders: Annotated[list[Path], typer.Argument(help="Skill folders.")]) -> None:
    """Check skill folders: manifest, code, params.

    Example: webguard skills validate skills/*
    """
    bad = 0
    for folder in folders:
        try:
            skill = load(folder.resolve())
            out().print(f"[green]ok[/] {skill.name} {skill.manifest.metadata.version}")
        except BrokenSkill as error:
            bad += 1
            err().print(f"[red]broken:[/] {escape(str(error))}")
    if bad:
        raise typer.Exit(USAGE)


async def _run(skill: Skill, attempt: CaseAttempt, scratch: Path) -> Outcome:
    async with AsyncExitStack() as stack:
        opener = None
        kind: Kind = skill.manifest.metadata.kind
        if kind == "browser":
            from services.executors.browser.pool import BrowserPool

            pool = BrowserPool()
            stack.push_async_callback(pool.close)
            opener = pool.open_context
        rules = Rules.of(EgressSettings(allow_loopback=True, allow_private=True))
        tools = ToolBox(Egress(rules), opener).tools
        secret = "WEBGUARD_SECRET_{}".format
        return await run_case(
            skill, attempt, scratch=scratch, tools=tools, look_up_secret=lambda name: os.environ.get(secret(name))
        )


def _print(outcome: Outcome, files: list[Path], *, as_json: bool) -> None:
    took = (outcome.finished_at - outcome.started_at).total_seconds() * 1000
    if as_json:
        print_json(
            {
                "status": outcome.status,
                "error_type": outcome.error_type,
                "error_message": outcome.error_message,
                "duration_ms": round(took),
                "outputs": outcome.outputs,
                "metrics": [{"name": m.name, "value": m.value, "unit": m.unit} for m in outcome.metrics],
                "steps": [{"name": s.name, "status": s.status, "duration_ms": s.duration_ms} for s in outcome.steps],
                "artifacts": [str(path) for path in files],
            }
        )
        return
    console = out()
    console.print(f"{styled(outcome.status)} in {duration(took)}")
    if outcome.error_message:
        console.print(escape(outcome.error_message))
    for step in outcome.steps:
        console.print(f"  {styled(step.status)} {escape(step.name)} [dim]{duration(step.duration_ms)}[/]")
    for metric in outcome.metrics:
        console.print(f"  [dim]{escape(metric.name)}[/] {metric.value:g} {escape(metric.unit)}")
    for path in files:
        console.print(f"  {escape(str(path))}")


def _keep(outcome: Outcome, folder: Path) -> list[Path]:
    kept = []
    for file in outcome.files:
        folder.mkdir(parents=True, exist_ok=True)
        kept.append(Path(shutil.copy(file.path, folder / file.name)))
    return kept


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--param")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _file(path: Path | None) -> dict[str, Any]:
    import yaml

    if path is None:
        return {}
    try:
        found = yaml.safe_load(sys.stdin.read() if str(path) == "-" else path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--params") from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{path}: expected a mapping", param_hint="--params")
    return found


def _about(skill: Skill) -> dict[str, Any]:
    manifest = skill.manifest
    return {
        "name": skill.name,
        "kind": manifest.metadata.kind,
        "version": manifest.metadata.version,
        "description": manifest.description,
        "folder": str(skill.folder),
    }
