"""How a step names an element of the page, and how it says so to people."""

from collections.abc import Callable
from typing import Any, Literal

from playwright.async_api import FrameLocator, Page
from playwright.async_api import Locator as Found
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypeAliasType

from shared.skill import DefinitionError

# An alias of its own is one definition in the JSON Schema, not one for each action.
Role = TypeAliasType("Role", Literal[
    "alert", "alertdialog", "application", "article", "banner", "blockquote", "button", "caption", "cell",
    "checkbox", "code", "columnheader", "combobox", "complementary", "contentinfo", "definition", "deletion",
    "dialog", "directory", "document", "emphasis", "feed", "figure", "form", "generic", "grid", "gridcell", "group",
    "heading", "img", "insertion", "link", "list", "listbox", "listitem", "log", "main", "marquee", "math", "menu",
    "menubar", "menuitem", "menuitemcheckbox", "menuitemradio", "meter", "navigation", "none", "note", "option",
    "paragraph", "presentation", "progressbar", "radio", "radiogroup", "region", "row", "rowgroup", "rowheader",
    "scrollbar", "search", "searchbox", "separator", "slider", "spinbutton", "status", "strong", "subscript",
    "superscript", "switch", "tab", "table", "tablist", "tabpanel", "term", "textbox", "time", "timer", "toolbar",
    "tooltip", "tree", "treegrid", "treeitem",
])  # fmt: skip

WAYS = ("role", "label", "text", "placeholder", "test_id", "css")
# Where the names of elements of the same sort are read, for "there are: …" when none was found.
_SIBLINGS = {
    "label": "label",
    "placeholder": "[placeholder]",
    "test_id": "[data-testid]",
}
_READ_NAMES = """(found, attribute) => found.slice(0, 12).map(e => (attribute && e.getAttribute(attribute))
  || e.getAttribute('aria-label') || e.innerText || e.value || e.title || '').map(t => t.trim()).filter(t => t)"""


class Strict(BaseModel):
    """A part of the params: a key that nobody knows is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Target(Strict):
    """Where an element is; the ways to say it are in WAYS."""

    role: Role | None = Field(None, description="ARIA role, e.g. button, link, textbox, heading")
    name: str | None = Field(None, description="accessible name that goes with the role; a part of it is enough")
    label: str | None = Field(None, description="text of the label of a form field")
    text: str | None = Field(None, description="text on the page; a part of it is enough")
    placeholder: str | None = Field(None, description="placeholder of a form field")
    test_id: str | None = Field(None, description="value of data-testid")
    css: str | None = Field(None, description="CSS selector")
    exact: bool = Field(False, description="name, label, text or placeholder must be the whole text, in its case")
    has_text: str | None = Field(None, description="only elements that contain this text")
    nth: int | None = Field(None, description="which of several: 0 is the first, -1 the last")
    within: "Locator | None" = Field(None, description="only inside this element")
    frame: str | None = Field(None, description="CSS selector of the iframe in which it is")

    def ways(self) -> list[str]:
        return [way for way in WAYS if getattr(self, way) is not None]

    @model_validator(mode="after")
    def _name_needs_role(self) -> "Target":
        if self.name is not None and self.role is None:
            raise ValueError("name goes with role, e.g. {role: button, name: Buy}")
        return self


def one_way(schema: dict[str, Any]) -> None:
    """JSON Schema of a Target: exactly one of the ways."""
    schema["oneOf"] = [{"required": [way]} for way in WAYS]
    no_nulls(schema)


def no_nulls(schema: dict[str, Any]) -> None:
    """A key left out is the only way to say nothing, so that forms have no empty alternatives."""
    for field in schema.get("properties", {}).values():
        options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
        if len(options) < len(field.get("anyOf", ())):
            if len(options) == 1:
                del field["anyOf"]
                for key, value in options[0].items():
                    field.setdefault(key, value)
            else:
                field["anyOf"] = options
            field.pop("default", None)


class Locator(Target):
    """One element: exactly one of role, label, text, placeholder, test_id, css."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=one_way)

    @model_validator(mode="after")
    def _exactly_one_way(self) -> "Locator":
        ways = self.ways()
        if len(ways) != 1:
            got = f"got {' and '.join(ways)}" if ways else "got none"
            raise ValueError(f"say exactly one of {', '.join(WAYS)}: {got}")
        return self


def find(page: Page, target: Target, way: str) -> Found:
    """The Playwright locator of a target, found by one of its ways."""
    root: Page | Found | FrameLocator = page
    if target.within is not None:
        root = find(page, target.within, target.within.ways()[0])
    if target.frame is not None:
        root = root.frame_locator(target.frame)
    found: Found
    if way == "role" and target.role is not None:
        # Playwright takes `exact` only together with a name
        found = root.get_by_role(target.role, name=target.name, exact=target.exact if target.name else None)
    elif way == "label" and target.label is not None:
        found = root.get_by_label(target.label, exact=target.exact)
    elif way == "text" and target.text is not None:
        found = root.get_by_text(target.text, exact=target.exact)
    elif way == "placeholder" and target.placeholder is not None:
        found = root.get_by_placeholder(target.placeholder, exact=target.exact)
    elif way == "test_id" and target.test_id is not None:
        found = root.get_by_test_id(target.test_id)
    elif way == "css" and target.css is not None:
        found = root.locator(target.css)
    else:
        raise DefinitionError(f"a locator without {way}")
    if target.has_text is not None:
        found = found.filter(has_text=target.has_text)
    return found if target.nth is None else found.nth(target.nth)


def describe(target: Target, mask: Callable[[str], str], way: str | None = None) -> str:
    """The target for people: `button 'Buy' in dialog`."""
    way = way or target.ways()[0]
    value = getattr(target, way)
    if way == "role":
        text = str(value) + (f" {quoted(target.name, mask)}" if target.name else "")
    else:
        text = f"{way.replace('_', ' ')} {quoted(value, mask)}"
    if target.has_text is not None:
        text += f" with text {quoted(target.has_text, mask)}"
    if target.nth is not None:
        text += f" (nth {target.nth})"
    if target.within is not None:
        text += f" in {describe(target.within, mask)}"
    return text if target.frame is None else f"{text} in frame {quoted(target.frame, mask)}"


def quoted(value: object, mask: Callable[[str], str], most: int = 120) -> str:
    """A value for a message: masked before it is cut, so that no part of a secret is left over."""
    text = " ".join(mask(str(value)).split())
    return f"'{text if len(text) <= most else text[:most] + '…'}'"


async def similar(page: Page, target: Target, way: str, mask: Callable[[str], str]) -> str:
    """What there is of the same sort, e.g. `; there are button 'Add', 'Cart'`; nothing where that says little."""
    if way == "role" and target.role is not None:
        elements, sort, attribute = page.get_by_role(target.role), str(target.role), ""
    elif way in _SIBLINGS:
        elements, sort = page.locator(_SIBLINGS[way]), way.replace("_", " ")
        attribute = {"test_id": "data-testid", "placeholder": "placeholder"}.get(way, "")
    else:
        return ""
    names: list[str] = await elements.evaluate_all(_READ_NAMES, attribute)
    listed = ", ".join(quoted(name, mask, 40) for name in dict.fromkeys(names))
    return f"; the page has {sort} {listed}" if listed else f"; the page has no {sort}"
