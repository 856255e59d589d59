"""What every command has: where the platform is, and errors as one line with an exit code."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from shared.errors import Permanent, WebGuardError
from webguard.cli.common import INTERRUPTED, PLATFORM, USAGE, options, say
from webguard.client import Client, find_connection
from webguard.errors import PlatformError
from webguard.suites import BadFiles

# The environment variables are read once, by the same options before the command.
_PANEL = "Connection"
Url = Annotated[str | None, typer.Option("--url", help="Address of WebGuard; or WEBGUARD_URL.", rich_help_panel=_PANEL)]
ApiKey = Annotated[
    str | None, typer.Option("--api-key", help="API key or token; or WEBGUARD_API_KEY.", rich_help_panel=_PANEL)
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data folder of a local WebGuard, whose credentials are used; or WEBGUARD_DATA_DIR. [default: .webguard]",
        rich_help_panel=_PANEL,
    ),
]

P = ParamSpec("P")
_CONNECTION = (("url", Url), ("api_key", ApiKey), ("data_dir", DataDir))


class Group(TyperGroup):
    """The root command: turns errors into one line on standard error and an exit code.

    0 all passed, 1 a case failed, 2 usage or definition, 3 platform. `--debug` (anywhere) shows the traceback.
    """

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        debug = bool(os.environ.get("WEBGUARD_DEBUG"))
        ours = given[: given.index("--")] if "--" in given else given
        if "--debug" in ours:
            given.remove("--debug")
            debug = True
        try:
            sys.exit(super().main(given, *more, **{**options, "standalone_mode": False}) or 0)
        except Abort:
            sys.exit(INTERRUPTED)
        except Exception as error:
            if debug and not isinstance(error, TyperException):
                raise
            code, text = explain(error)
            if text:
                say(text)
            sys.exit(code)


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and the one line for an error."""
    text = " ".join(str(error).split())
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        see = f"; see `{context.command_path} --help`" if context else ""
        text = " ".join(error.format_message().split()).rstrip(".")
        # no text: a group without a command, which has printed its help
        return USAGE, f"error: {text[:1].lower()}{text[1:]}{see}" if text else ""
    if isinstance(error, BadFiles):
        return USAGE, str(error)
    if isinstance(error, Permanent):
        return USAGE, f"error: {text}"
    if isinstance(error, PlatformError):
        return PLATFORM, f"error: {text}"
    if isinstance(error, WebGuardError):
        return PLATFORM, f"error: {error}"  # with the last lines of a program that did not start
    if isinstance(error, OSError):
        return USAGE, f"error: {text}"
    return PLATFORM, f"error: WebGuard itself went wrong: {type(error).__name__}: {text} (--debug shows where)"


def connected(function: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Give a command the connection options, and as its first parameter a client that is open while it runs."""

    def command(**values: Any) -> None:
        before = options(values.pop("context"))  # what stood before the command counts less
        url, api_key, data_dir = (values.pop(name) for name, _ in _CONNECTION)
        connection = find_connection(
            url or before.url, api_key or before.api_key, data_dir or before.data_dir, os.environ
        )
        with Client(connection) as client:
            function(client, **values)  # type: ignore[call-arg]

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter("context", kind, annotation=typer.Context),
        *(parameter.replace(kind=kind) for parameter in own),
        *(inspect.Parameter(name, kind, default=None, annotation=option) for name, option in _CONNECTION),
    ]
    # What Typer looks at: it knows nothing of decorators.
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
