"""`webguard skills`: list, show, new, run, validate."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from shared.settings import SkillSettings
from shared.skill.discovery import Found, Skill, discover, load
from shared.skill.errors import BrokenSkill
from shared.skill.runner import Outcome
from webguard.cli.common import (
    FAILED,
    USAGE,
    JsonFlag,
    duration,
    options,
    out,
    print_json,
    print_table,
    say,
    status_text,
)
from webguard.cli.run import parse_values
from webguard.errors import UsageFault
from webguard.scaffold import KINDS, new_skill
from webguard.skill_run import run_skill
from webguard.yamlfile import YamlFault, read_yaml

app = typer.Typer(help="Skills: what can run a case.", no_args_is_help=True, rich_markup_mode="rich")
Name = Annotated[str, typer.Argument(help="The skill's name.", show_default=False)]
OfPlatform = Annotated[bool, typer.Option("--platform", help="Ask the platform instead of looking here.")]
Folders = Annotated[
    list[Path] | None, typer.Option("--skills", metavar="DIR", help="A folder of skill folders, besides ours.")
]


@app.command("list")
def list_skills(
    context: typer.Context, platform: OfPlatform = False, skills: Folders = None, json: JsonFlag = False
) -> None:
    """List the skills installed here, or with --platform those that its executors offer.

    Examples:

      webguard skills list --json

      webguard skills list --platform
    """
    if platform:
        with options(context).client() as client:
            rows = list(client.skills())
    else:
        found = _found(skills)
        rows = [_about(skill) for skill in found.skills.values()]
        for name, fault in found.broken.items():
            say(f"skill {name} is broken: {fault}")
    if json:
        print_json(rows)
        return
    print_table(
        ("SKILL", "KIND", "VERSION", "WHAT"),
        [(row["name"], row["kind"], row["version"], row["description"].split(". ")[0]) for row in rows],
        "no skills; are the executors running? see `webguard status`",
    )


@app.command("show")
def show_skill(
    context: typer.Context,
    name: Name,
    platform: OfPlatform = False,
    skills: Folders = None,
    json: JsonFlag = False,
) -> None:
    """Show a skill: what it does and which params it takes.

    Example:

      webguard skills show http-check
    """
    if platform:
        with options(context).client() as client:
            detail = client.skill(name)
    else:
        skill = _found(skills).get(name)
        documentation = skill.manifest.documentation
        detail = {**_about(skill), "params_schema": skill.schema, "documentation": documentation}
    if json:
        print_json(detail)
        return
    out().print(f"[bold]{escape(detail['name'])}[/] {escape(detail['version'])}, {detail['kind']}")
    out().print(Text(detail["description"]))
    properties = detail["params_schema"].get("properties", {})
    required = detail["params_schema"].get("required", [])
    out().print()
    print_table(
        ("PARAM", "NEEDED", "ABOUT"),
        [(key, key in required, part.get("description") or part.get("title")) for key, part in properties.items()],
        "it takes no params",
    )
    out().print(Text(f"\n{detail['documentation']}"))


@app.command("new")
def make_skill(
    name: Annotated[str, typer.Argument(help="Lower-case words with hyphens; the folder's name too.")],
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.")] = "api",
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where its folder is made.")] = Path("skills"),
) -> None:
    """Make the folder of a new skill: SKILL.md, skill.py and a test that passes.

    Example:

      webguard skills new price-check --kind api
    """
    made = new_skill(name, kind, folder)
    for path in made:
        out().print(Text(str(path)))
    say(f"try it with `webguard skills validate {made[0].parent} --test`")


@app.command("validate")
def validate_skill(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The skill's folder.")],
    test: Annotated[bool, typer.Option("--test", help="Run its test_skill.py too (needs pytest).")] = False,
) -> None:
    """Check a skill folder: front matter, code, params, test. Exit code 2 if it cannot be used, 1 if its test fails.

    Example:

      webguard skills validate skills/price-check --test
    """
    if not folder.is_dir():
        raise UsageFault(f"{folder}: there is no such folder")
    try:
        skill = load(folder.resolve())
        properties = skill.schema.get("properties", {})
    except BrokenSkill as error:
        raise UsageFault(str(error)) from error
    test_file = folder / "test_skill.py"
    if not test_file.is_file():
        raise UsageFault(f"{test_file}: there is no such file; a skill brings its own test")
    bare = [key for key, part in properties.items() if not part.get("description")]
    if test:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", str(test_file)], check=False
        )
        if done.returncode:
            say(f"the test of {skill.name} failed")
            raise typer.Exit(FAILED)
    say(f"{skill.name} {skill.manifest.metadata.version} ({skill.manifest.metadata.kind}): no faults")
    if bare:
        say(f"note: params without a description, which forms show as help: {', '.join(bare)}")


@app.command("run")
def run_here(
    name: Annotated[str, typer.Argument(help="The skill's name, or its folder.", show_default=False)],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="A param; JSON lists and objects, NAME:=JSON."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="FILE|-", help="All params as YAML or JSON; - is standard input.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where artifacts go. [default: webguard-artifacts/…]")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="Default: the skill's own.")
    ] = None,
    skills: Folders = None,
    json: JsonFlag = False,
) -> None:
    """Run a skill here and now; no platform is needed. Secrets are environment variables WEBGUARD_SECRET_<NAME>.

    Exit code: 0 passed or skipped, 1 failed, error or timeout, 2 wrong params or no such skill.

    Examples:

      webguard skills run http-check --param url=https://example.com --param 'expect={"status": 200}'

      webguard skills run browser-flow --params flow.yaml --out artifacts/
    """
    skill = load(Path(name).resolve()) if Path(name).is_dir() and "/" in name else _found(skills).get(name)
    given = {**_params_file(params), **parse_values(param or [], "--param")}
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
    folder = out_dir or Path("webguard-artifacts") / f"{skill.name}-{stamp}"
    outcome = asyncio.run(run_skill(skill, given, timeout_seconds=timeout, scratch=folder.absolute()))
    if json:
        print_json(_outcome(outcome))
    else:
        _report(skill.name, outcome)
    if outcome.status in ("passed", "skipped"):
        return
    raise typer.Exit(USAGE if outcome.error_type == "definition" else FAILED)


def _found(folders: list[Path] | None) -> Found:
    return discover([*(folders or []), *SkillSettings().skills_path])


def _about(skill: Skill) -> dict[str, Any]:
    metadata = skill.manifest.metadata
    return {
        "name": skill.name,
        "kind": metadata.kind,
        "version": metadata.version,
        "description": skill.manifest.description,
        "folder": str(skill.folder),
    }


def _params_file(source: str | None) -> dict[str, Any]:
    if source is None:
        return {}
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        values = [document.value for document in read_yaml(text)]
    except YamlFault as error:
        raise UsageFault(f"{source}:{error.line}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"--params {source}: {error}") from error
    if len(values) != 1 or not isinstance(values[0], dict):
        raise UsageFault(f"--params {source}: it must hold one mapping of params")
    return values[0]


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "error_type": outcome.error_type,
        "error_message": outcome.error_message,
        "duration_ms": _milliseconds(outcome),
        "outputs": outcome.outputs,
        "metrics": outcome.metrics,
        "steps": outcome.steps,
        "artifacts": [{"name": file.name, "kind": file.kind, "path": str(file.path)} for file in outcome.files],
    }


def _report(name: str, outcome: Outcome) -> None:
    console = out()
    for step in outcome.steps:
        indent = "  " * _depth(outcome, step.parent)
        console.print(status_text(step.status), Text(f"{indent}{step.name}  {duration(step.duration_ms)}"))
    if outcome.metrics:
        print_table(("METRIC", "VALUE", "UNIT"), [(m.name, f"{m.value:g}", m.unit) for m in outcome.metrics], "")
    for file in outcome.files:
        console.print(Text(f"{file.kind}: {file.path}"))
    if outcome.stack_trace:
        console.print(Text(outcome.stack_trace))
    why = f": {outcome.error_message}" if outcome.error_message else ""
    console.print(status_text(outcome.status), Text(f"{name} in {duration(_milliseconds(outcome))}{why}"))


def _depth(outcome: Outcome, parent: int | None) -> int:
    depth = 0
    while parent is not None:
        depth, parent = depth + 1, outcome.steps[parent].parent
    return depth


def _milliseconds(outcome: Outcome) -> int:
    return round((outcome.finished_at - outcome.started_at).total_seconds() * 1000)
