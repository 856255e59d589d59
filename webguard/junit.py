"""JUnit XML, as CI systems read it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

# XML 1.0 has no other control characters.
_ALLOWED = {0x9, 0xA, 0xD}


def write_junit(path: Path, execution: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> None:
    """One testsuite; each case by its last attempt, earlier ones as rerun failures."""
    last: dict[str, Mapping[str, Any]] = {}
    earlier: dict[str, list[Mapping[str, Any]]] = {}
    for result in sorted(results, key=lambda r: r["attempt"]):
        if result["case"] in last:
            earlier.setdefault(result["case"], []).append(last[result["case"]])
        last[result["case"]] = result
    count = {
        kind: sum(r["status"] in statuses for r in last.values())
        for kind, statuses in (
            ("failures", ("failed", "timeout")),
            ("errors", ("error",)),
            ("skipped", ("skipped", "cancelled")),
        )
    }
    attributes = {
        "name": str(execution["suite"]),
        "tests": str(len(last)),
        **{key: str(value) for key, value in count.items()},
        "time": _seconds(execution.get("duration_ms")),
    }
    root = ET.Element("testsuites", attributes)
    suite = ET.SubElement(root, "testsuite", {**attributes, "timestamp": str(execution["executed_at"])[:19]})
    properties = ET.SubElement(suite, "properties")
    for name in ("id", "revision", "triggered_by", "ci_commit_sha", "ci_branch"):
        if execution.get(name) is not None:
            ET.SubElement(properties, "property", {"name": name, "value": str(execution[name])})
    for name, result in last.items():
        _case(suite, str(execution["suite"]), name, result, earlier.get(name, []))
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _case(
    suite: ET.Element, class_name: str, name: str, result: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> None:
    time = _seconds(result["duration_ms"])
    case = ET.SubElement(suite, "testcase", {"classname": class_name, "name": _text(name), "time": time})
    status, message = result["status"], _text(result.get("error_message") or "")
    first = message.partition("\n")[0]
    if status in ("failed", "timeout"):
        ET.SubElement(case, "failure", {"message": first, "type": result.get("error_type") or status}).text = message
    elif status == "error":
        ET.SubElement(case, "error", {"message": first, "type": result.get("error_type") or status}).text = message
    elif status in ("skipped", "cancelled"):
        ET.SubElement(case, "skipped", {"message": first or status})
    tag = "flakyFailure" if status == "passed" else "rerunFailure"
    for attempt in earlier:
        text = _text(attempt.get("error_message") or "")
        kind = {"message": text.partition("\n")[0], "type": attempt.get("error_type") or attempt["status"]}
        ET.SubElement(case, tag, kind).text = text


def _seconds(milliseconds: int | None) -> str:
    return f"{(milliseconds or 0) / 1000:.3f}"


def _text(text: str) -> str:
    return "".join(c for c in text if ord(c) >= 0x20 or ord(c) in _ALLOWED)
