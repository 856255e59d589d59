"""The executors' side of the task queues: never more than there is room for, the more urgent class first."""

import asyncio
from collections.abc import Sequence

from nats.aio.client import Client

from shared.bus.delivery import Delivery
from shared.bus.pull import Pull
from shared.bus.topology import Consumer

# A standing request holds a place of the room until it ends, so it is short.
STANDING_SECONDS = 1.0
PROBE_SECONDS = 0.3


class WorkQueue:
    """Takes tasks of several consumers, given in order of urgency.

    What is asked for and has not come counts as taken, so that the messages under way never exceed the room.
    With room to spare every class has a standing request for one message, which tells how many more there are.
    With little room the classes are asked in order for what they have now, so that none holds a place in vain.
    """

    def __init__(self, nc: Client, consumers: Sequence[Consumer]) -> None:
        self._arrived = asyncio.Event()
        self._pulls = [Pull(nc, consumer, self._arrived) for consumer in consumers]
        self._turn = 0
        self._stopping = False

    async def start(self) -> None:
        for pull in self._pulls:
            await pull.start()

    async def take(self, room: int, wait_seconds: float = 3.0) -> list[Delivery]:
        """Up to `room` (≥ 1) tasks; waits for the first only. Empty after `wait_seconds` or `stop`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while not self._stopping:
            self._arrived.clear()
            found = self._found(room)
            if found:
                return found
            if loop.time() >= until:
                return []
            for pull in self._pulls:
                pull.forget_lost_requests()
            if room >= len(self._pulls):
                await self._stand(room)
            else:
                await self._probe(room)
            if not any(len(pull) for pull in self._pulls):
                await self._hear(max(0.0, until - loop.time()))
        return []

    async def stop(self) -> None:
        """Give back what came and was not taken."""
        self._stopping = True
        self._arrived.set()
        for pull in self._pulls:
            for delivery in await pull.stop():
                await delivery.nak()

    def waiting(self) -> list[Delivery]:
        """Arrived and not taken yet: they need heartbeats too."""
        return [delivery for pull in self._pulls for delivery in pull.waiting()]

    @property
    def broken(self) -> str | None:
        """Why the server refuses our requests, if it does."""
        return next((f"{pull.consumer.name}: {pull.broken}" for pull in self._pulls if pull.broken), None)

    def _found(self, room: int) -> list[Delivery]:
        found: list[Delivery] = []
        for pull in self._pulls:
            found += pull.take(room - len(found))
        return found

    def _free(self, room: int) -> int:
        return room - sum(pull.asked + len(pull) for pull in self._pulls)

    async def _stand(self, room: int) -> None:
        """One standing request a class, and all that is known to be there as far as there is room."""
        for pull in self._pulls:
            if not pull.asked and self._free(room) > 0:
                await pull.ask(1, STANDING_SECONDS)
        for pull in self._pulls:
            more = min(pull.pending - pull.asked, self._free(room))
            if more > 0:
                await pull.ask(more, 0)

    async def _probe(self, room: int) -> None:
        """Ask each class in order for what it has now; where all are empty, wait a moment at one in turn."""
        for pull in self._pulls:
            free = self._free(room)
            if free <= 0:
                return
            await pull.ask(free, 0)
            while pull.asked and not len(pull) and not self._stopping:
                self._arrived.clear()
                if not await self._hear(1.0):
                    return
            if len(pull):
                return
        self._turn = (self._turn + 1) % len(self._pulls)
        self._arrived.clear()  # the answers so far said no
        await self._pulls[self._turn].ask(1, PROBE_SECONDS)

    async def _hear(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._arrived.wait(), seconds)
        except TimeoutError:
            return False
        return True
