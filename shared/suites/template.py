"""`${name}` in params: which names a value needs, and the value with them filled in.

One pass: what a variable holds is never read as a template again, so a value saved from a tested
page cannot ask for a secret.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.errors import Permanent

# $${ is a literal ${.
_PLACE = re.compile(r"\$(\$)?\{\s*([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\s*\}")


class TemplateError(Permanent):
    """A name that nobody gave a value."""


def names(value: Any) -> Iterator[str]:
    """Every name that a JSON value refers to, e.g. `base_url`, `secrets.TOKEN`; with repeats."""
    if isinstance(value, str):
        if "${" in value:
            for match in _PLACE.finditer(value):
                if not match[1]:
                    yield match[2]
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from names(key)
            yield from names(item)
    elif isinstance(value, list):
        for item in value:
            yield from names(item)


def render(value: Any, look_up: Callable[[str], Any]) -> Any:
    """The value with every place filled in; a string that is one place alone takes the value's own type.

    Args:
        value: JSON.
        look_up: name → value; raises KeyError for a name it does not know.

    Raises:
        TemplateError: an unknown name; the text names it.
    """
    if isinstance(value, str):
        if "${" not in value:
            return value
        whole = _PLACE.fullmatch(value)
        if whole and not whole[1]:
            return _get(whole[2], look_up)
        return _PLACE.sub(lambda m: "${" + m[2] + "}" if m[1] else _text(_get(m[2], look_up)), value)
    if isinstance(value, dict):
        return {render(key, look_up): render(item, look_up) for key, item in value.items()}
    if isinstance(value, list):
        return [render(item, look_up) for item in value]
    return value


def _get(name: str, look_up: Callable[[str], Any]) -> Any:
    try:
        return look_up(name)
    except KeyError as error:
        raise TemplateError(f"${{{name}}} has no value here") from error


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
