"""What others sent, before it is stored: values that JSON would lose or that cannot be written at all."""

import math
from collections.abc import Iterator
from typing import Any

# A few aliases of aliases make more than a machine can hold.
MAX_NODES = 200_000


def check(value: Any) -> None:
    """
    Raises:
        ValueError: the value holds too much, a number that JSON has no word for, or half a character.
    """
    count = 0
    for item in _nodes(value):
        count += 1
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} is no number of JSON")
        if isinstance(item, str) and not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"half a character (a lone surrogate) at position {error.start} of a text") from error
    if count > MAX_NODES:
        raise ValueError(f"more than {MAX_NODES:,} values, counted with aliases")


def _nodes(value: Any) -> Iterator[Any]:
    """Every key and value, few more than MAX_NODES at most: an alias may hold itself."""
    waiting, seen = [value], 0
    while waiting and seen <= MAX_NODES:
        item = waiting.pop()
        seen += 1
        yield item
        if isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
