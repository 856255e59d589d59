"""`webguard run`: trigger a suite, show how it goes, exit with how it ended."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from webguard.cli.common import FAILED, PLATFORM, JsonFlag, duration, err, options, out, print_json, styled
from webguard.client import Client, PlatformError, Refused
from webguard.junit import write_junit

ENDED = ("passed", "failed", "error", "timeout", "cancelled", "skipped")
POLL_SECONDS = 0.3
# A request that was accepted and that nobody makes an execution of: the dispatcher is away.
UNKNOWN_SECONDS = 60.0


def run(
    context: typer.Context,
    suite: Annotated[str, typer.Argument(help="Name of the suite.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show each case as it ends.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there.")] = None,
    var: Annotated[list[str] | None, typer.Option(help="A variable, as NAME=VALUE; again for more.")] = None,
    commit: Annotated[str | None, typer.Option(help="Commit that is tested.")] = None,
    branch: Annotated[str | None, typer.Option(help="Branch that is tested.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same execution.")] = None,
    timeout: Annotated[float, typer.Option(help="Minutes to wait for the end.")] = 120,
    detach: Annotated[bool, typer.Option(help="Do not wait for the end.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run a suite and wait for its end.

    Exit code: 0 all passed, 1 a case did not, 2 wrong usage or definition, 3 the platform failed.

    Examples:

      webguard run checkout --watch

      webguard run checkout --var base_url=https://staging.example.com --junit report.xml

      webguard run checkout --json | jq .status
    """
    body = {
        "suite": suite,
        "variables": parse_variables(var or []),
        "idempotency_key": idempotency_key,
        "triggered_by": "ci" if commit or branch else "manual",
        "ci_commit_sha": commit,
        "ci_branch": branch,
    }
    with options(context).client() as client:
        execution_id = str(client.post("/executions/trigger", body)["execution_id"])
        if detach:
            found = {"execution_id": execution_id, "suite": suite, "status": "queued", "results": []}
            print_json(found) if as_json else out().print(execution_id)
            return
        try:
            execution = follow(client, execution_id, timeout * 60, show=watch and not as_json)
        except KeyboardInterrupt:
            err().print(f"\nstill running; go on with: webguard executions show {execution_id}")
            raise typer.Exit(PLATFORM) from None
        results = list(client.items(f"/executions/{execution_id}/results"))
    if junit is not None:
        write_junit(junit, execution, results)
    if as_json:
        print_json(document(execution, results))
    else:
        summary(execution, results)
    if execution["status"] != "passed":
        raise typer.Exit(FAILED)


def parse_variables(given: Sequence[str]) -> dict[str, str]:
    """
    Raises:
        typer.BadParameter: not NAME=VALUE.
    """
    variables = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r}: write NAME=VALUE", param_hint="--var")
        variables[name] = value
    return variables


def follow(client: Client, execution_id: str, seconds: float, *, show: bool) -> dict[str, Any]:
    """Wait for the end of an execution, and until all of it is recorded.

    Raises:
        PlatformError: it did not end in time.
    """
    deadline = time.monotonic() + seconds
    quiet = not (show or sys.stderr.isatty())
    console = err()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    seen: set[str] = set()
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("queued", total=None)
        while True:
            execution = _get(client, execution_id, deadline)
            if show:
                for result in client.items(f"/executions/{execution_id}/results"):
                    if result["id"] not in seen:
                        seen.add(result["id"])
                        console.print(line(result))
            ended = execution["passed"] + execution["failed"] + execution["skipped"]
            total = execution["total"] or None
            progress.update(bar, description=execution["status"], completed=ended, total=total)
            if execution["status"] in ENDED and complete(client, execution):
                return execution
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"execution {execution_id} is still {execution['status']} after {seconds / 60:g} min; "
                    f"it goes on: webguard executions show {execution_id}"
                )
            time.sleep(POLL_SECONDS)


def complete(client: Client, execution: Mapping[str, Any]) -> bool:
    """Whether every case's result is recorded: the end of an execution may be recorded before them."""
    cases = {result["case"] for result in client.items(f"/executions/{execution['id']}/results")}
    return len(cases) >= int(execution["total"])


def _get(client: Client, execution_id: str, deadline: float) -> dict[str, Any]:
    """The execution; a moment of not being known yet is no error."""
    until = min(deadline, time.monotonic() + UNKNOWN_SECONDS)
    while True:
        try:
            found: dict[str, Any] = client.get(f"/executions/{execution_id}")
            return found
        except Refused as error:
            if error.status != 404 or time.monotonic() > until:
                raise
            time.sleep(POLL_SECONDS)


def document(execution: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What `--json` prints."""
    fields = ("case", "skill", "kind", "attempt", "status", "error_message", "duration_ms")
    return {
        "execution_id": execution["id"],
        "suite": execution["suite"],
        "status": execution["status"],
        "results": [{name: result[name] for name in fields} for result in results],
    }


def line(result: Mapping[str, Any]) -> str:
    attempt = f" (attempt {result['attempt']})" if result["attempt"] > 1 else ""
    first = (result["error_message"] or "").partition("\n")[0]
    tail = f"  [dim]{escape(first)}[/]" if first else ""
    return f"{styled(result['status'])} {escape(result['case'])}{attempt} {duration(result['duration_ms'])}{tail}"


def summary(execution: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """What people see at the end."""
    console = out()
    for result in results:
        if result["status"] not in ("passed", "skipped"):
            console.print(f"{styled(result['status'])} [bold]{escape(result['case'])}[/] attempt {result['attempt']}")
            for text in (result["error_message"] or "").splitlines():
                console.print(f"    {escape(text)}")
    if execution["error_message"]:
        console.print(escape(execution["error_message"]))
    flaky = f", {execution['flaky']} flaky" if execution["flaky"] else ""
    console.print(
        f"{escape(execution['suite'])}: {styled(execution['status'])}: {execution['passed']} passed{flaky}, "
        f"{execution['failed']} failed, {execution['skipped']} skipped in {duration(execution['duration_ms'])}"
    )
