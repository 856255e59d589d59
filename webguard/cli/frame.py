"""What every command has: where the platform is, and errors as one line with an exit code."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from shared.errors import Permanent, WebGuardError
from webguard.cli.output import say
from webguard.client import Client
from webguard.credentials import Credentials, resolve
from webguard.errors import PlatformDown

OK, CASE_FAILED, USAGE, PLATFORM, INTERRUPTED = 0, 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Address of WebGuard.", envvar="WEBGUARD_URL", rich_help_panel="Connection"),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", help="API key.", envvar="WEBGUARD_API_KEY", rich_help_panel="Connection"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Data folder of a local WebGuard; its credentials are used. [default: .webguard]",
        envvar="WEBGUARD_DATA_DIR",
        rich_help_panel="Connection",
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
            sys.exit(super().main(given, *more, **{**options, "standalone_mode": False}) or OK)
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
    if isinstance(error, Permanent):
        return USAGE, f"error: {text}"
    if isinstance(error, PlatformDown):
        return PLATFORM, f"error: {text}"
    if isinstance(error, WebGuardError):
        return PLATFORM, f"error: {error}"  # with the last lines of a program that did not start
    if isinstance(error, OSError):
        return USAGE, f"error: {text}"
    return PLATFORM, f"error: WebGuard itself went wrong: {type(error).__name__}: {text} (--debug shows where)"


def located(function: Callable[Concatenate[Credentials, P], None]) -> Callable[..., None]:
    """Give a command the connection options; its first parameter is what they resolve to."""

    @wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        given: dict[str, Any] = {name: kwargs.pop(name, None) for name, _ in _CONNECTION}
        function(resolve(**given), *args, **kwargs)

    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in _CONNECTION
    ]
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = inspect.Signature([*keyword_only, *more])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in (*keyword_only, *more)}
    del command.__wrapped__  # or Typer looks at the function's own signature
    return command


def connected(function: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """The same with a client that is open while the command runs."""

    def command(found: Credentials, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with Client(found.url, api_key=found.api_key) as client:
            function(client, *args, **kwargs)

    wraps(function)(command)
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    found = parameters[0].replace(annotation=Credentials)
    command.__signature__ = inspect.Signature([found, *parameters[1:]])  # type: ignore[attr-defined]
    del command.__wrapped__  # type: ignore[attr-defined]
    return located(command)
