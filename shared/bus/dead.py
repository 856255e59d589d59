"""DEAD: what could not be processed, with its reason and where it came from, kept for people."""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from shared.bus.delivery import Delivery
from shared.bus.publish import Publisher, Record

log = logging.getLogger(__name__)

REASON, STREAM, SEQUENCE, SUBJECT = "wg-reason", "wg-stream", "wg-sequence", "wg-subject"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


class DeadLetters:
    """Sends what a service cannot process to `wg.<tenant>.dead.<service>`."""

    def __init__(self, publisher: Publisher, service: str) -> None:
        self._publisher = publisher
        self._service = service

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Store the message in DEAD, then end its delivery. It is not lost between the two: DEAD comes first.

        Raises:
            PublishFailed: DEAD did not take it; the message comes back.
        """
        await self._publisher.publish(dead_record(delivery, self._service, reason, datetime.now(UTC)))
        # ack, not term: TERM would make the server write an advisory of its own beside ours.
        await delivery.ack()
        log.warning(
            "message sent to DEAD",
            extra={"subject": delivery.subject, "stream_seq": delivery.stream_seq, "reason": reason[:500]},
        )


def dead_record(delivery: Delivery, service: str, reason: str, now: datetime) -> Record:
    """The body as it came; the rest in headers, one line each."""
    tenant = _UNSAFE.sub("_", delivery.tenant) or "system"
    kept = {key: value for key, value in delivery.headers.items() if not key.lower().startswith("nats-")}
    return Record(
        f"wg.{tenant}.dead.{service}",
        delivery.data,
        {
            **kept,
            "Nats-Msg-Id": f"dead:{delivery.stream}/{delivery.stream_seq}/{service}",
            REASON: " ".join(reason.split())[:2000],
            STREAM: delivery.stream,
            SEQUENCE: str(delivery.stream_seq),
            SUBJECT: delivery.subject,
            "wg-service": service,
            "wg-time": now.isoformat(),
        },
    )


def describe(sequence: int, subject: str, data: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """A dead letter (or one of the server's advisories) as people read it."""
    if subject.startswith("$JS.EVENT.ADVISORY."):
        advisory = json.loads(data)
        return {
            "sequence": sequence,
            "reason": subject.split(".")[4].lower(),
            "stream": advisory.get("stream"),
            "stream_sequence": advisory.get("stream_seq"),
            "subject": None,
            "service": advisory.get("consumer"),
            "time": advisory.get("timestamp"),
            "body": None,
        }
    return {
        "sequence": sequence,
        "reason": headers.get(REASON),
        "stream": headers.get(STREAM),
        "stream_sequence": int(headers[SEQUENCE]) if SEQUENCE in headers else None,
        "subject": headers.get(SUBJECT),
        "service": headers.get("wg-service"),
        "time": headers.get("wg-time"),
        "body": data.decode(errors="replace"),
    }
