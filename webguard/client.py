"""The REST API of a running WebGuard, typed. What goes wrong is said in one line: who answered what, what to do."""

from collections.abc import Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import msgspec

from shared.errors import WebGuardError
from webguard.answers import FINAL, Execution, Result, Saved, SuiteRow
from webguard.connection import Connection, find_connection
from webguard.errors import PlatformError, UsageFault
from webguard.sse import ServerEvent, lines_of, parse_events

__all__ = [
    "FINAL",
    "Client",
    "Connection",
    "Execution",
    "PlatformError",
    "Refused",
    "Result",
    "Saved",
    "SuiteRow",
    "find_connection",
]

API = "/api/v1"
# Nothing comes on a quiet event stream but comments: a silence longer than this is a broken connection.
SILENCE_SECONDS = 30.0
PAGE = 200

T = TypeVar("T")


class Refused(UsageFault):
    """The server understood and said no.

    Attributes:
        status: the HTTP status.
        detail: what it said of the whole.
        errors: what it said of each field: `field` and `message`.
    """

    def __init__(self, status: int, detail: str, errors: list[dict[str, str]]) -> None:
        parts = [f"{error['field']}: {error['message']}" for error in errors]
        super().__init__("; ".join([detail, *(part for part in parts if part not in detail)]))
        self.status = status
        self.detail = detail
        self.errors = errors


class Client:
    """One connection to one WebGuard. A context manager."""

    def __init__(self, connection: Connection, seconds: float = 30.0) -> None:
        self.connection = connection
        self.url = connection.url.rstrip("/")
        headers = {"Accept": "application/json", "User-Agent": "webguard-cli"}
        if connection.api_key:  # an access token will do as well
            headers["Authorization"] = f"Bearer {connection.api_key}"
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=seconds, follow_redirects=False)
        except (httpx.InvalidURL, ValueError) as error:
            raise UsageFault(f"{self.url!r} is not a URL: {error}; it begins like http://127.0.0.1:8080") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # -- suites --------------------------------------------------------------------------------------------

    def suites(self) -> Iterator[SuiteRow]:
        return (self._as(SuiteRow, item) for item in self.items("/suites"))

    def suite(self, name: str) -> dict[str, Any]:
        """A suite with its definition, as the server gives it."""
        answer: dict[str, Any] = self._json("GET", f"/suites/{_quoted(name)}")
        return answer

    def export_suite(self, name: str) -> str:
        """The definition as YAML."""
        return self._send("GET", f"/suites/{_quoted(name)}/export", headers={"Accept": "*/*"}).text

    def save_suite(self, document: Mapping[str, Any], *, dry_run: bool = False) -> Saved:
        """Save a definition; saying the same again changes nothing.

        Raises:
            Refused: with the fields that are wrong.
        """
        params = {"dry_run": "true"} if dry_run else None
        return self._as(Saved, self._json("POST", "/suites", json=dict(document), params=params))

    def delete_suite(self, name: str) -> None:
        self._send("DELETE", f"/suites/{_quoted(name)}")

    # -- executions ----------------------------------------------------------------------------------------

    def trigger(
        self,
        suite: str,
        *,
        variables: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        triggered_by: str = "manual",
        commit: str | None = None,
        branch: str | None = None,
    ) -> UUID:
        """Ask for an execution. The key makes that safe to repeat, so a broken connection is tried once more."""
        wish = {
            "suite": suite,
            "variables": dict(variables or {}),
            "idempotency_key": idempotency_key or str(uuid4()),
            "triggered_by": triggered_by,
            "ci_commit_sha": commit,
            "ci_branch": branch,
        }
        body = {key: value for key, value in wish.items() if value is not None}
        try:
            answer = self._json("POST", "/executions/trigger", json=body)
        except PlatformError as error:
            if not isinstance(error.__cause__, httpx.ReadError | httpx.RemoteProtocolError):
                raise
            answer = self._json("POST", "/executions/trigger", json=body)
        return self._as(UUID, answer.get("execution_id") if isinstance(answer, dict) else answer)

    def executions(self, *, suite: str | None = None, status: str | None = None) -> Iterator[Execution]:
        """The latest first."""
        return (self._as(Execution, item) for item in self.items("/executions", suite=suite, status=status))

    def execution(self, execution_id: UUID) -> Execution:
        return self._as(Execution, self._json("GET", f"/executions/{execution_id}"))

    def results(self, execution_id: UUID) -> Iterator[Result]:
        """Every attempt of every case."""
        return (self._as(Result, item) for item in self.items(f"/executions/{execution_id}/results"))

    def cancel(self, execution_id: UUID, reason: str | None = None) -> None:
        self._send("POST", f"/executions/{execution_id}/cancel", json={"reason": reason} if reason else {})

    def events(
        self, execution_id: UUID, last_event_id: str = "", silence: float = SILENCE_SECONDS
    ) -> Iterator[ServerEvent | None]:
        """What happens in an execution, as it happens; goes on after an id that was seen. None: still alive.

        Raises:
            PlatformError: the stream broke off; begin again with the last id.
        """
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        timeout = httpx.Timeout(10.0, read=silence)
        path = f"{API}/executions/{execution_id}/events"
        try:
            with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
                if response.status_code != 200:
                    response.read()
                    self._refuse(response)
                yield from parse_events(lines_of(response.iter_text()))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    # -- the rest ------------------------------------------------------------------------------------------

    def skills(self) -> Iterator[dict[str, Any]]:
        return self.items("/skills")

    def skill(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._json("GET", f"/skills/{_quoted(name)}")
        return answer

    def status(self) -> dict[str, Any]:
        """The platform's services and whether each is well."""
        answer: dict[str, Any] = self._json("GET", "/status")
        return answer

    def log_in(self) -> str:
        """A bearer token for the name and password of the connection.

        Raises:
            UsageFault: it has none.
        """
        c = self.connection
        if not c.username or c.password is None:
            raise UsageFault(
                f"no user name and password are known for {self.url}; only a local platform keeps them, see --data-dir"
            )
        body = {"username": c.username, "password": c.password, "tenant": c.tenant}
        answer = self._json("POST", "/auth/login", json=body)
        return self._as(str, answer.get("access_token") if isinstance(answer, dict) else answer)

    # -- any path ------------------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        return self._json("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._json("POST", path, json=body, params=query)

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page, as they are asked for."""
        query = {"limit": PAGE, **{key: value for key, value in query.items() if value is not None}}
        while True:
            page = self._json("GET", path, params=query)
            if isinstance(page, list):  # short lists come whole
                yield from page
                return
            if not isinstance(page, dict) or not isinstance(page.get("items"), list):
                raise self._not_understood("it is no list")
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]

    # -- how -----------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, **options)
        try:
            return response.json()
        except ValueError as error:
            raise PlatformError(f"{self.url} answered with something that is not JSON: is it a WebGuard?") from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, API + path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except httpx.InvalidURL as error:
            raise UsageFault(f"{self.url!r} is not a URL: {error}") from error
        if not response.is_success:
            self._refuse(response)
        return response

    def _refuse(self, response: httpx.Response) -> None:
        status, request = response.status_code, response.request
        message, errors = _problem(response)
        if status == 401:
            raise Refused(401, f"{self.url} does not accept these credentials: {message}; see --api-key", errors)
        if status in (429, 503):
            wait = response.headers.get("Retry-After")
            later = f"try again in {wait} s" if wait else "try again later"
            raise PlatformError(f"{self.url} is too busy or not ready: {message}; {later}")
        if status >= 500 or status < 400:
            raise PlatformError(f"{self.url} answered {status} to {request.method} {request.url.path}: {message}")
        raise Refused(status, message, errors)

    def _unreachable(self, error: httpx.TransportError) -> WebGuardError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return PlatformError(f"no WebGuard at {self.url}; start one with `webguard up`")
        if isinstance(error, httpx.TimeoutException):
            return PlatformError(f"{self.url} did not answer in time; see `webguard status`")
        if isinstance(error, httpx.UnsupportedProtocol):
            return UsageFault(f"{self.url!r} is not a URL; it begins with http:// or https://")
        return PlatformError(f"the connection to {self.url} broke: {error or type(error).__name__}")

    def _as(self, of: type[T], value: Any) -> T:
        try:
            return msgspec.convert(value, of)
        except msgspec.ValidationError as error:
            raise self._not_understood(str(error)) from error

    def _not_understood(self, why: str) -> PlatformError:
        return PlatformError(f"the answer of {self.url} is not understood ({why}); are CLI and server of one version?")


def _quoted(name: str) -> str:
    return quote(name, safe="")


def _problem(response: httpx.Response) -> tuple[str, list[dict[str, str]]]:
    """The text of a problem+json answer and the fields that it names."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return response.reason_phrase or f"status {response.status_code}", []
    listed = body.get("errors")
    errors = [
        {"field": str(item.get("field", "")), "message": str(item.get("message", ""))}
        for item in (listed if isinstance(listed, list) else [])
        if isinstance(item, dict)
    ]
    text = body.get("detail") or body.get("title") or f"status {response.status_code}"
    return str(text), errors
