"""All commands in one place."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from webguard.cli import executions, skills, suites
from webguard.cli.apply import apply
from webguard.cli.frame import Group
from webguard.cli.output import out
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
        try:
            out().print(version("webguard"))
        except PackageNotFoundError:
            out().print("from a checkout")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Tests web systems: browser, API and data.

    Exit codes: 0 all passed, 1 a case did not pass, 2 usage or definition, 3 the platform failed.
    """


TESTING, PLATFORM, WRITING = "Testing", "Platform", "Writing tests"
app.command(rich_help_panel=PLATFORM)(status)
app.command(rich_help_panel=PLATFORM)(token)
app.command(rich_help_panel=TESTING)(apply)
app.command(rich_help_panel=TESTING)(run)
app.add_typer(executions.app, name="executions", rich_help_panel=TESTING)
app.add_typer(suites.app, name="suites", rich_help_panel=TESTING)
app.add_typer(skills.app, name="skills", rich_help_panel=WRITING)
app.add_typer(skills.app, name="skill", hidden=True)
app.command(rich_help_panel=WRITING)(suites.schema)
