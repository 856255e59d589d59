"""Publishing: one message, or many as one atomic batch with one fsync; and the reply that says it is on disk."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from shared.bus import envelope
from shared.bus.topology import MAX_BATCH
from shared.errors import LostRace, PublishFailed
from shared.events import Message, encode

# The server's error codes: https://github.com/nats-io/nats-server/blob/main/server/errors.json
MAX_BYTES_EXCEEDED = 10077
MESSAGE_TOO_LARGE = 10054
WRONG_LAST_SEQUENCE = (10070, 10071, 10164)
DUPLICATE_IN_BATCH = 10201
TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Record:
    """What goes to the server: where, the bytes, and the headers."""

    subject: str
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


def record(message: Message, source: str) -> Record:
    return Record(message.subject, encode(message), envelope.headers(message, source))


@dataclass(frozen=True)
class Stored:
    """The server has it on disk. In a batch the messages have the sequences `first … last`."""

    stream: str
    first: int
    last: int
    duplicate: bool


class Publisher:
    """Publishes and waits for the server's word. One a process; used by all its tasks."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._prefix = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._subscription: Subscription | None = None
        self._starting = asyncio.Lock()

    async def publish(self, item: Record, timeout: float = TIMEOUT_SECONDS) -> Stored:
        """Store one message.

        Raises:
            LostRace: its expected sequence was not the last.
            PublishFailed: refused, or nobody answered: it may be stored or not.
        """
        return await self._send([item], timeout)

    async def publish_batch(self, items: Sequence[Record], timeout: float = TIMEOUT_SECONDS) -> Stored:
        """Store all or none of up to 1,000 messages of one stream.

        Raises:
            ValueError: no message, or too many.
            LostRace: an expected sequence was not the last; nothing was stored.
            PublishFailed: refused, or nobody answered: all may be stored or none.
        """
        if not 1 <= len(items) <= MAX_BATCH:
            raise ValueError(f"a batch has 1 to {MAX_BATCH} messages, this one {len(items)}")
        return await self._send(items, timeout)

    async def close(self) -> None:
        if self._subscription is not None:
            await self._subscription.unsubscribe()
            self._subscription = None

    async def _send(self, items: Sequence[Record], timeout: float) -> Stored:
        if self._subscription is None:
            await self._start()
        number = str(next(self._numbers))
        reply = f"{self._prefix}.{number}"
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            if len(items) == 1:
                await self._nc.publish(items[0].subject, items[0].payload, reply, items[0].headers or None)
            else:
                await self._send_batch(items, reply)
            answer = await asyncio.wait_for(future, timeout)
        except TimeoutError as error:
            raise PublishFailed(f"{items[0].subject}: no answer in {timeout:g} s; it may be stored or not") from error
        except Exception as error:
            raise PublishFailed(f"{items[0].subject}: {type(error).__name__}: {error}") from error
        finally:
            self._waiting.pop(number, None)
        return _read_answer(items[0].subject, answer)

    async def _send_batch(self, items: Sequence[Record], reply: str) -> None:
        batch_id = reply.rsplit(".", 2)[-2] + "-" + reply.rsplit(".", 1)[-1]
        last = len(items)
        for position, item in enumerate(items, 1):
            headers = {**item.headers, "Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(position)}
            if position == last:
                headers["Nats-Batch-Commit"] = "1"
            # The first wants an answer too: an empty one, or the reason why no batch can begin.
            await self._nc.publish(item.subject, item.payload, reply if position in (1, last) else "", headers)

    async def _start(self) -> None:
        async with self._starting:
            if self._subscription is None:
                self._prefix = self._nc.new_inbox()
                self._subscription = await self._nc.subscribe(f"{self._prefix}.*", cb=self._on_answer)

    async def _on_answer(self, msg: Msg) -> None:
        if not msg.data and not msg.headers:
            return  # the batch has begun
        future = self._waiting.get(msg.subject.rsplit(".", 1)[-1])
        if future is not None and not future.done():
            future.set_result(msg)


def _read_answer(subject: str, msg: Msg) -> Stored:
    if msg.headers and msg.headers.get("Status") == "503":
        raise PublishFailed(f"{subject}: no stream takes this subject")
    answer: dict[str, Any] = json.loads(msg.data)
    error = answer.get("error")
    if error:
        text = f"{subject}: {error.get('description')} ({error.get('err_code')})"
        if error.get("err_code") in WRONG_LAST_SEQUENCE:
            raise LostRace(text)
        raise PublishFailed(text, error.get("err_code"))
    last, count = int(answer["seq"]), int(answer.get("count", 1))
    return Stored(answer["stream"], last - count + 1, last, bool(answer.get("duplicate", False)))


class BatchPublisher:
    """Publishes events as they come, each waiting commit taking all that came meanwhile as one atomic batch.

    It never lingers: the first event goes out alone, those that arrive while it is being stored go together.
    """

    def __init__(self, publisher: Publisher, source: str, max_batch: int = 500) -> None:
        self._publisher = publisher
        self._source = source
        self._max_batch = max_batch
        self._pending: list[tuple[Record, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None

    def submit(self, message: Message) -> asyncio.Future[None]:
        """Take a message for the next batch; the future is done when it is on disk, or has PublishFailed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((record(message, self._source), future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush())
        return future

    async def publish(self, *messages: Message) -> None:
        """Store messages, in order, perhaps with others.

        Raises:
            PublishFailed: one of them was refused, or its fate is not known.
        """
        await asyncio.gather(*[self.submit(message) for message in messages])

    async def close(self) -> None:
        if self._flusher is not None:
            await self._flusher

    async def _flush(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[: self._max_batch], self._pending[self._max_batch :]
            try:
                await self._publisher.publish_batch([item for item, _ in batch])
            except PublishFailed:
                # One repeated id refuses a whole batch, and a batch in doubt may be stored:
                # one by one the server says `duplicate` where it has them, and the good are not held up.
                await self._one_by_one(batch)
            else:
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)

    async def _one_by_one(self, batch: list[tuple[Record, asyncio.Future[None]]]) -> None:
        answers = await asyncio.gather(*[self._publisher.publish(item) for item, _ in batch], return_exceptions=True)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(None)
