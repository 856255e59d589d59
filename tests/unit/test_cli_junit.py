"""JUnit XML, read back with another library than the one that wrote it."""

from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from shared.events import ResultStatus
from webguard.client import Execution, Result
from webguard.junit import write_junit

EXECUTION = Execution(
    id=UUID(int=1), suite="checkout", status="failed", started_at="2026-11-23T12:00:00Z", duration_ms=1500
)
STATUSES: tuple[ResultStatus, ...] = get_args(ResultStatus)


def of(case: str, status: ResultStatus, attempt: int = 1, message: str | None = None) -> Result:
    return Result(case=case, skill="http-check", kind="api", attempt=attempt, status=status, error_message=message)


def read(path: Path) -> Any:
    [suite] = JUnitXml.fromfile(str(path))
    return suite


def test_each_case_is_judged_by_its_last_attempt(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    results = [
        of("good", "passed"),
        of("flaky", "passed", 2),
        of("flaky", "failed", 1, "first no"),
        of("bad", "failed", 1, "no\nreally"),
        of("broken", "error", 1, "crash"),
        of("slow", "timeout"),
        of("left out", "skipped", 1, "why not"),
    ]
    write_junit(path, EXECUTION, results)
    suite = read(path)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped, suite.time) == (6, 1, 2, 1, 1.5)
    verdicts = {case.name: [type(verdict) for verdict in case.result] for case in suite}
    assert verdicts == {
        "good": [],
        "flaky": [],
        "bad": [Failure],
        "broken": [Error],
        "slow": [Error],
        "left out": [Skipped],
    }
    text = path.read_text()
    assert '<flakyFailure message="first no" type="failed">first no</flakyFailure>' in text
    assert '<failure message="no" type="failed">no\nreally</failure>' in text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.builds(of, st.text(min_size=1), st.sampled_from(STATUSES), st.integers(1, 3), st.none() | st.text()),
        max_size=10,
    )
)
def test_any_text_gives_a_file_that_can_be_read(tmp_path: Path, results: list[Result]) -> None:
    path = tmp_path / "report.xml"
    write_junit(path, EXECUTION, results)
    suite = read(path)
    assert suite.tests == len({result.case for result in results}) == len(list(suite))
