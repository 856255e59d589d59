"""`webguard executions`: list, show, cancel."""

from itertools import islice
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from webguard.cli.common import JsonFlag, duration, instant, out, print_json, print_table, say
from webguard.cli.frame import connected
from webguard.cli.run import answer, exit_code, report, wait
from webguard.client import Client
from webguard.errors import UsageFault
from webguard.follow import all_results

app = typer.Typer(help="Executions: runs of suites.", no_args_is_help=True, rich_markup_mode="rich")
ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="The execution's id.", show_default=False)]


@app.command("list")
@connected
def list_executions(
    client: Client,
    suite: Annotated[str | None, typer.Option(help="Of this suite only.")] = None,
    status: Annotated[str | None, typer.Option(help="Of this status only, e.g. failed, running.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the latest first.")] = 20,
    json: JsonFlag = False,
) -> None:
    """List executions, the latest first.

    Examples:

      webguard executions list --suite checkout --status failed

      webguard executions list -n 100 --json
    """
    found = list(islice(client.executions(suite=suite, status=status), limit))
    if json:
        print_json(found)
        return
    print_table(
        ("ID", "SUITE", "STATUS", "PASSED", "FAILED", "CASES", "STARTED (UTC)", "TIME", "BY"),
        [
            (
                *(e.id, e.suite, e.status, e.passed, e.failed, e.total),
                *(instant(e.started_at), duration(e.duration_ms), e.triggered_by),
            )
            for e in found
        ],
        empty="no executions yet; start one with `webguard run SUITE`",
    )


@app.command("show")
@connected
def show_execution(
    client: Client,
    execution_id: ExecutionId,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for its end; exit codes as of `webguard run`.")] = False,
    json: JsonFlag = False,
) -> None:
    """Show an execution, its results (with --json every attempt) and the files that its cases left.

    Examples:

      webguard executions show 7d0f3a52-5b0e-5c4b-9a7e-2f4f6f0c1a11

      webguard executions show 7d0f3a52-5b0e-5c4b-9a7e-2f4f6f0c1a11 --watch --json
    """
    execution = client.execution(_uuid(execution_id))
    if watch and not execution.is_final:
        execution = wait(client, execution.id, execution.suite, watch=None)
    results = all_results(client, execution) if execution.is_final else list(client.results(execution.id))
    files = list(client.items(f"/executions/{execution.id}/artifacts"))
    if json:
        print_json({**answer(execution, results), "artifacts": files})
    else:
        by = f", by {escape(execution.requested_by)}" if execution.requested_by else ""
        out().print(f"{execution.id}  {execution.triggered_by}{by}  {instant(execution.started_at)}")
        report(execution, results)
        if files:
            out().print()
            print_table(
                ("FILE", "CASE", "ATTEMPT", "BYTES", "WHERE"),
                [(f["name"], f["case"], f["attempt"], f["size"], client.url + f["url"]) for f in files],
                "",
            )
    if watch:
        raise typer.Exit(exit_code(execution, results))


@app.command("cancel")
@connected
def cancel_execution(
    client: Client,
    execution_id: ExecutionId,
    reason: Annotated[str | None, typer.Option(help="Kept with the execution.")] = None,
) -> None:
    """Cancel an execution: nothing more is started, what runs is asked to end.

    Example:

      webguard executions cancel 7d0f3a52-5b0e-5c4b-9a7e-2f4f6f0c1a11
    """
    client.cancel(_uuid(execution_id), reason)
    say(f"asked to cancel {execution_id}")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise UsageFault(f"{text!r} is not the id of an execution; see `webguard executions list`") from error
