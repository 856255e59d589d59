"""A typed client of the REST API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from shared.errors import WebGuardError

API = "/api/v1"


class PlatformError(WebGuardError):
    """The platform cannot be reached, or something in it fails: exit code 3."""


class Refused(WebGuardError):
    """The platform says no to what was asked: exit code 2."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        lines = [detail, *(f"  {error['field']}: {error['message']}" for error in errors)]
        super().__init__("\n".join(lines))
        self.status = status
        self.detail = detail
        self.errors = errors


@dataclass(frozen=True)
class Connection:
    """Where the platform is, and as whom."""

    url: str
    api_key: str | None = None
    tenant: str = "default"
    username: str | None = None
    password: str | None = None


def find_connection(url: str | None, api_key: str | None, data_dir: Path, environment: Mapping[str, str]) -> Connection:
    """Options win over the environment, the environment over the credentials of a local platform.

    Raises:
        PlatformError: nothing says where the platform is.
    """
    url = url or environment.get("WEBGUARD_URL")
    api_key = api_key or environment.get("WEBGUARD_API_KEY")
    if url:
        return Connection(url.rstrip("/"), api_key)
    path = data_dir / "credentials.json"
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        raise PlatformError(
            f"no WebGuard is known here ({path} is not there): start one with `webguard up`, or give --url"
        ) from None
    except (OSError, ValueError) as error:
        raise PlatformError(f"{path} cannot be read: {error}") from error
    return Connection(
        str(kept["url"]), api_key or kept.get("api_key"), kept["tenant"], kept["username"], kept["password"]
    )


class Client:
    """Calls the API and turns its problems into errors."""

    def __init__(self, connection: Connection, timeout: float = 30) -> None:
        self.connection = connection
        headers = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
        self._http = httpx.Client(base_url=connection.url, headers=headers, timeout=timeout, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._call("GET", path, params={k: v for k, v in query.items() if v is not None}).json()

    def text(self, path: str) -> str:
        return self._call("GET", path).text

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._call("POST", path, json=body, params=query).json()

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def items(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page, up to `limit`."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            page = self.get(path, cursor=cursor, limit=min(left or 200, 200), **query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def log_in(self) -> str:
        """An access token for the name and password of the connection.

        Raises:
            PlatformError: it has none.
        """
        c = self.connection
        if c.username is None or c.password is None:
            raise PlatformError("no name and password are known here; only a local platform keeps them")
        body = {"username": c.username, "password": c.password, "tenant": c.tenant}
        return str(self.post("/auth/login", body)["access_token"])

    def events(self, execution_id: str, after: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """(sequence, name, body) of an execution's events as they come, until its last one."""
        headers = {"Last-Event-ID": str(after)} if after else {}
        timeout = httpx.Timeout(30, read=60)
        path = f"{API}/executions/{execution_id}/events"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.status_code >= 400:
                    response.read()
                    _raise(response)
                fields: dict[str, str] = {}
                for line in response.iter_lines():
                    if line:
                        name, _, value = line.partition(": ")
                        fields[name] = value
                    elif "data" in fields:
                        yield int(fields.get("id", "0")), fields.get("event", ""), json.loads(fields["data"])
                        fields = {}
        except httpx.TransportError as error:
            raise PlatformError(f"the connection to {self.connection.url} broke: {error}") from error

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, API + path, **options)
        except httpx.ConnectError as error:
            raise PlatformError(
                f"no WebGuard answers at {self.connection.url}; start one with `webguard up`, or give --url"
            ) from error
        except httpx.TransportError as error:
            raise PlatformError(f"{self.connection.url}: {type(error).__name__}: {error}") from error
        if response.status_code >= 400:
            _raise(response)
        return response


def _raise(response: httpx.Response) -> None:
    try:
        problem = response.json()
        detail, errors = str(problem["detail"]), list(problem.get("errors", []))
    except (ValueError, KeyError, TypeError):
        detail, errors = f"the answer was {response.status_code} {response.reason_phrase}", []
    if response.status_code >= 500 or response.status_code in (401, 429):
        raise PlatformError(detail)
    raise Refused(response.status_code, detail, errors)
