"""Executions: asked for, listed, watched, cancelled."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.gateway import cursor as cursors
from services.gateway import live
from services.gateway.access import Editor, Parts, Viewer
from services.gateway.models import (
    Cancel,
    Cancelling,
    Execution,
    ExecutionStatus,
    Page,
    Trigger,
    Triggered,
)
from services.gateway.problems import invalid
from shared.bus.lookup import StoredMessage
from shared.suites.definition import Name

router = APIRouter(prefix="/executions", tags=["executions"])


@router.post("/trigger", summary="Run a suite", operation_id="trigger", status_code=202)
async def trigger(body: Trigger, who: Editor, gateway: Parts) -> Triggered:
    """Answers when the request is stored on disk: from then on the execution will come to an end."""
    accepted = await gateway.executions.trigger(who.tenant, body, who.name, datetime.now(UTC))
    return Triggered(
        execution_id=accepted.execution_id,
        suite=body.suite,
        idempotency_key=accepted.idempotency_key,
        repeated=accepted.repeated,
    )


@router.get("", summary="List executions, the latest first", operation_id="list_executions")
async def list_executions(
    who: Viewer,
    gateway: Parts,
    suite: Annotated[Name | None, Query(description="of this suite only")] = None,
    status: Annotated[ExecutionStatus | None, Query(description="in this status only")] = None,
    limit: cursors.Limit = 50,
    cursor: cursors.Cursor = None,
) -> Page[Execution]:
    after = cursors.decode_time(cursor, cursors.LAST)
    found = await gateway.executions.page(who.tenant, limit + 1, after, suite, status)
    more, found = len(found) > limit, found[:limit]
    last = found[-1] if found else None
    return Page(items=found, next_cursor=cursors.encode(last.executed_at, last.id) if more and last else None)


async def _execution(execution_id: UUID, who: Viewer, gateway: Parts) -> Execution:
    return await gateway.executions.get(who.tenant, execution_id)


Known = Annotated[Execution, Depends(_execution)]


@router.get("/{execution_id}", summary="An execution, as far as it has come", operation_id="get_execution")
async def get_execution(execution: Known) -> Execution:
    return execution


@router.post("/{execution_id}/cancel", summary="Stop an execution", operation_id="cancel_execution", status_code=202)
async def cancel_execution(execution_id: UUID, who: Editor, gateway: Parts, body: Cancel | None = None) -> Cancelling:
    """Nothing more is started, what runs is asked to end."""
    await gateway.executions.cancel(who.tenant, execution_id, body.reason if body else None, who.name)
    return Cancelling(execution_id=execution_id)


def _position(
    last_event_id: Annotated[str, Header(description="the `id` of the last event seen: go on after it")] = "",
) -> int:
    if last_event_id and not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        raise invalid("Last-Event-ID", "is not an id of this stream; leave it out to begin anew")
    return int(last_event_id or 0)


@router.get(
    "/{execution_id}/events",
    summary="What happens in an execution, as it happens",
    operation_id="follow_execution",
    response_class=EventSourceResponse,
)
async def follow_execution(
    execution: Known, who: Viewer, gateway: Parts, after: Annotated[int, Depends(_position)]
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events in the order of the stream, from the execution's first on, until it has ended.

    The name of each is its type (`case.finished`), its data the event as JSON, its id a place to go on from.
    """
    has_ended = execution.completed_at is not None
    events = live.follow(gateway.app.nc, who.tenant, execution.id, after, has_ended)
    async with aclosing(events):
        async for message in events:
            yield ServerSentEvent(
                id=str(message.sequence),
                event=live.type_of(message).removeprefix("webguard.").removesuffix(".v1"),
                raw_data=_public(message),
            )


def _public(message: StoredMessage) -> str:
    """The event without what cases saved for each other: that may be a session's token."""
    body: dict[str, Any] = msgspec.json.decode(message.data)
    body.pop("saved", None)
    return msgspec.json.encode(body).decode()
