"""`webguard status` and `webguard token`: the platform itself."""

import sys
from typing import Any

from rich.text import Text

from webguard.cli.common import JsonFlag, count, duration, out, print_json, print_table
from webguard.cli.frame import connected
from webguard.client import Client


@connected
def status(client: Client, json: JsonFlag = False) -> None:
    """Show the platform: live services, queues, how far recording is.

    Example:

      webguard status --json
    """
    answer = client.status()
    if json:
        print_json({"url": client.url, **answer})
        return
    out().print(Text(f"WebGuard at {client.url}"))
    print_table(
        ("SERVICE", "INSTANCE", "UP", "BUSY"),
        [
            (s["service"], s["instance"], duration(s["uptime_seconds"] * 1000), _busy(s.get("details", {})))
            for s in answer["services"]
        ],
        "no service answers",
    )
    waiting = sum(answer["queues"].values())
    out().print(
        f"{count(waiting, 'task waits', 'tasks wait')}, {answer['running']} run, "
        f"{count(answer['recorder_lag'], 'event')} to be recorded, {count(answer['dead_letters'], 'dead letter')}"
    )


@connected
def token(client: Client) -> None:
    """Print a bearer token, and nothing else: for curl and for other clients of the REST API.

    Example:

      curl -H "Authorization: Bearer $(webguard token)" http://127.0.0.1:8080/api/v1/suites
    """
    sys.stdout.write(client.log_in() + "\n")


def _busy(details: dict[str, Any]) -> str:
    return f"{details['busy']}/{details['slots']}" if "slots" in details else ""
