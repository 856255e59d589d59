"""A real HTTP server that answers like the REST API: suites in a dict, executions that end as they are told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid5

from pydantic import ValidationError

from shared.suites import SuiteDefinition
from webguard.suites import shape_faults, to_yaml

KEY = "wgk_test_key"
NAMESPACE = UUID(int=7)
PAGE = 2


@dataclass
class Platform:
    """What the server knows. `ends` says of a suite which results its executions get."""

    suites: dict[str, dict[str, Any]] = field(default_factory=dict)
    refuses: dict[str, list[dict[str, str]]] = field(default_factory=dict)  # suite → errors of a 422
    ends: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)  # suite → status of its executions
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    triggers: list[dict[str, Any]] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    events_asked: list[str] = field(default_factory=list)  # the Last-Event-ID of each stream
    has_events: bool = True
    breaks_off: bool = False  # the first stream ends in the middle
    looks_until_final: int = 2
    unending: bool = False  # neither the last event nor a final status ever comes
    url: str = ""


class _Problem(Exception):
    def __init__(self, status: int, detail: str, errors: list[dict[str, str]] | None = None) -> None:
        self.status, self.body = status, {"title": "refused", "detail": detail, "errors": errors or []}


@contextmanager
def serve() -> Iterator[Platform]:
    platform = Platform()

    class Handler(_Handler):
        state = platform

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    platform.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield platform
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Platform

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.removeprefix("/api/v1/").split("/")]
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        try:
            if path != ["auth", "login"] and self.headers.get("Authorization") != f"Bearer {KEY}":
                raise _Problem(401, "no such API key")
            if method == "GET" and path[2:] == ["events"]:
                self._stream(path[1])
                return
            status, answer = self._route(method, path, query, body)
        except _Problem as problem:
            status, answer = problem.status, problem.body
        self._write(status, answer)

    def _write(self, status: int, answer: Any) -> None:
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.send_header("Content-Type", "application/yaml" if isinstance(answer, str) else kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        state = self.state
        match method, path:
            case "POST", ["auth", "login"]:
                if body != {"username": "admin", "password": "right", "tenant": "main"}:
                    raise _Problem(401, "wrong user name or password")
                return 200, {"access_token": "a.jwt.token", "token_type": "bearer"}
            case "GET", ["status"]:
                about = {"service": "executors", "instance": "executors-api", "version": "1", "uptime_seconds": 5.0}
                services = [{**about, "details": {"busy": 3, "slots": 100}}]
                queues = {"api-high": 1, "api-low": 2}
                numbers = {"recorder_lag": 0, "dead_letters": 1, "running": 3}
                return 200, {"services": services, "queues": queues, **numbers}
            case "GET", ["suites"]:
                rows = [{"name": name, "revision": 1, "cases": len(s["cases"])} for name, s in state.suites.items()]
                return 200, _page(rows, query)
            case "POST", ["suites"]:
                return 200, self._save(body, dry_run=query.get("dry_run") == "true")
            case _, ["suites", name, *_] if name not in state.suites:
                raise _Problem(404, f"there is no suite {name!r}")
            case "GET", ["suites", name]:
                return 200, {"name": name, "revision": 1, "definition": state.suites[name]}
            case "GET", ["suites", name, "export"]:
                return 200, to_yaml(state.suites[name])
            case "DELETE", ["suites", name]:
                del state.suites[name]
                return 200, {}
            case "GET", ["skills"]:
                return 200, [{"name": "http-check", "kind": "api", "version": "1.0.0", "description": "Asks."}]
            case "POST", ["executions", "trigger"]:
                return 202, self._trigger(body)
            case "GET", ["executions"]:
                return 200, _page(list(state.executions.values()), query)
            case _, ["executions", execution_id, *_] if execution_id not in state.executions:
                raise _Problem(404, f"there is no execution {execution_id}")
            case "GET", ["executions", execution_id]:
                return 200, self._look(execution_id)
            case "GET", ["executions", execution_id, "results"]:
                return 200, _page(state.ends.get(state.executions[execution_id]["suite"], []), query)
            case "GET", ["executions", _, "artifacts"]:
                about = {"case": "a", "attempt": 1, "kind": "log", "size": 5}
                return 200, _page([{"name": "log.txt", "url": "/api/v1/artifacts/7", **about}], query)
            case "POST", ["executions", execution_id, "cancel"]:
                state.cancelled.append(execution_id)
                return 202, {}
        raise _Problem(404, "no such path")

    def _save(self, body: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
        try:
            suite = SuiteDefinition.model_validate(body)
        except ValidationError as error:
            faults = [{"field": f.field, "message": f.message} for f in shape_faults(error)]
            raise _Problem(422, "the definition has faults", faults) from error
        if suite.suite in self.state.refuses:
            raise _Problem(422, "the definition has faults", self.state.refuses[suite.suite])
        before = self.state.suites.get(suite.suite)
        if not dry_run:
            self.state.posted.append(suite.suite)
            self.state.suites[suite.suite] = suite.document()
        changed = {"created": before is None, "changed": before != suite.document()}
        return {"name": suite.suite, "revision": 1, **changed, "before": before, "definition": suite.document()}

    def _trigger(self, body: dict[str, Any]) -> dict[str, Any]:
        state = self.state
        if body["suite"] not in state.ends:
            raise _Problem(404, f"there is no suite {body['suite']!r}")
        state.triggers.append(body)
        execution_id = str(uuid5(NAMESPACE, body["idempotency_key"]))
        results = state.ends[body["suite"]]
        last = {result["case"]: result["status"] for result in results}
        state.executions[execution_id] = {
            "id": execution_id,
            "suite": body["suite"],
            "status": "running",
            "total": len(last),
            "passed": list(last.values()).count("passed"),
            "failed": sum(status in ("failed", "error", "timeout") for status in last.values()),
            "triggered_by": body["triggered_by"],
            "ci_commit_sha": body.get("ci_commit_sha"),
            "started_at": "2026-11-23T12:00:00Z",
            "duration_ms": 1500,
            "looks": 0,
        }
        return {"execution_id": execution_id, "status": "queued"}

    def _look(self, execution_id: str) -> dict[str, Any]:
        execution = self.state.executions[execution_id]
        execution["looks"] += 1
        if execution["looks"] > self.state.looks_until_final and not self.state.unending:
            execution["status"] = self.state.status.get(execution["suite"], "passed")
        return execution

    def _stream(self, execution_id: str) -> None:
        state = self.state
        if not state.has_events or execution_id not in state.executions:
            raise _Problem(404, "no such path")
        after = self.headers.get("Last-Event-ID") or ""
        state.events_asked.append(after)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        execution = state.executions[execution_id]
        events = events_of(execution_id, execution["suite"], state.ends[execution["suite"]])
        self.wfile.write(b": hello\n\n")
        for number, event in enumerate(events, 1):
            if number <= int(after or 0):
                continue
            if (state.breaks_off and number == 3 and not after) or (state.unending and number == len(events)):
                return
            data = json.dumps(event, ensure_ascii=False)
            self.wfile.write(f"id: {number}\nevent: {event['type']}\ndata: {data}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.001)
        execution["looks"] = state.looks_until_final


def events_of(execution_id: str, suite: str, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The contract's events of an execution."""
    at = "2026-11-23T12:00:00Z"
    common = {"tenant": "main", "execution_id": execution_id, "suite": suite, "executed_at": at}
    total = len({result["case"] for result in results})
    about = {**common, "suite_id": str(UUID(int=1)), "total": total, "started_at": at}
    finished = [
        {
            **common,
            "type": "webguard.case.finished.v1",
            **{key: value for key, value in result.items() if key != "duration_ms"},
            "started_at": at,
            "finished_at": at,
        }
        for result in results
    ]
    return [
        {**about, "type": "webguard.execution.started.v1", "revision": 1, "triggered_by": "manual"},
        *finished,
        {**about, "type": "webguard.execution.finished.v1", "status": "passed", "finished_at": at},
    ]


def result(case: str, status: str = "passed", attempt: int = 1, message: str | None = None) -> dict[str, Any]:
    return {
        "case": case,
        "skill": "http-check",
        "kind": "api",
        "attempt": attempt,
        "status": status,
        "error_message": message,
        "duration_ms": 12,
    }


def _page(rows: list[Any], query: dict[str, str]) -> dict[str, Any]:
    start = int(query.get("cursor", 0))
    more = start + PAGE < len(rows)
    return {"items": rows[start : start + PAGE], "next_cursor": str(start + PAGE) if more else None}
