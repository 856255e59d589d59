"""The command `webguard`."""

import sys
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.markup import escape

from shared.errors import WebGuardError
from shared.service import VERSION
from webguard.cli import executions, skills, suites, up
from webguard.cli.common import PLATFORM, USAGE, Options, err
from webguard.cli.run import run
from webguard.client import PlatformError, Refused
from webguard.local.launcher import AlreadyRunning
from webguard.local.process import StartFailed
from webguard.suites import BadFiles

app = typer.Typer(
    name="webguard",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Tests of web systems: browser, API and data, on one machine or many. Start with: webguard demo",
)
app.command("up")(up.up)
app.command("demo")(up.demo)
app.command("apply")(suites.apply)
app.command("run")(run)
app.add_typer(suites.app, name="suites")
app.add_typer(executions.app, name="executions")
app.add_typer(skills.app, name="skills")
app.command("status")(executions.status)
app.command("token")(executions.token)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Address; default: WEBGUARD_URL, or the local one.")] = None,
    api_key: Annotated[str | None, typer.Option(help="API key; default: WEBGUARD_API_KEY, or the local one's.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Data folder of the local platform.")] = Path(".webguard"),
    debug: Annotated[bool, typer.Option(help="Show where an error came from.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    context.obj = Options(url, api_key, data_dir, debug)


def exit_code_of(error: WebGuardError) -> int:
    """2: what was asked for is wrong; 3: the platform is."""
    if isinstance(error, PlatformError | StartFailed | AlreadyRunning):
        return PLATFORM
    return USAGE if isinstance(error, Refused | BadFiles) else PLATFORM


def main(arguments: list[str] | None = None) -> int:
    """Run a command; an error is a line, never a traceback, unless --debug asks for one."""
    try:
        result = app(arguments, standalone_mode=False)
    except click.exceptions.Abort:
        return PLATFORM
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except WebGuardError as error:
        if "--debug" in (arguments if arguments is not None else sys.argv):
            raise
        err().print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return exit_code_of(error)
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
