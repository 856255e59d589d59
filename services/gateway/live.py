"""Live updates: the events of an execution as server-sent events, straight from the stream."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from nats.aio.client import Client

from shared.bus import lookup
from shared.bus.topology import EVENTS

# Each look is one direct get; nothing is kept at the server for a viewer, so none can be left behind.
POLL_SECONDS = 0.25
COMMENT_SECONDS = 15.0
LAST = (".event.execution.finished.", ".event.execution.refused.")


async def event_stream(nc: Client, tenant: str, execution_id: UUID, after: int) -> AsyncIterator[str]:
    """Events in the stream's order, `id:` being the sequence, ending with the execution's last."""
    subject = f"wg.{tenant}.event.*.*.{execution_id}"
    silent = 0.0
    while True:
        async for message in lookup.messages(nc, EVENTS.name, subject, after):
            after, silent = message.sequence, 0.0
            name = ".".join(message.subject.split(".")[3:5])
            yield f"id: {message.sequence}\nevent: {name}\ndata: {message.data.decode()}\n\n"
            if any(last in message.subject for last in LAST):
                return
        await asyncio.sleep(POLL_SECONDS)
        silent += POLL_SECONDS
        if silent >= COMMENT_SECONDS:
            silent = 0.0
            yield ": still here\n\n"  # or proxies would close the connection
