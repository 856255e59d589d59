"""Server-sent events, as far as our own server uses them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event; `id` is the last one seen on the stream, to go on from."""

    id: str
    name: str
    data: str


def lines_of(pieces: Iterable[str]) -> Iterator[str]:
    """Lines without their ends. Only \\n ends one: JSON may hold what Python also takes for the end of a line."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            yield line.removesuffix("\r")


def parse_events(lines: Iterable[str]) -> Iterator[ServerEvent | None]:
    """Events of a stream of lines; None for a comment, which says that the stream is alive.

    An event that is cut off before its empty line is dropped.
    """
    last_id, name, data = "", "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(last_id, name or "message", "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        if not field:
            yield None
            continue
        value = value.removeprefix(" ")
        match field:
            case "id" if "\0" not in value:
                last_id = value
            case "event":
                name = value
            case "data":
                data.append(value)
            # retry, or something newer: not for us
