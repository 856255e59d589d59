"""`webguard run`: start an execution, wait for its end, say what it ended in."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from webguard.cli.common import (
    FAILED,
    PLATFORM,
    USAGE,
    JsonFlag,
    duration,
    err,
    out,
    print_json,
    print_table,
    say,
    status_text,
)
from webguard.cli.frame import connected
from webguard.cli.watch import summary, watching
from webguard.client import FINAL, Client, Execution, Result
from webguard.errors import UsageFault
from webguard.follow import StillRunning, all_results, follow, last_attempts
from webguard.junit import write_junit

ENDED = FINAL


@connected
def run(
    client: Client,
    suite: Annotated[str, typer.Argument(help="The suite's name.", show_default=False)],
    watch: Annotated[
        bool | None, typer.Option("--watch/--no-watch", help="Live progress. [default: on a terminal]")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
    ] = None,
    json: JsonFlag = False,
    var: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the suite; NAME:=JSON for no string."),
    ] = None,
    commit: Annotated[str | None, typer.Option(help="The commit that is tested, kept with the execution.")] = None,
    branch: Annotated[str | None, typer.Option(help="The branch that is tested.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Two runs with one key are one execution.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Wait no longer; the execution goes on.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait: print the execution's id and end.")] = False,
) -> None:
    """Run a suite and wait for its end.

    Exit code: 0 all passed, 1 a case did not pass, 2 usage or definition, 3 the platform failed.

    Examples:

      webguard run checkout

      webguard run checkout --var base_url=https://staging.example.com --junit report.xml

      webguard run checkout --json --commit "$(git rev-parse HEAD)" --branch main
    """
    if junit is not None and not junit.absolute().parent.is_dir():
        raise UsageFault(f"--junit {junit}: there is no folder {junit.absolute().parent}")
    execution_id = client.trigger(
        suite,
        variables=parse_values(var or [], "--var"),
        idempotency_key=idempotency_key,
        triggered_by="ci" if commit or branch else "manual",
        commit=commit,
        branch=branch,
    )
    if detach:
        if json:
            print_json({"execution_id": execution_id, "suite": suite, "status": "queued", "results": []})
        else:
            out().print(str(execution_id))
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    execution = wait(client, execution_id, suite, watch=watch, deadline=deadline)
    results = all_results(client, execution)
    if junit is not None:
        write_junit(junit, execution, results)
    if json:
        print_json(answer(execution, results))
    else:
        report(execution, results)
    raise typer.Exit(exit_code(execution, results))


def wait(
    client: Client, execution_id: UUID, suite: str, *, watch: bool | None, deadline: float | None = None
) -> Execution:
    """Follow an execution to its end; Ctrl-C asks what to do with it."""
    if watch is None:
        watch = sys.stderr.isatty()
    while True:
        try:
            if not watch:
                return follow(client, execution_id, deadline=deadline)
            with watching(suite) as on_news:
                return follow(client, execution_id, on_news, deadline=deadline)
        except KeyboardInterrupt:
            if not (sys.stdin.isatty() and sys.stderr.isatty()) or not _wants_cancel():
                say(f"execution {execution_id} goes on; see it with `webguard executions show {execution_id} --watch`")
                say(f"  stop it with `webguard executions cancel {execution_id}`")
                raise typer.Exit(PLATFORM) from None
            client.cancel(execution_id, "cancelled at the terminal")
            say("cancelling …")
        except StillRunning as late:
            say(f"error: {late}")
            raise typer.Exit(PLATFORM) from None


def complete(client: Client, execution: Mapping[str, Any]) -> bool:
    """Whether every case's result is recorded: the end of an execution may be recorded before them."""
    cases = {result["case"] for result in client.items(f"/executions/{execution['id']}/results")}
    return len(cases) >= int(execution["total"])


def answer(execution: Execution, results: list[Result]) -> dict[str, Any]:
    """What `run --json` prints: every attempt of every case."""
    return {
        "execution_id": execution.id,
        "suite": execution.suite,
        "status": execution.status,
        **({"error_message": execution.error_message} if execution.error_message else {}),
        "results": [
            {
                "case": result.case,
                "skill": result.skill,
                "kind": result.kind,
                "attempt": result.attempt,
                "status": result.status,
                "error_message": result.error_message,
                "duration_ms": result.duration_ms,
            }
            for result in results
        ],
    }


def report(execution: Execution, results: list[Result]) -> None:
    """The same for people: a row a case, then why those that did not pass did not."""
    last = last_attempts(results)
    print_table(
        ("CASE", "SKILL", "STATUS", "ATTEMPTS", "TIME"),
        [(r.case, r.skill, r.status, r.attempt, duration(r.duration_ms)) for r in last.values()],
        empty="no case ran",
    )
    console = out()
    for result in last.values():
        if result.status != "passed" and result.error_message:
            console.print(f"\n[bold]{escape(result.case)}[/] {result.status}:")
            for line in result.error_message.splitlines():
                console.print(f"  {escape(line)}")
    console.print()
    line = summary(execution.total, execution.passed, execution.failed, execution.skipped, execution.duration_ms)
    console.print(status_text(execution.status), f"{escape(execution.suite)}, {line}")
    if execution.error_message:
        err().print(escape(execution.error_message))


def exit_code(execution: Execution, results: list[Result]) -> int:
    """0 only where it passed. An execution that was refused (nothing ran, an error) is a fault of its definition."""
    if execution.status == "passed":
        return 0
    if execution.status == "error" and not results:
        return USAGE
    return FAILED


def parse_values(given: list[str], option: str) -> dict[str, Any]:
    """NAME=VALUE is a string, unless it begins like a JSON list or object; NAME:=VALUE is JSON.

    Raises:
        UsageFault: neither, or not JSON.
    """
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        typed = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise UsageFault(f"{option} {text!r} is not NAME=VALUE")
        try:
            values[name] = json.loads(value) if typed or value[:1] in ("[", "{") else value
        except ValueError as error:
            if typed:
                raise UsageFault(f"{option} {name}: {value!r} is not JSON: {error}") from error
            values[name] = value  # a text that begins with a bracket
    return values


def _wants_cancel() -> bool:
    reply: str = typer.prompt("\ncancel the execution, or leave it running? [c/l]", default="l", err=True)
    return reply.strip().lower().startswith("c")
