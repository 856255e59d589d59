"""Looking up what a stream holds, without a consumer: direct gets."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from shared.bus.topology import EVENTS, LEDGER, SUITES_BUCKET, state_subject
from shared.errors import Unavailable
from shared.events import CaseFinished, SuiteSaved, decode

PAGE = 256


@dataclass(frozen=True)
class StoredMessage:
    """A message as the stream holds it."""

    subject: str
    sequence: int
    data: bytes
    headers: dict[str, str]


async def last(nc: Client, stream: str, subject: str) -> StoredMessage | None:
    """The last message on a subject, None where there is none.

    Raises:
        Unavailable: the stream does not answer.
    """
    try:
        msg = await nc.request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout=5)
    except (NatsTimeoutError, TimeoutError, NoRespondersError) as error:
        raise Unavailable(f"stream {stream} does not answer: {type(error).__name__}") from error
    headers = msg.headers or {}
    if headers.get("Status") == "404":
        return None
    if headers.get("Status"):
        raise Unavailable(f"stream {stream}: {headers['Status']} {headers.get('Description', '')}")
    return StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), msg.data, headers)


async def messages(nc: Client, stream: str, subject: str, after: int = 0) -> AsyncIterator[StoredMessage]:
    """Every message on a subject (wildcards allowed) with a sequence above `after`, in order, page by page.

    Raises:
        Unavailable: the stream does not answer.
    """
    start = after + 1
    while True:
        page, more = await _page(nc, stream, {"batch": PAGE, "seq": start, "next_by_subj": subject})
        for message in page:
            yield message
        if not more or not page:
            return
        start = page[-1].sequence + 1


async def latest(nc: Client, stream: str, subject: str) -> AsyncIterator[StoredMessage]:
    """The last message of every subject that matches, in any order.

    Raises:
        Unavailable: the stream does not answer.
    """
    sequences: dict[str, StoredMessage] = {}
    async for message in messages(nc, stream, subject):
        sequences[message.subject] = message
    for message in sequences.values():
        yield message


async def saved_suite(nc: Client, tenant: str, suite: str) -> SuiteSaved | None:
    """The suite as it is saved now; None: unknown or deleted."""
    stored = await last(nc, f"KV_{SUITES_BUCKET}", f"$KV.{SUITES_BUCKET}.{tenant}.{suite}")
    if stored is None or stored.headers.get("KV-Operation") or not stored.data:
        return None
    return decode(stored.data, SuiteSaved)


async def last_of(nc: Client, stream: str, subjects: Sequence[str]) -> dict[str, StoredMessage]:
    """The last message of each of some subjects, by subject; those that have none are left out.

    Raises:
        Unavailable: the stream does not answer.
    """
    found: dict[str, StoredMessage] = {}
    for start in range(0, len(subjects), PAGE):
        asked = list(subjects[start : start + PAGE])
        page, _ = await _page(nc, stream, {"batch": PAGE, "multi_last": asked})
        found |= {message.subject: message for message in page}
    return found


async def subjects(nc: Client, stream: str, matching: str) -> list[str]:
    """The subjects of a stream that match and hold a message, sorted.

    Raises:
        Unavailable: the stream does not answer.
    """
    found: list[str] = []
    while True:
        request = json.dumps({"subjects_filter": matching, "offset": len(found)}).encode()
        info = await _api(nc, f"$JS.API.STREAM.INFO.{stream}", request)
        page = info["state"].get("subjects") or {}
        found += page
        if not page or len(found) >= int(info.get("total", 0)):
            return sorted(found)


async def stream_info(nc: Client, stream: str) -> dict[str, Any]:
    """
    Raises:
        Unavailable: the stream does not answer.
    """
    return await _api(nc, f"$JS.API.STREAM.INFO.{stream}")


async def consumer_info(nc: Client, stream: str, consumer: str) -> dict[str, Any]:
    """
    Raises:
        Unavailable: the consumer does not answer.
    """
    return await _api(nc, f"$JS.API.CONSUMER.INFO.{stream}.{consumer}")


async def _api(nc: Client, subject: str, request: bytes = b"") -> dict[str, Any]:
    try:
        reply = await nc.request(subject, request, timeout=5)
    except (NatsTimeoutError, TimeoutError, NoRespondersError) as error:
        raise Unavailable(f"{subject} does not answer: {type(error).__name__}") from error
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise Unavailable(f"{subject}: {answer['error'].get('description')}")
    return answer


async def _page(nc: Client, stream: str, request: Mapping[str, object]) -> tuple[list[StoredMessage], bool]:
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    page: list[StoredMessage] = []
    try:
        await nc.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), inbox)
        while True:
            msg = await subscription.next_msg(timeout=5)
            headers = msg.headers or {}
            status = headers.get("Status")
            if status is None:
                page.append(StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), msg.data, headers))
            elif status == "204":  # end of the batch
                return page, int(headers.get("Nats-Num-Pending", "0")) > 0
            elif status == "404":
                return page, False
            else:
                raise Unavailable(f"stream {stream}: {status} {headers.get('Description', '')}")
    except (NatsTimeoutError, TimeoutError) as error:
        raise Unavailable(f"stream {stream} does not answer") from error
    finally:
        await subscription.unsubscribe()


async def finished_cases(nc: Client, tenant: str, execution_id: UUID) -> set[tuple[str, int]]:
    """(case, attempt) of every result that EVENTS already holds for an execution."""
    subject = f"wg.{tenant}.event.case.finished.{execution_id}"
    found = set()
    async for message in messages(nc, EVENTS.name, subject):
        result = decode(message.data, CaseFinished)
        found.add((result.case, result.attempt))
    return found


class Stop(msgspec.Struct, frozen=True):
    """The part of an execution's state that concerns executors: whether its cases are to end, and as what."""

    stop: str | None = None  # cancelled or timeout
    stop_message: str | None = None


async def stop_of(nc: Client, tenant: str, execution_id: UUID) -> Stop:
    """Whether an execution was told to stop; an unknown execution was not."""
    message = await last(nc, LEDGER.name, state_subject(tenant, str(execution_id)))
    return msgspec.json.decode(message.data, type=Stop) if message else Stop()
