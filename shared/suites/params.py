"""Params against a skill's JSON Schema, as far as can be known before the templates have their values."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match


def check_params(schema: Mapping[str, Any], params: Mapping[str, Any]) -> Sequence[tuple[tuple[str | int, ...], str]]:
    """(path, message) of each fault. A string with `${` in it may become anything and is not judged."""
    faults = []
    for error in Draft202012Validator(dict(schema)).iter_errors(dict(params)):
        if _is_template(error.instance):
            continue
        deepest = _deepest(error)
        if deepest is None:
            continue
        faults.append((tuple(deepest.absolute_path), _text(deepest)))
    return faults


def _deepest(error: ValidationError) -> ValidationError | None:
    """The most telling of the alternatives of an anyOf; None where a template makes one of them possible."""
    if _names_of_choice(error):
        return error if isinstance(error.instance, Mapping) else None  # that it is no mapping is a fault of its own
    if not error.context:
        return error
    if any(_is_template(inner.instance) for inner in error.context):
        return None
    fitting = _of_fitting_type(error)
    best: ValidationError = best_match(fitting or [error])
    return _deepest(best) if fitting else best


def _of_fitting_type(error: ValidationError) -> list[ValidationError]:
    """The faults of the one alternative that is of the value's type: `string or object` given an object."""
    alternatives: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        alternatives.setdefault(inner.schema_path[0], []).append(inner)
    fitting = [
        faults
        for faults in alternatives.values()
        if not any(fault.validator == "type" and not fault.relative_path for fault in faults)
    ]
    return fitting[0] if len(fitting) == 1 else []


def _text(error: ValidationError) -> str:
    schema: Any = error.schema
    if error.validator == "additionalProperties":
        allowed = ", ".join(sorted(schema.get("properties", {})))
        return f"{error.message}; known: {allowed}"
    choice = _names_of_choice(error)
    if choice:
        return f"exactly one of {', '.join(choice)} is needed"
    if error.validator in ("minProperties", "maxProperties") and "properties" in schema:
        which = "at least" if error.validator == "minProperties" else "at most"
        return f"{which} {error.validator_value} of these keys: {', '.join(sorted(schema['properties']))}"
    if error.validator == "enum":
        close = get_close_matches(str(error.instance), [str(known) for known in schema["enum"]], n=1)
        known = ", ".join(map(str, schema["enum"])) if len(schema["enum"]) <= 20 else f"{len(schema['enum'])} values"
        return f"{error.instance!r} is not one of {known}" + (f"; did you mean {close[0]}?" if close else "")
    message: str = error.message
    return message if len(message) <= 300 else message[:300] + "…"


def _names_of_choice(error: ValidationError) -> list[str]:
    """The keys of a `oneOf` that only says which key must be there; else nothing."""
    options: Any = error.validator_value
    if error.validator != "oneOf" or not all(set(option) == {"required"} for option in options):
        return []
    return [name for option in options for name in option["required"]]


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "${" in value
