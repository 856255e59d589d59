"""The verdict on a run of the demo: silent for exactly the planted faults, a sentence for anything else."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from shared.skill.discovery import discover
from shared.suites.params import check_params
from shared.suites.validate import SkillInfo, check
from webguard.demo.expected import EXPECTED, FAULTS, Expected, differences, faults_found
from webguard.demo.run import SUITES, _show, document
from webguard.suites import read_files

FILES = read_files(SUITES)
CASES = [(file.suite.suite, case.name) for file in FILES for case in file.suite.cases]
FLAKY = ("shop-api", "stock is there on a second try")
Results = list[dict[str, Any]]


def result(key: tuple[str, str], expected: Expected, attempt: int) -> dict[str, Any]:
    last = attempt == expected.attempt
    return {
        "suite": key[0],
        "case": key[1],
        "skill": "http-check",
        "kind": "api",
        "attempt": attempt,
        "status": expected.status if last else "failed",
        "error_message": " and ".join(expected.says) or None,
    }


@pytest.fixture
def as_planted() -> Results:
    """What a run finds that finds the planted faults and nothing else."""
    return [
        result(key, expected, attempt)
        for key in CASES
        for expected in [EXPECTED.get(key, Expected("passed"))]
        for attempt in range(1, expected.attempt + 1)
    ]


def change(results: Results, key: tuple[str, str], **values: Any) -> Results:
    return [{**r, **values} if (r["suite"], r["case"]) == key else r for r in results]


def test_exactly_the_planted_faults_are_no_difference_in_whatever_order_they_come(as_planted: Results) -> None:
    assert differences(CASES, as_planted) == []
    assert differences(CASES, reversed(as_planted)) == []
    assert sorted(faults_found(reversed(as_planted))) == sorted(FAULTS)


@pytest.mark.parametrize("key", [key for key, e in EXPECTED.items() if e.status != "passed"], ids=lambda key: key[1])
def test_a_planted_fault_that_is_not_found_is_told(as_planted: Results, key: tuple[str, str]) -> None:
    passing = change(as_planted, key, status="passed", error_message=None)
    assert differences(CASES, passing) == [
        f"{key[0]}: {key[1]!r} must end {EXPECTED[key].status}, it ended passed",
    ]
    assert EXPECTED[key].fault not in faults_found(passing) or EXPECTED[key].fault is None


@pytest.mark.parametrize("key", [key for key in CASES if key not in EXPECTED], ids=lambda key: key[1])
def test_a_sound_case_that_does_not_pass_is_told_with_its_message(as_planted: Results, key: tuple[str, str]) -> None:
    failing = change(as_planted, key, status="error", error_message="nobody answered")
    assert differences(CASES, failing) == [
        f"{key[0]}: {key[1]!r} must end passed, it ended error: nobody answered",
    ]


@pytest.mark.parametrize("key", CASES, ids=lambda key: key[1])
def test_a_case_without_a_result_is_told(as_planted: Results, key: tuple[str, str]) -> None:
    rest = [r for r in as_planted if (r["suite"], r["case"]) != key]
    assert differences(CASES, rest) == [f"{key[0]}: {key[1]!r} has no result"]


@pytest.mark.parametrize(
    ("key", "part"),
    [(key, part) for key, expected in EXPECTED.items() for part in expected.says],
    ids=lambda value: value if isinstance(value, str) else value[1],
)
def test_a_fault_found_for_another_reason_is_told_and_does_not_count(
    as_planted: Results, key: tuple[str, str], part: str
) -> None:
    others = " ".join(p for p in EXPECTED[key].says if p != part)
    changed = change(as_planted, key, error_message=f"{others} something else")
    [sentence] = differences(CASES, changed)
    assert f"must say {part!r}, it said" in sentence
    assert len(faults_found(changed)) == len(FAULTS) - (EXPECTED[key].fault is not None)


def test_a_flaky_case_that_passes_at_once_is_told_and_does_not_count_as_found(as_planted: Results) -> None:
    at_once = [r for r in as_planted if (r["suite"], r["case"]) != FLAKY]
    at_once.append(result(FLAKY, Expected("passed"), 1))
    assert differences(CASES, at_once) == [f"shop-api: {FLAKY[1]!r} must end in attempt 2, it ended in 1"]
    assert "flaky-stock" not in faults_found(at_once)


def test_a_sound_case_that_needed_a_retry_is_told(as_planted: Results) -> None:
    key = ("shop-api", "sign in")
    again = change(as_planted, key, status="failed", error_message="500")
    again.append(result(key, Expected("passed", attempt=2), 2))
    assert differences(CASES, again) == ["shop-api: 'sign in' must end in attempt 1, it ended in 2"]


def test_an_attempt_with_two_results_is_told(as_planted: Results) -> None:
    assert differences(CASES, [*as_planted, as_planted[0]]) == [
        f"{as_planted[0]['suite']}: attempt 1 of {as_planted[0]['case']!r} has 2 results"
    ]


def test_a_result_of_no_suite_and_an_expectation_of_no_case_are_told(as_planted: Results) -> None:
    stranger = result(("shop-api", "stranger"), Expected("passed"), 1)
    assert differences(CASES, [*as_planted, stranger]) == ["shop-api: 'stranger' ran and is in no suite"]
    without = [key for key in CASES if key != FLAKY]
    results = [r for r in as_planted if (r["suite"], r["case"]) != FLAKY]
    assert differences(without, results) == [f"shop-api: {FLAKY[1]!r} is in no suite"]


def test_every_fault_is_documented_with_the_case_that_finds_it() -> None:
    text = (SUITES.parent / "shop" / "FAULTS.md").read_text()
    rows = re.findall(r"^\| ([a-z0-9-]+) \|.*\| (\S+) / (.+) \|$", text, re.MULTILINE)
    assert set(rows) == {(e.fault, *key) for key, e in EXPECTED.items() if e.fault}
    assert len(set(FAULTS)) == len(FAULTS) == len(rows)


def test_every_fault_is_marked_in_the_shops_code_or_data() -> None:
    code = "".join(path.read_text() for path in (SUITES.parent / "shop").glob("*.py"))
    assert set(re.findall(r"FAULT ([a-z0-9-]+)", code)) == set(FAULTS)


def test_the_platform_would_take_every_suite() -> None:
    def checker(schema: Any) -> Callable[[Any], Any]:
        return lambda params: check_params(schema, params)

    skills = {
        name: SkillInfo(name, skill.manifest.metadata.kind, checker(skill.schema))
        for name, skill in discover().skills.items()
    }
    assert {file.suite.suite: [str(fault) for fault in check(file.suite, skills)] for file in FILES} == {
        "shop-api": [],
        "shop-browser": [],
        "shop-data": [],
        "shop-journey": [],
    }


def test_the_document_has_what_was_promised_of_each_execution_and_each_attempt(as_planted: Results) -> None:
    execution = {
        "id": "e1",
        "suite": "shop-api",
        "status": "failed",
        "total": 3,
        "passed": 1,
        "failed": 1,
        "skipped": 1,
        "duration_ms": 12,
        "requested_by": "demo",
    }
    made = document([execution], [{**r, "id": "r", "stack_trace": "…"} for r in as_planted])
    assert made["executions"] == [
        {
            "suite": "shop-api",
            "execution_id": "e1",
            "status": "failed",
            "total": 3,
            "passed": 1,
            "failed": 1,
            "duration_ms": 12,
        }
    ]
    assert made["results"] == as_planted


def test_the_summary_says_how_many_faults_were_found_and_what_is_not_as_planted(as_planted: Results) -> None:
    console = Console(record=True, width=160)
    missed = change(as_planted, ("shop-data", "prices are fresh"), status="passed", error_message=None)
    _show(console, [], missed, differences(CASES, missed), "http://127.0.0.1:8080")
    text = console.export_text()
    assert f"{len(FAULTS) - 1} of {len(FAULTS)} planted faults found" in text
    assert "not as planted: shop-data: 'prices are fresh' must end failed, it ended passed" in text
    assert "http://127.0.0.1:8080" in text


def test_suites_are_files_beside_the_code_so_that_a_wheel_carries_them() -> None:
    assert Path(SUITES).is_dir()
    assert len(FILES) == 4
