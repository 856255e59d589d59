"""CloudEvents 1.0 in NATS headers, and W3C trace context from the execution's own id."""

import hashlib
from datetime import UTC, datetime
from functools import lru_cache

from shared.events import Message

MSG_ID = "Nats-Msg-Id"
EXPECTED_LAST_SUBJECT_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
SCHEDULE = "Nats-Schedule"
SCHEDULE_TARGET = "Nats-Schedule-Target"


@lru_cache(maxsize=256)
def event_type(cls: type[Message]) -> str:
    """The `ce-type`: the tag of the struct, e.g. webguard.case.finished.v1."""
    return str(cls.__struct_config__.tag)


def headers(message: Message, source: str, now: datetime | None = None) -> dict[str, str]:
    """The headers of a message; the same message always has the same id.

    Args:
        source: the `ce-source`, e.g. webguard/executors.
        now: for messages that do not know when they happened.
    """
    event_id = message.event_id
    at = message.time or now
    found = {
        MSG_ID: event_id,
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": event_type(type(message)),
        "ce-source": source,
        "ce-subject": message.subject,
        "content-type": "application/json",
    }
    if at is not None:
        found["ce-time"] = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    trace_id = message.trace_id
    if trace_id is not None:
        found["traceparent"] = f"00-{trace_id}-{span_id(event_id)}-01"
    return found


def span_id(event_id: str) -> str:
    """16 hex digits that are the same for the same event."""
    return hashlib.blake2b(event_id.encode(), digest_size=8).hexdigest()
