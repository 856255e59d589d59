"""The batch consumer: what has arrived is handled together; each message ends acked, given back, or in DEAD."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from nats.aio.client import Client

from shared.bus.dead import DeadLetters
from shared.bus.delivery import Delivery
from shared.bus.pull import EXPIRES_SECONDS, Pull
from shared.bus.topology import ACK_WAIT, Consumer
from shared.errors import Permanent, PublishFailed, Unavailable, WebGuardError

log = logging.getLogger(__name__)

MAX_TRIES = 5
HEARTBEAT_SECONDS = ACK_WAIT.total_seconds() / 3
Handler = Callable[[Sequence[Delivery]], Awaitable[None]]


class Observer(Protocol):
    """Told of each batch, for metrics."""

    def batch(self, consumer: str, size: int, redelivered: int) -> None: ...

    def dead_letter(self, consumer: str) -> None: ...


class BatchConsumer:
    """Pulls batches of durable consumers and hands them to one handler, one batch at a time.

    The handler settles what it wants to settle itself; what it leaves unsettled is acked when it returns.
    When it raises, the batch is tried one by one, so that a poisonous message takes no other with it:
    `Permanent` sends a message to DEAD at once, anything else after `MAX_TRIES` delayed tries.
    `Unavailable` (the database is down, …) counts as no try: the same batch is handed over again, later.
    """

    def __init__(
        self,
        nc: Client,
        consumers: Sequence[Consumer],
        handler: Handler,
        dead: DeadLetters,
        *,
        max_batch: int = 500,
        observer: Observer | None = None,
    ) -> None:
        self._arrived = asyncio.Event()
        self._pulls = [Pull(nc, consumer, self._arrived) for consumer in consumers]
        self._handler = handler
        self._dead = dead
        self._max_batch = max_batch
        self._observer = observer
        self._in_hand: Sequence[Delivery] = ()
        self._stopping = False

    async def run(self) -> None:
        """Consume until `stop`; then end what is in hand and give the rest back."""
        for pull in self._pulls:
            await pull.start()
        heartbeats = asyncio.create_task(self._heartbeats())
        try:
            while not self._stopping:
                batch = await self._next_batch()
                if batch:
                    self._in_hand = batch
                    await self._handle(batch)
                    self._in_hand = ()
        finally:
            heartbeats.cancel()
            for pull in self._pulls:
                for delivery in await pull.stop():
                    await delivery.nak()

    def stop(self) -> None:
        self._stopping = True
        self._arrived.set()

    async def _next_batch(self) -> list[Delivery]:
        """All that is there, up to the limit; waits for the first message only, never for more."""
        self._arrived.clear()
        for pull in self._pulls:
            pull.forget_lost_requests()
            # Half a batch of room: the next one arrives while this one is handled.
            room = 2 * self._max_batch - pull.asked - len(pull)
            if room >= self._max_batch:
                await pull.ask(room)
            if pull.broken and not pull.asked:
                await asyncio.sleep(0.5)
        batch: list[Delivery] = []
        for pull in self._pulls:
            batch += pull.take(self._max_batch - len(batch))
        if not batch:
            try:
                await asyncio.wait_for(self._arrived.wait(), EXPIRES_SECONDS + 1.5)
            except TimeoutError:
                return []
        return batch

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        if self._observer:
            consumer = self._pulls[0].consumer
            redelivered = sum(1 for d in batch if d.epoch > 1)
            self._observer.batch(f"{consumer.stream}/{consumer.name}", len(batch), redelivered)
        pause = 0.2
        while True:
            try:
                await self._handler(batch)
                for delivery in batch:
                    await delivery.ack()
                return
            except (Unavailable, PublishFailed) as error:
                log.warning("waiting for what this service needs", extra={"error": str(error), "seconds": pause})
                if self._stopping:
                    await self._give_back(batch)
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
            except Exception as error:
                await self._one_by_one(batch, error)
                return

    async def _one_by_one(self, batch: Sequence[Delivery], error: Exception) -> None:
        if len(batch) == 1:
            await self._fail(batch[0], error)
            return
        log.warning("batch failed, trying one by one", extra={"error": f"{type(error).__name__}: {error}"})
        for delivery in batch:
            if not delivery.settled:
                await self._handle([delivery])

    async def _fail(self, delivery: Delivery, error: Exception) -> None:
        reason = str(error) if isinstance(error, WebGuardError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, Permanent) and delivery.epoch < MAX_TRIES:
            log.warning(
                "message failed, will be tried again",
                extra={"subject": delivery.subject, "epoch": delivery.epoch, "error": reason},
                exc_info=error,
            )
            await delivery.nak(2.0 ** (delivery.epoch - 1))
            return
        try:
            await self._dead.bury(delivery, reason)
            if self._observer:
                self._observer.dead_letter(self._pulls[0].consumer.name)
        except PublishFailed as failed:
            log.error("DEAD did not take a message, it will come back", extra={"error": str(failed)})
            await delivery.nak(5)

    async def _give_back(self, batch: Sequence[Delivery]) -> None:
        for delivery in batch:
            await delivery.nak()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for delivery in [*self._in_hand, *(d for pull in self._pulls for d in pull.waiting())]:
                await delivery.in_progress()
