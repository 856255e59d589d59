"""`webguard executions`, `webguard status`, `webguard token`."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from webguard.cli.common import JsonFlag, ago, duration, options, out, print_json, print_table, styled
from webguard.cli.run import line

app = typer.Typer(no_args_is_help=True, help="Executions: runs of suites.")


@app.command("list")
def list_executions(
    context: typer.Context,
    suite: Annotated[str | None, typer.Option(help="Only of this suite.")] = None,
    status: Annotated[str | None, typer.Option(help="Only with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List executions, the latest first.

    Example: webguard executions list --suite checkout --status failed
    """
    with options(context).client() as client:
        found = list(client.items("/executions", limit, suite=suite, status=status))
    if as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    rows = [
        (
            e["id"],
            escape(e["suite"]),
            styled(e["status"]),
            f"{e['passed']}/{e['total']}",
            duration(e["duration_ms"]),
            e["triggered_by"],
            ago(e["executed_at"], now),
        )
        for e in found
    ]
    columns = ("EXECUTION", "SUITE", "STATUS", "PASSED", "TOOK", "BY", "WHEN")
    print_table(columns, rows, "no executions yet: webguard run SUITE")


@app.command()
def show(context: typer.Context, execution_id: str, as_json: JsonFlag = False) -> None:
    """Show an execution, each attempt and the files it left.

    Example: webguard executions show 5f3c…
    """
    with options(context).client() as client:
        execution = client.get(f"/executions/{execution_id}")
        results = list(client.items(f"/executions/{execution_id}/results"))
        artifacts = list(client.items(f"/executions/{execution_id}/artifacts"))
    if as_json:
        print_json({**execution, "results": results, "artifacts": artifacts})
        return
    console = out()
    console.print(f"[bold]{escape(execution['suite'])}[/] {styled(execution['status'])} {execution['id']}")
    if execution["error_message"]:
        console.print(escape(execution["error_message"]))
    for result in results:
        console.print(line(result))
        for text in (result["error_message"] or "").splitlines()[1:]:
            console.print(f"    [dim]{escape(text)}[/]")
        for file in artifacts:
            if file["result_id"] == result["id"]:
                console.print(f"    {escape(file['name'])}  {file['url']}")


@app.command()
def cancel(
    context: typer.Context,
    execution_id: str,
    reason: Annotated[str, typer.Option(help="Shown with the execution.")] = "cancelled on request",
) -> None:
    """Cancel an execution: nothing more is started, what runs is asked to end.

    Example: webguard executions cancel 5f3c… --reason "wrong branch"
    """
    with options(context).client() as client:
        client.post(f"/executions/{execution_id}/cancel", {"reason": reason})
    out().print(f"cancelling {execution_id}")


def status(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Show the platform: live services, queues, how far recording is.

    Example: webguard status
    """
    with options(context).client() as client:
        found = client.get("/status")
        url = client.connection.url
    if as_json:
        print_json({"url": url, **found})
        return
    out().print(f"WebGuard at {url}")
    rows = [
        (
            s["instance"],
            duration(s["uptime_seconds"] * 1000),
            f"{s['details']['busy']}/{s['details']['slots']}" if "slots" in s["details"] else "",
        )
        for s in found["services"]
    ]
    print_table(("SERVICE", "UP", "BUSY"), rows, "no service answers")
    waiting = sum(found["queues"].values())
    out().print(
        f"{waiting} tasks wait, {found['running']} run, {found['recorder_lag']} events to be recorded, "
        f"{found['dead_letters']} dead letters"
    )


def token(context: typer.Context) -> None:
    """Print an access token for the REST API.

    Example: curl -H "Authorization: Bearer $(webguard token)" http://127.0.0.1:8080/api/v1/me
    """
    with options(context).client() as client:
        typer.echo(client.log_in())
