"""The envelope: every message is a frozen struct, JSON on the wire, with an id made from natural keys."""

from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import msgspec

from shared.errors import Malformed

# The tenant of the platform's own events (skills offered, executors); no customer can have it.
SYSTEM_TENANT = "system"

M = TypeVar("M", bound="Message")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What passes between services. Unknown fields are ignored, fields are only added."""

    # Events of the hot path leave `ce-*` text to be derived from the id and the subject.
    source: ClassVar[str] = "webguard"

    tenant: str

    @property
    def event_id(self) -> str:
        """The same fact has the same id, whoever says it and however often."""
        raise NotImplementedError

    @property
    def subject(self) -> str:
        """Where it is published."""
        raise NotImplementedError

    @property
    def time(self) -> datetime | None:
        """When it happened, if the message knows."""
        return None

    @property
    def trace_id(self) -> str | None:
        """32 hex digits shared by all messages of one execution; None where there is no execution."""
        return None


@lru_cache(maxsize=128)
def decoder(cls: type[M]) -> msgspec.json.Decoder[M]:
    return msgspec.json.Decoder(cls)


_encoder = msgspec.json.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes, cls: type[M], **fixed: Any) -> M:
    """Decode one message.

    Args:
        data: JSON; the `type` field may be missing (the subject says it), but may not contradict.
        fixed: fields that the subject decides (tenant): they win over the body's.

    Raises:
        Malformed: not JSON, or not of this shape; the text names the field.
    """
    try:
        if fixed:
            body = msgspec.json.decode(data)
            if not isinstance(body, dict):
                raise Malformed(f"{cls.__name__}: expected an object, got {type(body).__name__}")
            converted: M = msgspec.convert({**body, **fixed}, cls)
            return converted
        decoded: M = decoder(cls).decode(data)
        return decoded
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"{cls.__name__}: {error}") from error
