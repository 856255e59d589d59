"""What the params of browser-flow accept, and what they say of what they do not."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
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
        ({"click": {"role": "buton"}}, "steps.1.click.role", "button"),
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


async def test_a_selector_that_is_none_and_a_path_without_base_url_are_errors_of_the_definition(go: Go) -> None:
    for step in ({"click": {"css": "!!["}}, {"expect": {"css": "!!["}}):
        outcome = await go({"goto": "/shop"}, step, action_timeout_seconds=1, expect_timeout_seconds=1)
        assert (outcome.status, outcome.error_type) == ("error", "definition"), outcome.error_message
        assert 'while parsing css selector "!!["' in str(outcome.error_message)
    outcome = await go({"goto": "/shop"}, base_url=None)
    assert (outcome.status, outcome.error_type) == ("error", "definition")
    assert "add base_url" in str(outcome.error_message)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 40_000), st.text(max_size=8), st.just("button"))
LOCATORS = ["role", "name", "text", "css", "label", "nth"]
KEYS = st.sampled_from([*LOCATORS, "value", "url", "key", "ms", "for", "count", "save_as", "x", "status"])
PARTS = st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=2))
BODIES = st.one_of(VALUES, st.dictionaries(KEYS, PARTS, max_size=4))
ACTIONS = st.sampled_from(["goto", "click", "fill", "press", "wait", "expect", "screenshot", "extract", "nope"])


@settings(max_examples=300, deadline=None)
@given(step=st.dictionaries(ACTIONS, BODIES, max_size=2))
def test_a_step_that_runs_is_never_refused_by_the_schema(step: dict[str, Any]) -> None:
    skill = LOADED
    try:
        skill.params.model_validate({"steps": [step]})
    except ValidationError:
        return
    faults = list(Draft202012Validator(skill.schema).iter_errors({"steps": [step]}))
    # pydantic takes a null for a key left out, and numbers for booleans; suites written so are told at once
    assert all(_lax(fault) for fault in faults), faults


def _lax(fault: Any) -> bool:
    inner = fault.context or [fault]
    return any(isinstance(error.instance, bool | int | str) or error.instance is None for error in inner)
