"""One delivered message and what can be said of it to the server."""

from nats.aio.client import Client
from nats.aio.msg import Msg


class Delivery:
    """A message of a durable consumer, until it is settled: acked, given back, or sent to DEAD.

    Attributes:
        epoch: 1 for the first delivery, 2 for the first redelivery, …
        stream_seq: its place in the stream.
        stored_at: when the server stored it, in seconds since 1970.
        pending: how many more messages the consumer had when it sent this one.
        consumer_seq: the number of this delivery; without a gap where one process gets all.
    """

    __slots__ = (
        "_nc",
        "_reply",
        "consumer_seq",
        "data",
        "epoch",
        "headers",
        "pending",
        "settled",
        "stored_at",
        "stream",
        "stream_seq",
        "subject",
    )

    def __init__(self, nc: Client, msg: Msg) -> None:
        self._nc = nc
        self._reply = msg.reply
        self.subject = msg.subject
        self.data = msg.data
        self.headers: dict[str, str] = msg.headers or {}
        self.settled = False
        # $JS.ACK.[<domain>.<account hash>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
        tokens = msg.reply.split(".")
        at = 2 if len(tokens) == 9 else 4
        self.stream = tokens[at]
        self.epoch = int(tokens[at + 2])
        self.stream_seq = int(tokens[at + 3])
        self.consumer_seq = int(tokens[at + 4])
        self.stored_at = int(tokens[at + 5]) / 1e9
        self.pending = int(tokens[at + 6])

    @property
    def tenant(self) -> str:
        """The second token of the subject."""
        return self.subject.split(".", 2)[1]

    async def ack(self) -> None:
        """Done. A lost ack means one more delivery, so what was done must bear repeating."""
        await self._settle(b"+ACK")

    async def nak(self, delay_seconds: float = 0) -> None:
        """Give it back, to be delivered again no sooner than in `delay_seconds`."""
        delay = int(delay_seconds * 1e9)
        await self._settle(b'-NAK {"delay": %d}' % delay if delay else b"-NAK")

    async def term(self) -> None:
        """Never deliver it again; say first in DEAD why."""
        await self._settle(b"+TERM")

    async def in_progress(self) -> None:
        """Still at work: the ack wait begins anew."""
        if not self.settled:
            await self._nc.publish(self._reply, b"+WPI")

    async def _settle(self, word: bytes) -> None:
        if not self.settled:
            self.settled = True
            await self._nc.publish(self._reply, word)
