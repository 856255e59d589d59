"""Cursors: the key of the last item of a page, so that the next page begins after it whatever was added since."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query

from services.gateway.problems import Refusal, invalid

MAX_LIMIT = 200
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items on a page")]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before; none: the first page")
]

# Before and after every key that there is.
FIRST = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=(1 << 128) - 1))


def encode(*key: object) -> str:
    text = json.dumps([part.isoformat() if isinstance(part, datetime) else str(part) for part in key])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_time(cursor: str | None, start: tuple[datetime, UUID]) -> tuple[datetime, UUID]:
    """The (time, id) that a page begins after; `start` where there is no cursor.

    Raises:
        Refusal: the cursor is none of ours.
    """
    if cursor is None:
        return start
    try:
        at, identity = _parts(cursor)
        time = datetime.fromisoformat(at)
        # PostgreSQL would take a time without a zone for one of its own.
        return time.replace(tzinfo=time.tzinfo or UTC), UUID(identity)
    except (ValueError, OverflowError) as error:
        raise _foreign() from error


def decode_name(cursor: str | None) -> str:
    """The name that a page begins after; before all names where there is no cursor.

    Raises:
        Refusal: the cursor is none of ours.
    """
    if cursor is None:
        return ""
    try:
        (name,) = _parts(cursor)
    except ValueError as error:
        raise _foreign() from error
    if "\x00" in name:
        raise _foreign()
    return name


def _parts(cursor: str) -> list[str]:
    try:
        parts = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("not a cursor") from error
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("not a cursor")
    return parts


def _foreign() -> Refusal:
    return invalid("cursor", "is not one that this list gave out; leave it out to begin anew")
