"""Asking a program of this machine whether it is well. Made small: it is asked often, while others start."""

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException


def http_status(
    port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, seconds: float = 2
) -> int | None:
    """The status of an answer; None where nobody answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
