"""Results as JUnit XML, as CI servers read it: a case is judged by its last attempt, earlier ones stay visible."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from webguard.client import Execution, Result
from webguard.errors import UsageFault

# What XML 1.0 cannot hold, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = {"failed": "failure", "error": "error", "timeout": "error", "skipped": "skipped", "cancelled": "skipped"}


def junit(execution: Execution, results: Sequence[Result]) -> Element:
    """A `testsuites` element with one suite: the execution."""
    attempts: dict[str, list[Result]] = {}
    for result in results:
        attempts.setdefault(result.case, []).append(result)
    for listed in attempts.values():
        listed.sort(key=lambda result: result.attempt)
    tags = [_TAG.get(listed[-1].status) for listed in attempts.values()]
    totals = {
        "tests": str(len(attempts)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
        "time": _seconds(execution.duration_ms or 0),
    }
    root = Element("testsuites", {"name": "WebGuard", **totals})
    suite = SubElement(root, "testsuite", {"name": _text(execution.suite), **totals})
    if execution.started_at:
        suite.set("timestamp", execution.started_at[:19])
    properties = SubElement(suite, "properties")
    for name, value in (
        ("execution_id", str(execution.id)),
        ("status", execution.status),
        ("ci_commit_sha", execution.ci_commit_sha),
        ("ci_branch", execution.ci_branch),
    ):
        if value:
            SubElement(properties, "property", {"name": name, "value": _text(value)})
    for listed in attempts.values():
        _case(suite, execution.suite, listed)
    return root


def write_junit(path: Path, execution: Execution, results: Sequence[Result]) -> None:
    """
    Raises:
        UsageFault: the file cannot be written.
    """
    root = junit(execution, results)
    indent(root)
    try:
        ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise UsageFault(f"{path} cannot be written: {error}") from error


def _case(suite: Element, suite_name: str, attempts: Sequence[Result]) -> None:
    last = attempts[-1]
    case = SubElement(
        suite,
        "testcase",
        # A class name with a dot is shown as a package: suite, then skill.
        {
            "name": _text(last.case),
            "classname": _text(f"{suite_name}.{last.skill}"),
            "time": _seconds(last.duration_ms),
        },
    )
    tag = _TAG.get(last.status)
    if tag:
        _verdict(case, tag, last)
    # Surefire's names, which CI servers know: flaky where it passed in the end, else rerun.
    prefix = "flaky" if tag is None else "rerun"
    for earlier in attempts[:-1]:
        earlier_tag = _TAG.get(earlier.status)
        if earlier_tag in ("failure", "error"):
            _verdict(case, prefix + earlier_tag.capitalize(), earlier)


def _verdict(case: Element, tag: str, result: Result) -> None:
    message = _text(result.error_message or result.status)
    element = SubElement(case, tag, {"message": message.splitlines()[0] if message else result.status})
    if tag != "skipped":
        element.set("type", result.error_type or result.status)
    element.text = message


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"


def _text(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)
