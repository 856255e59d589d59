"""What a step may say. Each action is a model; a step is a mapping with exactly one of their names."""

import re
from base64 import b64decode
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from browser_flow.locators import WAYS, Locator, Strict, Target, no_nulls


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,79}$")]


class Plain(Strict):
    """An action without a locator; `shorthand` is the field that a bare string fills."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=no_nulls)


class Short(Plain):
    """An action that may be written as one string."""

    @classmethod
    def shorthand(cls) -> str:
        return next(iter(cls.model_fields))

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {cls.shorthand(): value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(core))
        field = dict(whole["properties"][cls.shorthand()])
        field.pop("title", None)
        mapping = dict(whole)
        whole.clear()
        whole.update({"title": mapping.pop("title", cls.__name__), "anyOf": [field, mapping]})
        return whole


class Match(Short):
    """What a URL or a title must be; a bare string must be contained."""

    contains: str | None = None
    equals: str | None = Field(None, description="for a URL: whole, or a path from base_url")
    matches: Pattern | None = Field(None, description="regular expression, found anywhere")

    @model_validator(mode="after")
    def _one(self) -> "Match":
        if len([v for v in (self.contains, self.equals, self.matches) if v is not None]) != 1:
            raise ValueError("say exactly one of contains, equals, matches")
        return self

    def __str__(self) -> str:
        if self.equals is not None:
            return f"to be '{self.equals}'"
        return f"to contain '{self.contains}'" if self.contains is not None else f"to match /{self.matches}/"


class Goto(Short):
    """Open a page. An answer of 400 or more fails the case unless `status` expects it."""

    url: str = Field(min_length=1, description="whole URL, or a path from base_url")
    wait_until: Literal["load", "domcontentloaded", "networkidle", "commit"] = "load"
    status: int | None = Field(None, ge=100, le=599, description="status expected; default: any below 400")


class Click(Locator):
    """Click an element."""

    button: Literal["left", "right", "middle"] = "left"
    count: int = Field(1, ge=1, le=3, description="2 is a double click")
    modifiers: list[Literal["Alt", "Control", "ControlOrMeta", "Meta", "Shift"]] = Field(default_factory=list)


class Fill(Locator):
    """Put a text into a field, in place of what is there."""

    value: str | int | float = Field(description="text to put there; a secret is masked in all that is kept")


class Select(Locator):
    """Choose an option of a drop-down: exactly one of value, option_label, index."""

    value: str | None = Field(None, description="value of the option")
    option_label: str | None = Field(None, description="text of the option")
    index: int | None = Field(None, ge=0, description="place of the option, from 0")

    @model_validator(mode="after")
    def _one(self) -> "Select":
        if len([v for v in (self.value, self.option_label, self.index) if v is not None]) != 1:
            raise ValueError("say exactly one of value, option_label, index")
        return self


class Press(Target):
    """Press a key, on an element or on what has the focus."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=no_nulls)

    key: str = Field(min_length=1, description="e.g. Enter, Escape, ArrowDown, Control+A")

    @model_validator(mode="after")
    def _at_most_one_way(self) -> "Press":
        if len(self.ways()) > 1:
            raise ValueError(f"say at most one of {', '.join(WAYS)}")
        return self


class File(Strict):
    """A file to upload, written out here: `text`, or `base64` for bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=no_nulls)

    name: str = Field(min_length=1, max_length=255)
    text: str | None = None
    base64: str | None = None
    content_type: str = "application/octet-stream"

    @model_validator(mode="after")
    def _one(self) -> "File":
        if (self.text is None) == (self.base64 is None):
            raise ValueError("say exactly one of text, base64")
        try:
            self.content()
        except ValueError as error:
            raise ValueError(f"base64: {error}") from error
        return self

    def content(self) -> bytes:
        return self.text.encode() if self.text is not None else b64decode(self.base64 or "", validate=True)


class Upload(Locator):
    """Give files to a file field."""

    files: list[File] = Field(min_length=1, max_length=20)


class Wait(Plain):
    """Wait for exactly one of: an element, a URL, a load state, some milliseconds."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra=lambda schema: (
            no_nulls(schema),
            schema.update(oneOf=[{"required": [key]} for key in ("for", "url", "load_state", "ms")]),
        )[0],
    )

    for_: Locator | None = Field(None, alias="for", description="element")
    state: Literal["visible", "hidden", "attached", "detached"] = Field("visible", description="of the element")
    url: Match | None = None
    load_state: Literal["load", "domcontentloaded", "networkidle"] | None = None
    ms: int | None = Field(None, ge=0, le=30_000, description="milliseconds; the last resort")
    timeout_seconds: float | None = Field(None, gt=0, le=600, description="default: that of the case's actions")

    @model_validator(mode="after")
    def _one(self) -> "Wait":
        if len([v for v in (self.for_, self.url, self.load_state, self.ms) if v is not None]) != 1:
            raise ValueError("say exactly one of for, url, load_state, ms")
        return self


class AttributeIs(Strict):
    """An attribute and its whole value."""

    name: str = Field(min_length=1)
    value: str


class Expect(Target):
    """What must be true within `timeout_seconds`; all that is said must hold.

    `text` alone: it is visible somewhere. `text` beside another locator: that element contains it.
    A locator alone: the element is visible.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=no_nulls)

    visible: bool | None = Field(None, description="false: not there, or not to be seen")
    hidden: bool | None = Field(None, description="the opposite of visible")
    text_equals: str | None = Field(None, description="the element's whole text, blanks run together")
    text_matches: Pattern | None = Field(None, description="regular expression, found anywhere in the element's text")
    value: str | int | float | None = Field(None, description="value of the form field")
    count: int | None = Field(None, ge=0, description="how many elements match")
    enabled: bool | None = None
    checked: bool | None = None
    attribute: AttributeIs | None = None
    url: Match | None = Field(None, description="of the page")
    title: Match | None = Field(None, description="of the page")
    timeout_seconds: float | None = Field(None, gt=0, le=600, description="default: expect_timeout_seconds")

    def way(self) -> str | None:
        """The way the element is found; None: this is about the page alone."""
        ways = self.ways()
        others = [way for way in ways if way != "text"]
        return others[0] if others else ways[0] if ways else None

    @property
    def contained(self) -> str | None:
        """The text the element must contain: `text`, where it is not the locator."""
        return self.text if self.way() != "text" else None

    @model_validator(mode="after")
    def _makes_sense(self) -> "Expect":
        if len([way for way in self.ways() if way != "text"]) > 1:
            raise ValueError(f"say one locator: one of {', '.join(WAYS)}")
        of_element = [name for name in OF_ELEMENT if getattr(self, name) is not None]
        if self.way() is None and of_element:
            raise ValueError(f"{', '.join(of_element)}: of which element? add a locator, one of {', '.join(WAYS)}")
        if self.way() is None and self.url is None and self.title is None:
            raise ValueError(f"nothing is expected: add a locator ({', '.join(WAYS)}), url or title")
        if self.visible is not None and self.hidden is not None:
            raise ValueError("visible and hidden say the same: use one")
        return self


OF_ELEMENT = (
    "visible", "hidden", "text_equals", "text_matches", "value", "count", "enabled", "checked", "attribute",
)  # fmt: skip


class Screenshot(Short):
    """Keep a picture of the page."""

    name: Name = "screenshot"
    full_page: bool = False


class Extract(Locator):
    """Keep something of an element: `save: {order: extracted.order}`. One of attribute, value; else its text."""

    # `name` is the accessible name of a locator, so the value has another word
    save_as: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="its name under `extracted`")
    attribute: str | None = Field(None, description="this attribute")
    value: bool = Field(False, description="the value of a form field")
    pattern: Pattern | None = Field(None, description="only what this finds: its first group, else all it matched")

    @model_validator(mode="after")
    def _one(self) -> "Extract":
        if self.value and self.attribute is not None:
            raise ValueError("say at most one of attribute, value")
        return self


class Check(Locator):
    """Tick a box, or choose a radio button."""


class Uncheck(Locator):
    """Take the tick out of a box."""


class Hover(Locator):
    """Move the mouse over an element."""


def _one_action(schema: dict[str, Any]) -> None:
    no_nulls(schema)
    schema.update(minProperties=1, maxProperties=1)


class Step(Strict):
    """One action."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_one_action)

    goto: Goto | None = Field(None, description="open a page")
    click: Click | None = Field(None, description="click an element")
    fill: Fill | None = Field(None, description="put a text into a field")
    select: Select | None = Field(None, description="choose an option of a drop-down")
    press: Press | None = Field(None, description="press a key")
    check: Check | None = Field(None, description="tick a box")
    uncheck: Uncheck | None = Field(None, description="take the tick out of a box")
    hover: Hover | None = Field(None, description="move the mouse over an element")
    upload: Upload | None = Field(None, description="give files to a file field")
    wait: Wait | None = Field(None, description="wait for an element, a URL, a load state, some milliseconds")
    expect: Expect | None = Field(None, description="what must be true of the page or of an element")
    screenshot: Screenshot | None = Field(None, description="keep a picture")
    extract: Extract | None = Field(None, description="keep a text, a value or an attribute for other cases")

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        known = set(cls.model_fields)
        unknown = [key for key in value if key not in known]
        if unknown:
            raise ValueError(f"unknown action {', '.join(map(repr, unknown))}; known: {', '.join(cls.model_fields)}")
        if len(value) != 1:
            raise ValueError(f"a step has exactly one action, got {' and '.join(value) or 'none'}")
        name, body = next(iter(value.items()))
        if body is None:
            raise ValueError(f"{name} is empty: say what, or {name}: {{}} where there is nothing to say")
        return value

    @property
    def action(self) -> Any:
        """The one action that this step is."""
        return next(action for name in self.model_fields_set if (action := getattr(self, name)) is not None)
