"""`webguard status` and `webguard token`: the platform itself."""

import sys
from typing import Any

import typer
from rich.text import Text

from webguard.cli.frame import PLATFORM, Json, connected, located
from webguard.cli.output import out, print_json, print_table
from webguard.client import Client
from webguard.credentials import Credentials, log_in


@connected
def status(client: Client, json: Json = False) -> None:
    """Show whether the platform and each of its services are well. Exit code 3 if one is not.

    Example:

      webguard status --json
    """
    answer = client.status()
    if json:
        print_json(answer)
    else:
        _show(client.url, answer)
    if answer.get("status") not in ("ok", None):
        raise typer.Exit(PLATFORM)


@located
def token(found: Credentials) -> None:
    """Print a bearer token, and nothing else: for curl and for other clients of the REST API.

    Example:

      curl -H "Authorization: Bearer $(webguard token)" http://127.0.0.1:8080/api/v1/suites
    """
    sys.stdout.write(log_in(found) + "\n")


def _show(url: str, answer: dict[str, Any]) -> None:
    out().print(Text(f"{url}  {answer.get('status', '')}"))
    services = answer.get("services", [])
    print_table(
        ("SERVICE", "INSTANCE", "STATUS", "ABOUT"),
        [(s.get("name"), s.get("instance"), s.get("status"), s.get("detail")) for s in services],
        none="no service has reported",
    )
