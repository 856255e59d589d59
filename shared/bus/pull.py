"""A pull subscription: one inbox, as many requests as there is room for, every message counted."""

import asyncio
import json
import logging
import time
from collections import deque

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus.delivery import Delivery
from shared.bus.topology import Consumer

log = logging.getLogger(__name__)

# Short, so that a request the server forgot (seen: PITFALLS) costs seconds, not half a minute.
EXPIRES_SECONDS = 3.0


class Pull:
    """Messages of one durable consumer. Never asks for more than it was told there is room for.

    Attributes:
        asked: messages asked for and neither delivered nor given up by the server.
        pending: how many more the queue held when its last message was delivered.
    """

    def __init__(self, nc: Client, consumer: Consumer, arrived: asyncio.Event) -> None:
        self.consumer = consumer
        self.asked = 0
        self.pending = 0
        self.broken: str | None = None  # why the server refuses requests, e.g. the consumer is gone
        self._nc = nc
        self._arrived = arrived
        self._buffer: deque[Delivery] = deque()
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._deadline = 0.0
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"

    def __len__(self) -> int:
        return len(self._buffer)

    async def start(self) -> None:
        self._inbox = self._nc.new_inbox()
        self._subscription = await self._nc.subscribe(self._inbox, cb=self._on_message)

    async def stop(self) -> list[Delivery]:
        """Ask for nothing more; what had arrived and nobody took is returned for a nak."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None
        left = list(self._buffer)
        self._buffer.clear()
        return left

    async def ask(self, count: int, wait_seconds: float = EXPIRES_SECONDS) -> None:
        """Ask for up to `count` messages; with a wait of 0 only for those that are there now."""
        body: dict[str, int | bool] = {"batch": count}
        if wait_seconds:
            body["expires"] = int(wait_seconds * 1e9)
        else:
            body["no_wait"] = True
        if wait_seconds >= EXPIRES_SECONDS:
            body["idle_heartbeat"] = int(wait_seconds / 3 * 1e9)
        self.asked += count
        self._deadline = max(self._deadline, time.monotonic() + wait_seconds + 1)
        await self._nc.publish(self._next, json.dumps(body).encode(), self._inbox)

    def take(self, limit: int) -> list[Delivery]:
        """Up to `limit` of the messages that have arrived, in the stream's order."""
        return [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]

    def waiting(self) -> list[Delivery]:
        """Those that have arrived and nobody took: they need heartbeats too."""
        return list(self._buffer)

    def forget_lost_requests(self) -> None:
        """Requests that the server should have answered by now are gone (restart, reconnect): ask again."""
        if self.asked and time.monotonic() > self._deadline:
            log.debug("pull requests went unanswered", extra={"consumer": self.consumer.name, "asked": self.asked})
            self.asked = 0

    async def _on_message(self, msg: Msg) -> None:
        if msg.subject != self._inbox:
            self.asked = max(0, self.asked - 1)
            self.broken = None
            delivery = Delivery(self._nc, msg)
            self.pending = delivery.pending
            self._buffer.append(delivery)
        else:
            self._on_status(msg)
        self._arrived.set()

    def _on_status(self, msg: Msg) -> None:
        headers = msg.headers or {}
        status = headers.get("Status", "")
        if status == "100":
            self._deadline = time.monotonic() + EXPIRES_SECONDS + 1
            return
        left = headers.get("Nats-Pending-Messages")
        # Without a count nobody knows how many of the requests this ends: assume all, and ask anew.
        self.asked = max(0, self.asked - int(left)) if left else 0
        if status == "404":
            self.pending = 0
        elif status != "408":
            self.broken = f"{status} {headers.get('Description', '')}".strip()
