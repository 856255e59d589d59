"""Ids from natural keys: a repeat of a fact is the same fact."""

import re
from datetime import UTC, datetime
from uuid import UUID, uuid5

from shared.errors import Malformed

NAMESPACE = UUID("6f0f7d0e-9a6b-5c1e-8f5d-2b9c3d1a7e40")

# One token of a subject and a KV key: no dot, no space, no wildcard.
TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


def token(value: str, what: str) -> str:
    """Return the value if it can be a token of a subject.

    Raises:
        Malformed: it cannot; the text says what is allowed.
    """
    if not TOKEN.fullmatch(value):
        raise Malformed(
            f"{what} {value!r} is not a name: letters, digits, '-' and '_', at most 100, first a letter or digit"
        )
    return value


def execution_id(tenant: str, idempotency_key: str) -> UUID:
    return uuid5(NAMESPACE, f"execution:{tenant}:{idempotency_key}")


def suite_id(tenant: str, suite: str) -> UUID:
    return uuid5(NAMESPACE, f"suite:{tenant}:{suite}")


def case_id(suite: UUID, case: str) -> UUID:
    return uuid5(suite, f"case:{case}")


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, to the second unless there is more, e.g. 2026-11-23T19:00:00Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
