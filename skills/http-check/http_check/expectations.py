"""What an answer must be, and in which words it is not."""

import json as jsonlib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

SHOWN = 200


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


def _path(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"{text!r} is not a JMESPath: {error}") from error
    return text


def _schema(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from error
    return schema


Pattern = Annotated[str, AfterValidator(_pattern)]
Path = Annotated[str, AfterValidator(_path)]
Type = Literal["string", "number", "boolean", "array", "object", "null"]
StatusClass = Annotated[str, Field(pattern=r"^[1-5]xx$")]


class HeaderCheck(Strict):
    """A header of the answer; its name in any case."""

    name: str
    equals: str | None = None
    contains: str | None = None
    matches: Pattern | None = None
    absent: bool = False


class JsonCheck(Strict):
    """A value in a JSON answer, at a JMESPath."""

    path: Path = Field(examples=["items[0].price"])
    equals: JsonValue = None
    not_equals: JsonValue = None
    exists: bool | None = None
    matches: Pattern | None = None
    contains: JsonValue = None
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    length: int | None = Field(None, ge=0)
    type: Type | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "JsonCheck":
        if not self.model_fields_set - {"path"}:
            raise ValueError("say what the value must be: equals, exists, matches, contains, gt, lt, length, type, …")
        return self


class TextChecks(Strict):
    """The body as text."""

    contains: list[str] | str = Field(default_factory=list)
    not_contains: list[str] | str = Field(default_factory=list)
    matches: Pattern | None = None


class Expect(Strict):
    """What the answer must be. All that does not hold is reported."""

    status: int | StatusClass | list[int] | None = Field(None, description="without it: below 400", examples=[200])
    headers: list[HeaderCheck] = Field(default_factory=list)
    json_checks: list[JsonCheck] = Field(default_factory=list, alias="json")
    json_schema: Annotated[dict[str, JsonValue], AfterValidator(_schema)] | None = None
    text: TextChecks = TextChecks()
    latency_ms: float | None = Field(None, gt=0, description="longest time for the whole exchange")


def judge(
    expect: Expect, status: int, headers: Mapping[str, str], text: str, parsed: Any, total_ms: float
) -> Iterator[str]:
    """A sentence for each expectation that does not hold."""
    yield from _status(expect.status, status, text)
    for header in expect.headers:
        yield from _header(header, headers)
    if expect.json_checks or expect.json_schema is not None:
        if parsed is None and text.strip() != "null":
            yield f"expected a JSON answer, got {_show(text) if text else 'an empty one'}"
        else:
            for check in expect.json_checks:
                yield from _json(check, parsed)
            if expect.json_schema is not None:
                for error in Draft202012Validator(expect.json_schema).iter_errors(parsed):
                    yield f"expected JSON at {error.json_path} to fit the schema: {_show(error.message)}"
    for part in _listed(expect.text.contains):
        if part not in text:
            yield f"expected the text to contain {part!r}; it begins {_show(text)}"
    for part in _listed(expect.text.not_contains):
        if part in text:
            yield f"expected the text not to contain {part!r}"
    if expect.text.matches and not re.search(expect.text.matches, text):
        yield f"expected the text to match {expect.text.matches!r}; it begins {_show(text)}"
    if expect.latency_ms is not None and total_ms > expect.latency_ms:
        yield f"expected an answer within {expect.latency_ms:g} ms, it took {total_ms:.0f} ms"


def _status(expected: int | str | list[int] | None, status: int, text: str) -> Iterator[str]:
    if expected is None:
        ok, wanted = status < 400, "below 400"
    elif isinstance(expected, str):
        ok, wanted = str(status)[0] == expected[0], expected
    elif isinstance(expected, list):
        ok, wanted = status in expected, " or ".join(map(str, expected))
    else:
        ok, wanted = status == expected, str(expected)
    if not ok:
        yield f"expected status {wanted}, got {status}" + (f": {_show(text)}" if text else "")


def _header(check: HeaderCheck, headers: Mapping[str, str]) -> Iterator[str]:
    value = headers.get(check.name)
    if check.absent:
        if value is not None:
            yield f"expected no header {check.name}, got {_show(value)}"
    elif value is None:
        yield f"expected a header {check.name}, there is none"
    elif check.equals is not None and value != check.equals:
        yield f"expected header {check.name} to be {check.equals!r}, got {_show(value)}"
    elif check.contains is not None and check.contains not in value:
        yield f"expected header {check.name} to contain {check.contains!r}, got {_show(value)}"
    elif check.matches is not None and not re.search(check.matches, value):
        yield f"expected header {check.name} to match {check.matches!r}, got {_show(value)}"


def _json(check: JsonCheck, parsed: Any) -> Iterator[str]:
    try:
        value = jmespath.search(check.path, parsed)
    except JMESPathError as error:
        yield f"JSON at {check.path}: {error}"
        return
    asked = check.model_fields_set
    at = f"JSON at {check.path}"
    if "exists" in asked and (value is not None) != check.exists:
        yield f"expected {at} {'to be there' if check.exists else 'not to be there'}, got {_show(value)}"
    if "equals" in asked and value != check.equals:
        yield f"expected {at} to be {_show(check.equals)}, got {_show(value)}"
    if "not_equals" in asked and value == check.not_equals:
        yield f"expected {at} not to be {_show(value)}"
    if check.matches is not None and not (isinstance(value, str) and re.search(check.matches, value)):
        yield f"expected {at} to match {check.matches!r}, got {_show(value)}"
    if "contains" in asked and not _contains(value, check.contains):
        yield f"expected {at} to contain {_show(check.contains)}, got {_show(value)}"
    if check.length is not None and (not hasattr(value, "__len__") or len(value) != check.length):
        got = len(value) if hasattr(value, "__len__") else _show(value)
        yield f"expected {at} to have length {check.length}, got {got}"
    if check.type is not None and _type(value) != check.type:
        yield f"expected {at} to be of type {check.type}, got {_type(value)} {_show(value)}"
    for name, ok in (
        ("gt", lambda v, b: v > b),
        ("gte", lambda v, b: v >= b),
        ("lt", lambda v, b: v < b),
        ("lte", lambda v, b: v <= b),
    ):
        bound = getattr(check, name)
        if bound is not None and (_type(value) != "number" or not ok(value, bound)):
            yield f"expected {at} to be {name} {bound:g}, got {_show(value)}"


def _contains(value: Any, part: Any) -> bool:
    if isinstance(value, str):
        return isinstance(part, str) and part in value
    return isinstance(value, list | dict) and part in value


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    names = ((str, "string"), (int | float, "number"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _listed(value: list[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else value
