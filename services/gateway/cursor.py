"""Opaque cursors: where a page ended."""

import base64
import json
from datetime import datetime
from uuid import UUID

from services.gateway.problems import FieldError, ProblemError


def make_cursor(at: datetime, identity: UUID) -> str:
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(identity)]).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """
    Raises:
        ProblemError: not a cursor of ours.
    """
    if cursor is None:
        return None, None
    try:
        at, identity = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return datetime.fromisoformat(at), UUID(identity)
    except (ValueError, TypeError, AttributeError) as error:
        fault = FieldError(field="cursor", message="not a cursor of this API; leave it out to begin anew")
        raise ProblemError(422, "the cursor cannot be read", [fault]) from error
