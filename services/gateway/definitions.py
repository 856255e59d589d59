"""Definitions as people send them: read, checked, completed, compared. Pure; slow for large suites, so call it in
a thread."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any, cast

import msgspec
from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from services.gateway import values
from services.gateway.problems import FieldError, Refusal, faults_of, refuse_faults
from shared.events import Kind
from shared.suites import SkillInfo, SuiteDefinition, check
from shared.suites.params import check_params

DEFAULT_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class Skill:
    """What the registry knows of a skill."""

    name: str
    kind: Kind
    timeout_seconds: float
    params_schema: Mapping[str, Any]


class Change(BaseModel):
    """One difference between two revisions; a side that has nothing there is null."""

    field: str
    before: Any = None
    after: Any = None


_NO_STRING_IN_1_1 = re.compile(r"(?i:y|n|yes|no|on|off|[-+]?0[0-7_]+|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


class _Constructor(SafeConstructor):
    """YAML 1.2 with times as the strings that they would be in JSON."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


class _Representer(SafeRepresenter):
    """Quotes what readers of YAML 1.1 would take for something else than a string."""

    def represent_text(self, text: str) -> ScalarNode:
        style = "'" if _NO_STRING_IN_1_1.fullmatch(text) else None
        node: ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", text, style=style)
        return node


_Representer.add_representer(str, _Representer.represent_text)


def parse(body: bytes, is_yaml: bool) -> Any:
    """The document in a body.

    Raises:
        Refusal: it is not JSON or not YAML; the text says where.
    """
    try:
        document = _yaml().load(body.decode()) if is_yaml else msgspec.json.decode(body)
        values.check(document)
    except (YAMLError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        what = "YAML" if is_yaml else "JSON"
        raise Refusal(422, f"the body is not {what} that can be stored: {' '.join(str(error).split())}") from error
    return document


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    return yaml


def read(document: Any, skills: Mapping[str, Skill]) -> SuiteDefinition:
    """A definition that can be saved: every case with its kind and its timeout.

    Raises:
        Refusal: with each field that is wrong.
    """
    try:
        suite = SuiteDefinition.model_validate(document)
    except ValidationError as error:
        raise refuse_faults(faults_of(cast(Sequence[Mapping[str, Any]], error.errors()))) from error
    known = {
        name: SkillInfo(name, skill.kind, cast(Callable[..., Any], partial(check_params, skill.params_schema)))
        for name, skill in skills.items()
    }
    faults = check(suite, known)
    if faults:
        raise refuse_faults([FieldError(field=fault.field, message=fault.message) for fault in faults])
    cases = [
        case.model_copy(
            update={
                "kind": skills[case.skill].kind,
                "timeout_seconds": case.timeout_seconds or skills[case.skill].timeout_seconds,
            }
        )
        for case in suite.cases
    ]
    return suite.model_copy(update={"cases": cases})


def to_yaml(definition: Mapping[str, Any]) -> str:
    text = StringIO()
    _yaml().dump(dict(definition), text)
    return text.getvalue()


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """What a save would change. Cases are told apart by their names, so that one moved is not all changed."""
    found = list(_changes(_by_case(before or {}), _by_case(after), ""))
    order = [[case["name"] for case in side.get("cases", ())] for side in (before or {}, after)]
    if before is not None and sorted(order[0]) == sorted(order[1]) and order[0] != order[1]:
        found.append(Change(field="cases", before=order[0], after=order[1]))
    return found


def _by_case(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {**definition, "cases": {case["name"]: case for case in definition.get("cases", ())}}


def _changes(before: Any, after: Any, at: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*after, *(key for key in before if key not in after)]:
            yield from _changes(before.get(key), after.get(key), f"{at}.{key}" if at else str(key))
    elif before != after:
        yield Change(field=at, before=before, after=after)
