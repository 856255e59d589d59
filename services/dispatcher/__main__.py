"""`python -m services.dispatcher`: turns requests into executions, and executions into tasks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.dispatcher.service import Dispatcher
from shared.bus.consume import BatchConsumer
from shared.bus.topology import EVENTS_DISPATCHER, LEDGER_DISPATCHER, REQUESTS_DISPATCHER
from shared.service import App, run
from shared.settings import Settings


@asynccontextmanager
async def start(app: App) -> AsyncIterator[None]:
    dispatcher = Dispatcher(app)
    # Results before requests: what has begun comes to its end before more is begun.
    consumer = BatchConsumer(
        app.nc,
        [EVENTS_DISPATCHER, LEDGER_DISPATCHER, REQUESTS_DISPATCHER],
        dispatcher.handle,
        app.dead,
        observer=app.metrics,
    )
    task = app.spawn(consumer.run(), "dispatch")
    yield
    consumer.stop()
    await task


if __name__ == "__main__":
    run("dispatcher", Settings(), start)
