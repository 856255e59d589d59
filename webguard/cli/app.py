"""All commands in one place."""

from pathlib import Path
from typing import Annotated

import typer

from webguard.cli import executions, skills, suites, up
from webguard.cli.apply import apply
from webguard.cli.common import DATA_DIR, Options, out
from webguard.cli.frame import Group
from webguard.cli.platform import status, token
from webguard.cli.run import run

app = typer.Typer(
    name="webguard",
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from shared.service import VERSION  # brings the whole bus along

        out().print(VERSION)
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Address of WebGuard.", envvar="WEBGUARD_URL")] = None,
    api_key: Annotated[str | None, typer.Option(help="API key.", envvar="WEBGUARD_API_KEY")] = None,
    data_dir: Annotated[
        Path, typer.Option(help="Data folder of a local WebGuard.", envvar="WEBGUARD_DATA_DIR")
    ] = DATA_DIR,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Tests web systems: browser, API and data. Begin with `webguard demo`.

    Exit codes: 0 all passed, 1 a case did not pass, 2 usage or definition, 3 the platform failed.
    """
    context.obj = Options(url, api_key, data_dir)


TESTING, PLATFORM, WRITING = "Testing", "Platform", "Writing tests"
app.command(rich_help_panel=PLATFORM)(up.up)
app.command(rich_help_panel=PLATFORM)(up.demo)
app.command(rich_help_panel=PLATFORM)(status)
app.command(rich_help_panel=PLATFORM)(token)
app.command(rich_help_panel=TESTING)(apply)
app.command(rich_help_panel=TESTING)(run)
app.add_typer(executions.app, name="executions", rich_help_panel=TESTING)
app.add_typer(suites.app, name="suites", rich_help_panel=TESTING)
app.add_typer(skills.app, name="skills", rich_help_panel=WRITING)
app.add_typer(skills.app, name="skill", hidden=True)
app.command(rich_help_panel=WRITING)(suites.schema)
