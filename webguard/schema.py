"""The JSON Schema of a suite file, with the params of each skill: what editors complete and check."""

from collections.abc import Iterable
from typing import Any

from shared.skill.discovery import Skill
from shared.suites import SuiteDefinition

_TEMPLATE = {"type": "string", "pattern": r"\$\{"}


def suite_schema(skills: Iterable[Skill]) -> dict[str, Any]:
    """A schema of its own: every reference is inside it."""
    schema = SuiteDefinition.model_json_schema(by_alias=True, mode="validation")
    case = schema["$defs"]["CaseDefinition"]
    rules = []
    for skill in sorted(skills, key=lambda skill: skill.name):
        key = f"params:{skill.name}"
        params = _with_templates(_moved(skill.schema, key))
        schema["$defs"].update({f"{key}:{name}": part for name, part in params.pop("$defs", {}).items()})
        schema["$defs"][key] = params
        named = {"properties": {"skill": {"const": skill.name}}, "required": ["skill"]}
        rules.append({"if": named, "then": {"properties": {"params": {"$ref": f"#/$defs/{key}"}}}})
        case["properties"]["skill"].setdefault("examples", []).append(skill.name)
    if rules:
        case["allOf"] = rules
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "WebGuard suite"}


def _moved(value: Any, key: str) -> Any:
    """The same schema with its references pointing at where its definitions will be."""
    if isinstance(value, dict):
        return {
            name: f"#/$defs/{key}:{item.removeprefix('#/$defs/')}"
            if name == "$ref" and isinstance(item, str) and item.startswith("#/$defs/")
            else _moved(item, key)
            for name, item in value.items()
        }
    return [_moved(item, key) for item in value] if isinstance(value, list) else value


def _with_templates(value: Any) -> Any:
    """The same schema where anything may be a text with `${…}` in it, as in a suite file."""
    if not isinstance(value, dict):
        return value
    loose = dict(value)
    for holder in ("properties", "$defs", "patternProperties"):
        if isinstance(loose.get(holder), dict):
            loose[holder] = {name: _or_template(item, top=holder == "$defs") for name, item in loose[holder].items()}
    for holder in ("items", "additionalProperties"):
        if isinstance(loose.get(holder), dict):
            loose[holder] = _or_template(loose[holder])
    for holder in ("anyOf", "oneOf", "allOf"):
        if isinstance(loose.get(holder), list):
            loose[holder] = [_with_templates(item) for item in loose[holder]]
    return loose


def _or_template(schema: Any, *, top: bool = False) -> Any:
    """`top`: a definition, which what refers to it makes loose."""
    loose = _with_templates(schema)
    if top or not isinstance(loose, dict) or loose == {}:
        return loose
    about = {key: loose[key] for key in ("title", "description", "default") if key in loose}
    return {**about, "anyOf": [loose, _TEMPLATE]}
