"""What every service is: a FastStream application with one NATS connection, health and metrics endpoints."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.nats import NatsBroker
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.bus.connection import options
from shared.bus.dead import DeadLetters
from shared.bus.publish import BatchPublisher, Publisher
from shared.bus.topology import PING_SUBJECT
from shared.settings import Settings
from shared.telemetry.logs import configure
from shared.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[str | None]]  # None: fine; else what is wrong
VERSION = "0.1.0"


@dataclass
class App:
    """A running service: its connection, what it publishes through, and what it says of itself.

    Attributes:
        facts: what `ping` answers beside name, instance and uptime (slots, busy, …); read at each ping.
        checks: what `/readyz` asks, by name.
    """

    service: str
    settings: Settings
    broker: NatsBroker
    metrics: Metrics = field(default_factory=Metrics)
    facts: Callable[[], dict[str, Any]] = dict
    checks: dict[str, Check] = field(default_factory=dict)
    exit_code: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _began: float = field(default_factory=time.monotonic)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _parts: tuple[Publisher, BatchPublisher, DeadLetters] | None = None

    @property
    def instance(self) -> str:
        return self.settings.instance or f"{self.service}-{socket.gethostname()}-{os.getpid()}"

    @property
    def source(self) -> str:
        return f"webguard/{self.service}"

    @property
    def nc(self) -> Client:
        connection: Client = self.broker.config.broker_config.connection_state.connection
        return connection

    @property
    def publisher(self) -> Publisher:
        return self._bound()[0]

    @property
    def events(self) -> BatchPublisher:
        """For the EVENTS stream: what comes while a batch is being stored goes with the next."""
        return self._bound()[1]

    @property
    def dead(self) -> DeadLetters:
        return self._bound()[2]

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a part of the service for as long as it lives. When it fails the process ends: better a restart
        than a service that looks alive and does nothing."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def stop(self, exit_code: int = 0) -> None:
        """End the service in order."""
        self.exit_code = self.exit_code or exit_code
        self.stopping.set()

    def about(self) -> dict[str, Any]:
        uptime = round(time.monotonic() - self._began, 1)
        return {
            "service": self.service,
            "instance": self.instance,
            "version": VERSION,
            "uptime_seconds": uptime,
            **self.facts(),
        }

    async def problems(self) -> dict[str, str]:
        """What is wrong now, by check; empty: ready."""
        found = {} if self.nc.is_connected else {"nats": "not connected"}
        for name, check in self.checks.items():
            try:
                wrong = await asyncio.wait_for(check(), 2)
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            if wrong:
                found[name] = wrong
        return found

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.critical("a part of the service failed", extra={"part": task.get_name()}, exc_info=task.exception())
            self.stop(1)

    def _bound(self) -> tuple[Publisher, BatchPublisher, DeadLetters]:
        if self._parts is None:
            publisher = Publisher(self.nc)
            self._parts = (publisher, BatchPublisher(publisher, self.source), DeadLetters(publisher, self.service))
        return self._parts

    async def close(self) -> None:
        """Wait for what is being published, then end the parts that are left."""
        if self._parts is not None:
            await self._parts[1].close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]
OWN_PATHS = frozenset(("/livez", "/readyz", "/metrics", "/asyncapi"))
Start = Callable[[App], AbstractAsyncContextManager[None]]


def make_broker(settings: Settings, name: str) -> NatsBroker:
    """A broker on the shared connection settings; FastStream's own stream declarations are not used."""
    security = (
        SASLPlaintext(settings.nats_user, settings.nats_password.get_secret_value())
        if settings.nats_user and settings.nats_password
        else None
    )
    return NatsBroker(
        security=security, logger=None, graceful_timeout=5, ack_policy=AckPolicy.MANUAL, **options(settings, name)
    )


def make_app(service: str, settings: Settings, start: Start) -> tuple[App, AsgiFastStream]:
    """The service and its ASGI application (`/livez`, `/readyz`, `/metrics`, `/asyncapi`), not yet running."""
    broker = make_broker(settings, service)
    app = App(service, settings, broker)

    @broker.subscriber(PING_SUBJECT, title="Ping", description="Every service answers with what it is and does.")
    async def ping() -> dict[str, Any]:
        return app.about()

    @get
    async def livez(_: Any) -> AsgiResponse:
        return AsgiResponse(b"ok", 200)

    @get
    async def readyz(_: Any) -> AsgiResponse:
        problems = await app.problems()
        text = "\n".join(f"{name}: {wrong}" for name, wrong in problems.items()) or "ok"
        return AsgiResponse(text.encode(), 503 if problems else 200)

    @get
    async def metrics(_: Any) -> AsgiResponse:
        return AsgiResponse(generate_latest(app.metrics.registry), 200, {"content-type": CONTENT_TYPE_LATEST})

    running = AsyncExitStack()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await broker.connect()
        async with running:
            await running.enter_async_context(start(app))
            yield

    async def shut_down() -> None:
        # Before FastStream closes the connection, which acks and naks still need.
        await running.aclose()
        await app.close()

    asgi = AsgiFastStream(
        broker,
        lifespan=lifespan,
        on_shutdown=[shut_down],
        logger=None,
        asgi_routes=[("/livez", livez), ("/readyz", readyz), ("/metrics", metrics)],
        asyncapi_path="/asyncapi",
    )
    return app, asgi


def run(service: str, settings: Settings, start: Start, api: AsgiApp | None = None) -> None:
    """Run a service until it is told to stop, then exit with its code. What a service's `__main__` ends in.

    Args:
        api: answers every path that is not one of the service's own, for a service with an HTTP API.
    """
    app, asgi = make_app(service, settings, start)
    configure(settings.log_level, service, app.instance)

    async def front(scope: Any, receive: Any, send: Any) -> None:
        own = api is None or scope["type"] == "lifespan" or scope["path"] in OWN_PATHS
        await (asgi if own or api is None else api)(scope, receive, send)

    config = uvicorn.Config(
        front,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        async def watch() -> None:
            await app.stopping.wait()
            server.should_exit = True

        watcher = asyncio.create_task(watch())
        await server.serve()
        watcher.cancel()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())
    sys.exit(app.exit_code or (0 if server.started else 1))
