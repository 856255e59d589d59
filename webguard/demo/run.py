"""The demo's run: the shop, its suites, their results, and whether they are what they must be."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from webguard.cli.common import duration, styled
from webguard.cli.run import ENDED, complete
from webguard.cli.suites import client_save
from webguard.client import Client, PlatformError
from webguard.demo.expected import FAULTS, differences, faults_found, last_attempts
from webguard.local.process import Child, free_port
from webguard.suites import SuiteFile, read_files

SUITES = Path(__file__).parent / "suites"
PASSWORD = "demo-pass-1"  # noqa: S105  the shop's own, in no other use
SKILLS = ("http-check", "browser-flow", "dataset-check")
RUN_SECONDS = 150.0


@contextmanager
def running_shop(log_folder: Path) -> Iterator[str]:
    """The shop as a process of its own; yields its address.

    Raises:
        StartFailed: it did not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "webguard.demo.shop", "--port", str(port)]
    env = {**os.environ, "SHOP_PASSWORD": PASSWORD}
    child = Child("the demo shop", command, log_folder / "shop.log", env=env, cwd=Path(__file__).parents[2])
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        try:
            return httpx.get(f"{url}/api/health", timeout=1).is_success
        except httpx.TransportError:
            return False

    try:
        child.wait_until(healthy)
        yield url
    finally:
        child.stop(seconds=3)


def run_demo(client: Client, shop_url: str, json_file: Path | None, console: Console) -> list[str]:
    """Apply the suites, run them side by side, show what they found.

    Returns:
        What is not as it must be, a sentence each; empty: exactly the planted faults were found.

    Raises:
        PlatformError: the run did not end in time.
    """
    _wait_for_skills(client)
    files = read_files(SUITES)
    for file in files:
        client_save(client, file, dry_run=False)
    executions = _run(client, files, {"base_url": shop_url, "run": uuid4().hex}, console)
    results = [
        {**result, "suite": execution["suite"]}
        for execution in executions
        for result in client.items(f"/executions/{execution['id']}/results")
    ]
    wrong = differences([(file.suite.suite, case.name) for file in files for case in file.suite.cases], results)
    if json_file is not None:
        json_file.write_text(json.dumps(document(executions, results), indent=2, ensure_ascii=False) + "\n")
    _show(console, executions, results, wrong, client.connection.url)
    return wrong


def document(executions: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, Any]:
    """What `demo --json` writes."""
    fields = ("suite", "case", "skill", "kind", "status", "attempt", "error_message")
    return {
        "executions": [
            {
                "suite": e["suite"],
                "execution_id": e["id"],
                **{name: e[name] for name in ("status", "total", "passed", "failed", "duration_ms")},
            }
            for e in executions
        ],
        "results": [{name: result[name] for name in fields} for result in results],
    }


def _wait_for_skills(client: Client) -> None:
    """Executors say what they can do when they start; it takes a moment to be recorded."""
    deadline = time.monotonic() + 30
    while True:
        known = {skill["name"] for skill in client.get("/skills")}
        missing = [name for name in SKILLS if name not in known]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise PlatformError(f"no executor offers {', '.join(missing)}; see the logs in the data folder")
        time.sleep(0.1)


def _run(client: Client, files: list[SuiteFile], variables: dict[str, str], console: Console) -> list[dict[str, Any]]:
    ids = [
        str(
            client.post(
                "/executions/trigger", {"suite": file.suite.suite, "variables": variables, "triggered_by": "manual"}
            )["execution_id"]
        )
        for file in files
    ]
    deadline = time.monotonic() + RUN_SECONDS
    columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = [progress.add_task(file.suite.suite, total=len(file.suite.cases)) for file in files]
        while True:
            executions = [client.get(f"/executions/{execution_id}") for execution_id in ids]
            for bar, execution in zip(bars, executions, strict=True):
                progress.update(bar, completed=execution["passed"] + execution["failed"] + execution["skipped"])
            if all(e["status"] in ENDED and complete(client, e) for e in executions):
                return executions
            if time.monotonic() > deadline:
                late = ", ".join(e["suite"] for e in executions if e["status"] not in ENDED)
                raise PlatformError(f"not ended after {RUN_SECONDS:g} s: {late}; see the logs in the data folder")
            time.sleep(0.25)


def _show(
    console: Console, executions: list[dict[str, Any]], results: list[dict[str, Any]], wrong: list[str], url: str
) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("SUITE", "STATUS", "PASSED", "FAILED", "SKIPPED", "TOOK"):
        table.add_column(name)
    for e in executions:
        numbers = (str(e["passed"]), str(e["failed"]), str(e["skipped"]))
        table.add_row(e["suite"], styled(e["status"]), *numbers, duration(e["duration_ms"]))
    console.print(table)
    for result in last_attempts(results).values():
        if result["status"] in ("failed", "error", "timeout"):
            first = (result["error_message"] or "").partition("\n")[0]
            console.print(f"  {styled(result['status'])} {escape(result['suite'])}: {escape(result['case'])}")
            console.print(f"      [dim]{escape(first)}[/]")
    console.print(f"\n{len(faults_found(results))} of {len(FAULTS)} planted faults found")
    for sentence in wrong:
        console.print(f"[red]not as planted:[/] {escape(sentence)}")
    console.print(f"API and documentation: {url}")
