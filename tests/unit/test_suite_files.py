"""Suite files: every fault has the line that it is on."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webguard.errors import UsageFault
from webguard.suites import FileFault, SuiteFile, diff, find_files, read_suites, to_yaml
from webguard.yamlfile import YamlFault, read_yaml

GOOD = """\
# the shop
suite: checkout
variables: {base_url: "http://127.0.0.1:8000"}
cases:
  - name: sign in
    skill: http-check
    params:
      url: "${base_url}/login"
      expect:
        status: 200
  - name: buy
    skill: browser-flow
    depends_on: [sign in]
"""


def read(tmp_path: Path, text: str, name: str = "suite.yaml") -> tuple[list[SuiteFile], list[FileFault]]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_suites([file])


def test_a_good_file_gives_its_suite(tmp_path: Path) -> None:
    [suite], faults = read(tmp_path, GOOD)
    assert faults == []
    assert [case.name for case in suite.suite.cases] == ["sign in", "buy"]


@pytest.mark.parametrize(
    ("find", "replace", "line", "field", "text"),
    [
        ("suite: checkout", "suite: check out", 2, "suite", "match pattern"),
        ("suite: checkout", "suit: checkout", 2, "suit", "did you mean 'suite'"),
        ("    skill: http-check\n", "", 5, "cases.0.skill", "is missing"),
        ("skill: browser-flow", "skill: browser-flow\n    timeout_seconds: soon", 13, "cases.1.timeout_seconds", ""),
        ("depends_on: [sign in]", "depend_on: [sign in]", 13, "cases.1.depend_on", "did you mean 'depends_on'"),
        ("name: buy", "name: sign in", 11, "cases.1.name", "already a case"),
        ("# the shop", 'schedule: "* * *"', 1, "schedule", "3 fields"),
        ("# the shop", "retry: {attempts: 99}", 1, "retry.attempts", "less than or equal to 10"),
        ("# the shop", "timezone: Mars/Base", 1, "timezone", "IANA"),
        (
            "        status: 200",
            "        status: 200\n        status: 201",
            11,
            "cases.0.params.expect.status",
            "twice",
        ),
        ("        status: 200", "        200: 200", 10, "cases.0.params.expect", "quotes"),
        ("        status: 200", "        status: !secret x", 10, "cases.0.params.expect.status", "tag"),
        ("        status: 200", "        status: .inf", 10, "cases.0.params.expect.status", "not a number in JSON"),
        ("        status: 200", "        status: [200", 11, "", "not YAML"),
        ("        status: 200", "\tstatus: 200", 10, "", "not YAML"),
        ("        status: 200", "        status: *nobody", 10, "", "undefined alias"),
    ],
)
def test_a_fault_names_file_line_and_field(
    tmp_path: Path, find: str, replace: str, line: int, field: str, text: str
) -> None:
    assert find in GOOD
    suites, faults = read(tmp_path, GOOD.replace(find, replace, 1))
    assert suites == []
    [fault] = [fault for fault in faults if text in fault.message and fault.field == field]
    assert fault.line == line
    assert str(fault).startswith(f"{tmp_path / 'suite.yaml'}:{line}: {field}")


def test_a_fault_that_the_server_found_gets_its_line(tmp_path: Path) -> None:
    [suite], _ = read(tmp_path, GOOD)
    assert suite.fault("cases.0.params.expect.status", "no").line == 10
    assert suite.fault("cases.0.params.expect.headers", "is missing").line == 9
    assert suite.fault("cases.1.depends_on.0", "no").line == 13
    assert suite.fault("", "no").line == 2


def test_two_suites_of_one_name_are_a_fault_that_names_both_places(tmp_path: Path) -> None:
    suites, [fault] = read(tmp_path, f"{GOOD}---\n{GOOD}")
    assert len(suites) == 1
    assert fault.line == 16
    assert "suite.yaml:2" in fault.message


def test_times_dates_and_words_stay_strings(tmp_path: Path) -> None:
    text = GOOD.replace("status: 200", "a: 2026-11-23\n        b: 12:30:00\n        c: yes\n        d: on")
    [suite], _ = read(tmp_path, text)
    assert suite.suite.cases[0].params["expect"] == {"a": "2026-11-23", "b": "12:30:00", "c": "yes", "d": "on"}


def test_anchors_and_merges_are_filled_in_and_what_is_written_wins(tmp_path: Path) -> None:
    text = GOOD.replace("expect:", "expect: &e\n        x: 1", 1) + "    params: {expect: {<<: *e, status: 201}}\n"
    [suite], faults = read(tmp_path, text)
    assert faults == []
    assert suite.suite.cases[1].params == {"expect": {"x": 1, "status": 201}}
    assert suite.fault("cases.1.params.expect.x", "no").line == 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "- 1\n",
        "just text",
        "a: &a [*a]",
        "\x00",
        "[" * 20_000,
        "%YAML 9.9\n---\na: 1",
        "? {a: 1}\n: 2",
    ],
)
def test_no_text_is_more_than_a_fault(tmp_path: Path, text: str) -> None:
    suites, faults = read(tmp_path, text)
    assert suites == []
    assert faults


def test_aliases_of_aliases_end_as_a_fault(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    suites, [fault] = read(tmp_path, "\n".join(lines))
    assert suites == []
    assert "aliases" in fault.message


def test_bytes_that_are_no_utf8_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_bytes(b"suite: \xff\xfe")
    _, [fault] = read_suites([tmp_path / "suite.yaml"])
    assert "cannot be read" in fault.message


def test_a_folder_gives_its_suite_files_but_no_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.yaml", ".git/d.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert {str(path.relative_to(tmp_path)) for path in find_files(tmp_path)} == {"a.yml", "b.yaml", "sub/c.yaml"}


def test_an_empty_folder_is_a_usage_fault(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no suite file"):
        find_files(tmp_path)
    with pytest.raises(UsageFault, match="no such file"):
        find_files(tmp_path / "nowhere")


def test_a_difference_is_shown_as_lines_of_yaml(tmp_path: Path) -> None:
    [suite], _ = read(tmp_path, GOOD)
    old, new = suite.suite.document(), suite.suite.document()
    assert diff("checkout", old, new) == ""
    new["cases"][0]["params"]["url"] = "http://other/"
    assert [line for line in diff("checkout", old, new).splitlines()[2:] if line[0] in "+-"] == [
        "-      url: ${base_url}/login",
        "+      url: http://other/",
    ]


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths_of(item, (*path, index))
    return found


printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Co", "Cn", "Zl", "Zp")), max_size=20)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | printable,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(printable, inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_is_written_is_read_back_and_every_path_has_a_line_of_the_file(value: Any) -> None:
    text = to_yaml({"params": value})
    [document] = read_yaml(text)
    assert document.value == {"params": value}
    lines = text.count("\n")
    for path in paths_of(document.value):
        line = document.line_of(path)
        assert document.line_of(path[:-1]) <= line <= lines
        assert document.line_of((*path, "no such key")) == line


@given(st.text())
def test_no_text_ends_in_anything_but_documents_or_a_fault_with_a_line(text: str) -> None:
    lines = 1 + sum(text.count(end) for end in "\n\r\x85\u2028\u2029")
    try:
        found = [document.line_of(("x", 0)) for document in read_yaml(text)]
    except YamlFault as fault:
        found = [fault.line]
    assert all(1 <= line <= lines for line in found)
