"""YAML as JSON values, with the line that each of them is on.

YAML 1.2: `yes`, `no` and `on` are strings. Times and dates are strings too, as they would be in JSON.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from shared.errors import Permanent

Path = tuple[str | int, ...]
# Aliases of aliases grow without end; no suite comes near this.
MAX_NODES = 1_000_000
_TAG = "tag:yaml.org,2002:"
_TEXTS = frozenset(_TAG + name for name in ("str", "timestamp", "value"))


class YamlFault(Permanent):
    """Text that is no YAML, or YAML that is no JSON."""

    def __init__(self, line: int, field: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.field = field


@dataclass
class YamlDocument:
    """One document of a file: its value and the line (from 1) of each path into it."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int:
        """The line of what a path names; of what encloses it where there is no such thing."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return self.lines[()]


def read_yaml(text: str) -> Iterator[YamlDocument]:
    """Every document of a text that is not empty.

    Raises:
        YamlFault: the text is not YAML, or holds what JSON cannot (tags, keys that are no strings, a key twice).
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        for node in yaml.compose_all(text):
            reader = _Reader(yaml)
            value = reader.value(node, ())
            if value is not None:
                yield YamlDocument(value, reader.lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" ({error.context})" if error.context else ""
        raise YamlFault(mark.line + 1 if mark else 1, "", f"not YAML: {error.problem}{where}") from error
    except YAMLError as error:
        raise YamlFault(_line_at(text, error), "", f"not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise YamlFault(1, "", "not YAML that can be used: it is nested too deeply") from error


class _Reader:
    """Turns the nodes of one document into values; notes where each was."""

    def __init__(self, yaml: YAML) -> None:
        self._scalars = yaml.constructor
        self.lines: dict[Path, int] = {}
        self._count = 0

    def value(self, node: Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_NODES:
            raise _fault(node, path, f"more than {MAX_NODES} values, counting what aliases repeat")
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise _fault(node, path, f"the tag {_short(node.tag)} has no meaning here")

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if key.tag == f"{_TAG}merge":
                for name, value in self._merge(item, path).items():
                    merged.setdefault(name, value)
                continue
            name = self._key(key, path)
            if name in found:
                raise _fault(key, (*path, name), f"the key {name!r} is there twice")
            self.lines[(*path, name)] = key.start_mark.line + 1
            found[name] = self.value(item, (*path, name))
        return {**merged, **found}

    def _merge(self, node: Node, path: Path) -> dict[str, Any]:
        """`<<: *base` or `<<: [*one, *two]`: what is there already counts more."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, MappingNode):
                raise _fault(source, path, "<< takes a mapping, or a list of mappings")
            for name, value in self._mapping(source, path).items():
                merged.setdefault(name, value)
        return merged

    def _key(self, key: Node, path: Path) -> str:
        if isinstance(key, ScalarNode) and key.tag in _TEXTS:
            return str(key.value)
        if isinstance(key, ScalarNode):
            raise _fault(key, path, f'the key {key.value} is not a string; write it in quotes: "{key.value}"')
        raise _fault(key, path, "a key must be a string")

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if node.tag in _TEXTS:
            return str(node.value)
        try:
            match _short(node.tag).removeprefix("!!"):
                case "null":
                    return None
                case "bool":
                    return self._scalars.construct_yaml_bool(node)
                case "int":
                    return self._scalars.construct_yaml_int(node)
                case "float":
                    number: float = self._scalars.construct_yaml_float(node)
                    if math.isfinite(number):
                        return number
                    raise _fault(node, path, f"{node.value} is not a number in JSON")
        except (ValueError, KeyError) as error:
            raise _fault(node, path, f"{node.value!r} is not of the type {_short(node.tag)}") from error
        raise _fault(node, path, f"the tag {_short(node.tag)} has no meaning here")


def _fault(node: Node, path: Path, message: str) -> YamlFault:
    return YamlFault(node.start_mark.line + 1, ".".join(map(str, path)), message)


def _short(tag: str | None) -> str:
    tag = tag or ""
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag


def _line_at(text: str, error: YAMLError) -> int:
    """Errors of characters know a position only."""
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position if isinstance(position, int) else 0) + 1
