"""What the params of browser-flow accept, and what they say of what they do not."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from shared.skill.discovery import Skill, load
from shared.skill.runner import Outcome
from shared.suites.params import check_params

Go = Callable[..., Awaitable[Outcome]]
LOADED = load(Path(__file__).parent)


@pytest.mark.parametrize(
    ("step", "field", "text"),
    [
        ({"clik": {"css": "a"}}, "steps.1", "clik"),
        ({"click": {"css": "a"}, "hover": {"css": "a"}}, "steps.1", ""),
        ({}, "steps.1", ""),
        ({"click": {"role": "buton"}}, "steps.1.click.role", "did you mean button?"),
        ({"goto": {"url": "/", "until": "load"}}, "steps.1.goto", "known: status, url, wait_until"),
        ({"click": "Buy"}, "steps.1.click", "object"),
        ({"click": {}}, "steps.1.click", "role, label, text, placeholder, test_id, css"),
        ({"click": {"css": "a", "text": "b"}}, "steps.1.click", "role, label, text, placeholder, test_id, css"),
        ({"click": {"css": "a", "colour": 1}}, "steps.1.click", "colour"),
        ({"fill": {"css": "a"}}, "steps.1.fill", ""),
        ({"wait": {"ms": 30_001}}, "steps.1.wait.ms", "30000"),
        ({"wait": {}}, "steps.1.wait", "load_state"),
        ({"select": {"css": "a", "index": -1}}, "steps.1.select.index", ""),
    ],
)
def test_a_wrong_step_is_refused_by_name_when_saved_and_when_run(
    skill: Skill, step: dict[str, Any], field: str, text: str
) -> None:
    params = {"steps": [{"goto": "/"}, step]}
    faults = [(".".join(map(str, path)), message) for path, message in check_params(skill.schema, params)]
    assert [path for path, _ in faults] == [field]
    assert text in faults[0][1]
    with pytest.raises(ValidationError) as caught:
        skill.params.model_validate(params)
    found = caught.value.errors()
    assert any(".".join(map(str, error["loc"])).startswith(field) for error in found)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"expect": {}}, "nothing is expected"),
        ({"expect": {"value": "x"}}, "of which element?"),
        ({"expect": {"css": "a", "visible": True, "hidden": True}}, "use one"),
        ({"click": {"css": "a", "name": "b"}}, "name goes with role"),
        ({"upload": {"css": "a", "files": [{"name": "x", "base64": "%"}]}}, "base64"),
        ({"expect": {"css": "a", "text_matches": "("}}, "not a regular expression"),
        ({"select": {"css": "a"}}, "exactly one of value, option_label, index"),
        ({"goto": None}, "goto is empty"),
    ],
)
async def test_a_step_that_makes_no_sense_is_an_error_of_the_definition(
    go: Go, step: dict[str, Any], message: str
) -> None:
    outcome = await go({"goto": "/shop"}, step)
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert str(outcome.error_message).startswith("params.steps.1")
    assert message in str(outcome.error_message)
    assert outcome.steps == []


async def test_a_selector_zone_or_path_that_is_none_is_an_error_of_the_definition(go: Go) -> None:
    for step in ({"click": {"css": "!!["}}, {"expect": {"css": "!!["}}):
        outcome = await go({"goto": "/shop"}, step, action_timeout_seconds=1, expect_timeout_seconds=1)
        assert (outcome.status, outcome.error_type) == ("error", "definition"), outcome.error_message
        assert 'while parsing css selector "!!["' in str(outcome.error_message)
    outcome = await go({"goto": "/shop"}, timezone="Mars/Olympus")
    assert (
        outcome.error_message == "params.timezone: Value error, there is no time zone 'Mars/Olympus'; e.g. Asia/Taipei"
    )
    outcome = await go({"goto": "/shop"}, base_url=None)
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "add base_url" in str(outcome.error_message)


# No nulls, digits in strings or 0 and 1: pydantic takes them for a key left out, a number, a boolean; the schema
# refuses them when the suite is saved.
MORE: dict[str, list[Any]] = {
    "name": ["a"], "nth": [2, -1], "exact": [True], "within": [{"css": "a"}, {}], "frame": ["a"], "css": ["a"],
    "text": ["a"], "role": ["button", "b"], "has_text": ["a"], "value": ["a", 7], "title": [{"matches": "("}],
    "url": ["a", {"equals": "a"}, {"equals": "a", "matches": "a"}], "count": [2, -2], "visible": [False],
    "hidden": [True], "status": [404, 99], "ms": [5, 50_000], "timeout_seconds": [2.5], "state": ["hidden", "x"],
    "full_page": [True], "pattern": ["a", "("], "button": ["right", "x"], "key": ["a"], "unknown": [1],
    "attribute": ["a", {"name": "a", "value": "b"}],
}  # fmt: skip
PAIRS = [(key, value) for key, values in MORE.items() for value in values]


ACTIONS: dict[str, dict[str, Any]] = {
    "goto": {"url": "/"},
    "click": {"css": "a"},
    "fill": {"role": "textbox", "value": "x"},
    "press": {"key": "Enter"},
    "wait": {"for": {"text": "x"}},
    "expect": {"css": "a"},
    "screenshot": {},
    "extract": {"label": "x", "save_as": "x"},
    "nope": {},
}


@settings(max_examples=300, deadline=None)
@given(
    action=st.sampled_from(sorted(ACTIONS)),
    more=st.lists(st.sampled_from(PAIRS), max_size=3).map(dict),
    short=st.sampled_from([None, None, None, "a", "/a b", "", 5]),
)
def test_a_step_that_runs_is_never_refused_by_the_schema(action: str, more: dict[str, Any], short: Any) -> None:
    step = {action: {**ACTIONS[action], **more} if short is None else short}
    params = {"steps": [step]}
    try:
        LOADED.params.model_validate(params)
    except ValidationError:
        event("refused")
        return
    event(f"accepted {action}")
    assert list(Draft202012Validator(LOADED.schema).iter_errors(params)) == []
