"""`python -m services.scheduler`: asks for the executions that are due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.scheduler.service import Scheduler
from shared.bus.consume import BatchConsumer
from shared.bus.topology import EVENTS_SCHEDULER, TICKS_SCHEDULER
from shared.service import App, run
from shared.settings import Settings


@asynccontextmanager
async def start(app: App) -> AsyncIterator[None]:
    scheduler = Scheduler(app)
    consumers = [
        BatchConsumer(app.nc, [EVENTS_SCHEDULER], scheduler.handle_suites, app.dead, observer=app.metrics),
        BatchConsumer(app.nc, [TICKS_SCHEDULER], scheduler.handle_ticks, app.dead, max_batch=50, observer=app.metrics),
    ]
    tasks = [app.spawn(consumer.run(), "schedule") for consumer in consumers]
    app.spawn(scheduler.reconcile(), "reconcile")
    yield
    for consumer in consumers:
        consumer.stop()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    run("scheduler", Settings(), start)
