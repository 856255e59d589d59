"""Definitions: completed from the skills, compared case by case, the same after a trip through YAML."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.definitions import Skill, changes, parse, read, to_yaml
from services.gateway.problems import Refusal

SKILLS = {
    "http-check": Skill("http-check", "api", 45, {"type": "object", "required": ["url"]}),
    "browser-flow": Skill("browser-flow", "browser", 90, {"type": "object"}),
}
SUITE: dict[str, Any] = {
    "suite": "checkout",
    "cases": [
        {"name": "a", "skill": "http-check", "params": {"url": "x"}},
        {"name": "b", "skill": "browser-flow", "timeout_seconds": 5},
    ],
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abnoy0123456789:_ é", max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_what_a_case_leaves_out_follows_from_its_skill() -> None:
    cases = read(SUITE, SKILLS).cases
    assert [(case.kind, case.timeout_seconds) for case in cases] == [("api", 45), ("browser", 5)]


def test_every_fault_of_a_definition_is_named_at_once() -> None:
    wrong = {
        **SUITE,
        "cases": [{"name": "a", "skill": "nope"}, {"name": "b", "skill": "http-check", "depends_on": ["c"]}],
    }
    with pytest.raises(Refusal) as refusal:
        read(wrong, SKILLS)
    assert [error.field for error in refusal.value.errors] == [
        "cases.0.skill",
        "cases.1.depends_on.0",
        "cases.1.params",
    ]
    assert "(and 2 more)" in str(refusal.value)


@given(st.dictionaries(st.text("abc", min_size=1), json_values, max_size=4))
def test_a_document_is_the_same_after_a_trip_through_yaml(document: dict[str, Any]) -> None:
    text = to_yaml(document)
    assert parse(text.encode(), is_yaml=True) == document
    # Others read YAML 1.1, where `no` is false and 12:30 a number.
    assert yaml.safe_load(text) == document


def test_a_new_suite_changes_each_of_its_fields() -> None:
    assert [change.field for change in changes(None, SUITE)] == ["suite", "cases.a", "cases.b"]


def test_a_case_that_changed_is_named_by_its_name_and_field() -> None:
    other = {**SUITE, "cases": [SUITE["cases"][0] | {"params": {"url": "y"}}, SUITE["cases"][1]]}
    assert [change.model_dump() for change in changes(SUITE, other)] == [
        {"field": "cases.a.params.url", "before": "x", "after": "y"}
    ]


def test_cases_in_another_order_are_a_change_of_order_alone() -> None:
    other = {**SUITE, "cases": list(reversed(SUITE["cases"]))}
    assert [change.model_dump() for change in changes(SUITE, other)] == [
        {"field": "cases", "before": ["a", "b"], "after": ["b", "a"]}
    ]


@given(json_values)
def test_the_same_definition_has_no_changes_and_another_has(value: Any) -> None:
    one = {**SUITE, "variables": {"v": value}}
    assert changes(one, one) == []
    assert changes(one, {**SUITE, "variables": {"v": [value]}}) != []
