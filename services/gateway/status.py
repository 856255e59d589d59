"""The platform now: depths of its streams and queues, and every process that answers a call."""

import asyncio
import logging
from typing import Any

import msgspec
from nats.aio.client import Client
from pydantic import ValidationError

from services.gateway.database import Database
from services.gateway.models import ServiceStatus, Status, StreamDepth
from shared.bus import lookup
from shared.bus.topology import (
    CONSUMERS,
    DEAD,
    EVENTS,
    KINDS,
    PING_SUBJECT,
    PRIORITY_CLASSES,
    STREAMS,
    task_consumer,
)

log = logging.getLogger(__name__)

PING_SECONDS = 0.3
TASKS = frozenset(task_consumer(kind, priority).name for kind in KINDS for priority in PRIORITY_CLASSES)
_KNOWN = ("service", "instance", "version", "uptime_seconds")


async def call_all(nc: Client, seconds: float = PING_SECONDS) -> list[ServiceStatus]:
    """What every service that answers in time says of itself."""
    answers: list[ServiceStatus] = []
    inbox = nc.new_inbox()

    async def collect(msg: Any) -> None:
        try:
            about = msgspec.json.decode(msg.data, type=dict[str, Any])
            known = {key: about.pop(key) for key in _KNOWN if key in about}
            answers.append(ServiceStatus(**known, details=about))
        except (msgspec.MsgspecError, ValidationError):
            log.warning("a service answered the call with something else", extra={"size": len(msg.data)})

    subscription = await nc.subscribe(inbox, cb=collect)
    try:
        await nc.publish(PING_SUBJECT, b"{}", reply=inbox)
        await asyncio.sleep(seconds)
    finally:
        await subscription.unsubscribe()
    return sorted(answers, key=lambda answer: (answer.service, answer.instance))


async def status(nc: Client, database: Database, tenant: str) -> Status:
    """
    Raises:
        Unavailable: NATS or PostgreSQL does not answer.
    """
    streams, queues, services, suites, running, position = await asyncio.gather(
        asyncio.gather(*[_depth(nc, stream.name) for stream in STREAMS]),
        asyncio.gather(*[lookup.consumer_info(nc, consumer.stream, consumer.name) for consumer in CONSUMERS]),
        call_all(nc),
        database.tenant_row(tenant, "suite_count"),
        database.tenant_row(tenant, "running"),
        database.row("position", EVENTS.name),
    )
    depths = {stream.name: depth for stream, depth in zip(STREAMS, streams, strict=True)}
    by_consumer = list(zip(CONSUMERS, queues, strict=True))
    return Status(
        suites=suites["count"] if suites else 0,
        running_executions=running["count"] if running else 0,
        services=services,
        queues={c.name: info["num_pending"] for c, info in by_consumer if c.name in TASKS},
        running=sum(info["num_ack_pending"] for c, info in by_consumer if c.name in TASKS),
        backlog={f"{c.stream}/{c.name}": info["num_pending"] for c, info in by_consumer if c.name not in TASKS},
        recorder_lag=max(0, depths[EVENTS.name].last_sequence - (position["sequence"] if position else 0)),
        dead_letters=depths[DEAD.name].messages,
        streams=depths,
    )


async def _depth(nc: Client, stream: str) -> StreamDepth:
    state = (await lookup.stream_info(nc, stream))["state"]
    return StreamDepth(messages=state["messages"], bytes=state["bytes"], last_sequence=state["last_seq"])
