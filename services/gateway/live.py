"""An execution as it happens: its events in the order of the stream, from any point on."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, DeliverPolicy
from nats.js.errors import Error as JetStreamError

from shared.bus import lookup
from shared.bus.lookup import StoredMessage
from shared.bus.topology import EVENTS
from shared.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
# A quiet consumer may have died with its server: look into the stream itself, and begin anew if it has more.
QUIET_SECONDS = 5.0
# The server removes a consumer that nobody listens to; who goes away is often in no position to do so.
GONE_SECONDS = 5.0
_ENDS = ("webguard.execution.finished.v1", "webguard.execution.refused.v1")


class _Head(msgspec.Struct):
    type: str


def subject_of(tenant: str, execution_id: UUID) -> str:
    return f"wg.{tenant}.event.*.*.{execution_id}"


def type_of(message: StoredMessage) -> str:
    """The event's type, e.g. webguard.case.finished.v1."""
    try:
        return msgspec.json.decode(message.data, type=_Head).type
    except (msgspec.DecodeError, msgspec.ValidationError):
        return ""


def is_end(message: StoredMessage) -> bool:
    return type_of(message) in _ENDS


async def follow(
    nc: Client, tenant: str, execution_id: UUID, after: int, has_ended: bool
) -> AsyncGenerator[StoredMessage, None]:
    """Events with a sequence above `after`, as they come; ends with the execution.

    While the stream does not answer it waits: whoever watches goes on where they were.

    Args:
        has_ended: the execution is known to be over: nothing is waited for.
    """
    subject, last = subject_of(tenant, execution_id), after
    while True:
        try:
            async with aclosing(_from(nc, subject, last, has_ended)) as found:
                async for message in found:
                    last = message.sequence
                    yield message
                    if is_end(message):
                        return
            if has_ended:
                return
        except Unavailable as error:
            log.warning("following an execution is held up", extra={"subject": subject, "error": str(error)})
            await asyncio.sleep(RETRY_SECONDS)


async def _from(nc: Client, subject: str, after: int, has_ended: bool) -> AsyncGenerator[StoredMessage, None]:
    """What is stored, and then what comes."""
    async for message in lookup.messages(nc, EVENTS.name, subject, after):
        after = message.sequence
        yield message
    if not has_ended:
        async with aclosing(_pushed(nc, subject, after)) as pushed:
            async for message in pushed:
                yield message


async def _pushed(nc: Client, subject: str, after: int) -> AsyncGenerator[StoredMessage, None]:
    """What is stored after a sequence, as the server pushes it; ends when the stream has more than was pushed."""
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1)
    try:
        subscription = await nc.jetstream().subscribe(
            subject, stream=EVENTS.name, ordered_consumer=True, config=config, inactive_threshold=GONE_SECONDS
        )
    except (NatsError, JetStreamError, TimeoutError) as error:
        raise Unavailable(f"stream {EVENTS.name} lets nobody follow: {type(error).__name__}: {error}") from error
    try:
        while True:
            try:
                message = await subscription.next_msg(timeout=QUIET_SECONDS)
            except (NatsError, TimeoutError):
                async for _ in lookup.messages(nc, EVENTS.name, subject, after):
                    return
                continue
            after = message.metadata.sequence.stream
            yield StoredMessage(message.subject, after, message.data, dict(message.headers or {}))
    finally:
        with suppress(NatsError, JetStreamError, TimeoutError):
            await subscription.unsubscribe()
