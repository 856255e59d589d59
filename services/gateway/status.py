"""The platform now: depths of its streams and queues, and every process that answers a call."""

import asyncio
import logging
from typing import Any

import msgspec
from nats.aio.client import Client

from services.gateway.database import Database
from services.gateway.models import Queue, Status, StreamDepth
from shared.bus import lookup
from shared.bus.topology import CONSUMERS, DEAD, EVENTS, PING_SUBJECT, STREAMS, Consumer

log = logging.getLogger(__name__)

PING_SECONDS = 0.3


async def call_all(nc: Client, seconds: float = PING_SECONDS) -> list[dict[str, Any]]:
    """What every service that answers in time says of itself."""
    answers: list[dict[str, Any]] = []
    inbox = nc.new_inbox()

    async def collect(msg: Any) -> None:
        try:
            answers.append(msgspec.json.decode(msg.data, type=dict[str, Any]))
        except (msgspec.DecodeError, msgspec.ValidationError):
            log.warning("a service answered with no object", extra={"size": len(msg.data)})

    subscription = await nc.subscribe(inbox, cb=collect)
    try:
        await nc.publish(PING_SUBJECT, b"{}", reply=inbox)
        await asyncio.sleep(seconds)
    finally:
        await subscription.unsubscribe()
    return sorted(answers, key=lambda answer: (str(answer.get("service")), str(answer.get("instance"))))


async def status(nc: Client, database: Database, tenant: str) -> Status:
    """
    Raises:
        Unavailable: NATS or PostgreSQL does not answer.
    """
    streams, queues, services, suites, running, position = await asyncio.gather(
        asyncio.gather(*[_depth(nc, stream.name) for stream in STREAMS]),
        asyncio.gather(*[_queue(nc, consumer) for consumer in CONSUMERS]),
        call_all(nc),
        database.tenant_row(tenant, "suite_count"),
        database.tenant_row(tenant, "running"),
        database.row("position", EVENTS.name),
    )
    by_name = {stream.name: stream for stream in streams}
    recorded = position["sequence"] if position else 0
    return Status(
        suites=suites["count"] if suites else 0,
        running_executions=running["count"] if running else 0,
        recorder_lag_events=max(0, by_name[EVENTS.name].last_sequence - recorded),
        dead_letters=by_name[DEAD.name].messages,
        streams=list(streams),
        queues=list(queues),
        services=services,
    )


async def _depth(nc: Client, stream: str) -> StreamDepth:
    state = (await lookup.stream_info(nc, stream))["state"]
    return StreamDepth(
        name=stream, messages=state["messages"], bytes=state["bytes"], last_sequence=state["last_seq"]
    )


async def _queue(nc: Client, consumer: Consumer) -> Queue:
    info = await lookup.consumer_info(nc, consumer.stream, consumer.name)
    return Queue(
        stream=consumer.stream,
        consumer=consumer.name,
        waiting=info["num_pending"],
        in_flight=info["num_ack_pending"],
    )
