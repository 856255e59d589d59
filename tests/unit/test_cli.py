"""The command line against a server that answers like ours: exit codes, JSON shapes, one line on errors."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as ClickResult

from tests.unit.cli_platform import KEY, Platform, result, serve
from webguard.cli.app import app

GOOD = "suite: {name}\ncases:\n  - name: one\n    skill: http-check\n    params: {{url: http://x/}}\n"


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Platform]:
    monkeypatch.chdir(tmp_path)
    with serve() as running:
        monkeypatch.setenv("WEBGUARD_URL", running.url)
        monkeypatch.setenv("WEBGUARD_API_KEY", KEY)
        yield running


def webguard(*args: str | Path, code: int = 0, stdin: str | None = None) -> ClickResult:
    done = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="webguard")
    assert done.exit_code == code, f"exit code {done.exit_code}\n{done.stdout}\n{done.stderr}\n{done.exception!r}"
    return done


def environment() -> dict[str, str]:
    """For a process of its own: it stands in another folder than the checkout."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def one_line(done: ClickResult) -> str:
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert isinstance(line, str)
    return line


# -- run ---------------------------------------------------------------------------------------------------


def test_run_exits_0_when_all_passed(platform: Platform) -> None:
    platform.ends["shop"] = [result("a"), result("b"), result("c")]
    done = webguard("run", "shop")
    assert "3 cases: 3 passed in 1.5 s" in done.stdout


@pytest.mark.parametrize("status", ["failed", "error", "timeout", "cancelled"])
def test_run_exits_1_when_a_case_did_not_pass(platform: Platform, status: str) -> None:
    platform.ends["shop"] = [result("a"), result("b", "failed", message="expected 200, got 500")]
    platform.status["shop"] = status
    done = webguard("run", "shop", code=1)
    assert "expected 200, got 500" in done.stdout


def test_run_json_prints_every_attempt_and_nothing_else(platform: Platform) -> None:
    platform.ends["shop"] = [result("a"), result("b", "failed", message="no"), result("b", attempt=2)]
    answer = json.loads(webguard("run", "shop", "--json", "--watch").stdout)
    [execution_id] = platform.executions
    assert answer == {
        "execution_id": execution_id,
        "suite": "shop",
        "status": "passed",
        "results": [
            {**one, "duration_ms": 12} for one in (result("a"), result("b", "failed", 1, "no"), result("b", attempt=2))
        ],
    }


@pytest.mark.parametrize("has_events", [True, False])
def test_watch_shows_each_result_live_and_does_without_live_events(platform: Platform, has_events: bool) -> None:
    platform.has_events = has_events
    platform.ends["shop"] = [result("a"), result("b", "failed", message="broken\u2028in two")]
    platform.status["shop"] = "failed"
    done = webguard("run", "shop", "--watch", code=1)
    assert ("failed    b" in done.stderr) is has_events
    assert "broken" in done.stdout


def test_a_stream_that_breaks_off_is_taken_up_after_the_last_event_seen(platform: Platform) -> None:
    platform.breaks_off = True
    platform.looks_until_final = 3
    platform.ends["shop"] = [result("a"), result("b"), result("c")]
    done = webguard("run", "shop", "--watch")
    assert platform.events_asked[:2] == ["", "2"]
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["a", "b", "c"]


def test_run_of_a_suite_that_is_not_there_exits_2_in_one_line(platform: Platform) -> None:
    assert "there is no suite 'nope'" in one_line(webguard("run", "nope", code=2))


def test_a_refused_execution_exits_2(platform: Platform) -> None:
    platform.ends["shop"] = []
    platform.status["shop"] = "error"
    webguard("run", "shop", code=2)


def test_run_passes_variables_commit_and_key_on(platform: Platform) -> None:
    platform.ends["shop"] = [result("a")]
    webguard(
        *("run", "shop", "--var", "version=1.10", "--var", "n:=3", "--var", "tags=[1]"),
        *("--commit", "abc", "--branch", "main", "--idempotency-key", "k1"),
    )
    [trigger] = platform.triggers
    assert trigger == {
        "suite": "shop",
        "variables": {"version": "1.10", "n": 3, "tags": [1]},
        "idempotency_key": "k1",
        "triggered_by": "ci",
        "ci_commit_sha": "abc",
        "ci_branch": "main",
    }


def test_detach_prints_the_id_and_does_not_wait(platform: Platform) -> None:
    platform.ends["shop"] = [result("a")]
    done = webguard("run", "shop", "--detach")
    assert [done.stdout.strip()] == list(platform.executions)
    assert platform.events_asked == []


def test_run_that_waited_long_enough_exits_3_and_says_how_to_go_on(platform: Platform) -> None:
    platform.ends["shop"] = [result("a")]
    platform.has_events = False
    platform.looks_until_final = 1_000_000
    line = one_line(webguard("run", "shop", "--timeout", "0.3", code=3))
    assert f"webguard executions show {next(iter(platform.executions))} --watch" in line


def test_ctrl_c_leaves_the_execution_running_and_says_how_to_go_on(platform: Platform) -> None:
    platform.ends["shop"] = [result("a")]
    platform.unending = True
    command = [sys.executable, "-m", "webguard", "run", "shop", "--watch"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("passed    a")
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(60) == 3
    assert f"webguard executions show {next(iter(platform.executions))} --watch" in said
    assert "Traceback" not in said
    assert platform.cancelled == []


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["run"], "missing argument 'suite'"),
        (["run", "shop", "--jsn"], "no such option: --jsn"),
        (["runn"], "Did you mean 'run'"),
        (["run", "shop", "--var", "x"], "not NAME=VALUE"),
        (["run", "shop", "--var", "x:=y"], "not JSON"),
        (["run", "shop", "--junit", "no/such/folder.xml"], "there is no folder"),
        (["executions", "show", "7"], "not the id of an execution"),
        (["executions", "show", "00000000-0000-0000-0000-000000000000"], "there is no execution"),
        (["apply", "-f", "nowhere"], "no such file"),
        (["suites", "show", "nope"], "there is no suite"),
        (["suites", "list", "--api-key", "wrong"], "does not accept these credentials"),
        (["suites", "list", "--url", "nonsense"], "http://"),
        (["skills", "run", "nope"], "is not installed"),
        (["skills", "new", "Not A Name"], "is not a skill's name"),
        (["skills", "new", "a-name", "--kind", "smell"], "browser, api, data"),
    ],
)
def test_wrong_use_exits_2_in_one_line(platform: Platform, args: list[str], text: str) -> None:
    assert text in one_line(webguard(*args, code=2))


@pytest.mark.parametrize(
    "args", [["status"], ["run", "shop"], ["suites", "list", "--json"], ["skills", "list", "--platform"]]
)
def test_no_platform_exits_3_in_one_line(platform: Platform, args: list[str]) -> None:
    line = one_line(webguard("--url", "http://127.0.0.1:9", *args, code=3))
    assert line == "error: no WebGuard at http://127.0.0.1:9; start one with `webguard up`"


def test_another_server_than_webguard_exits_3(platform: Platform) -> None:
    platform.executions["00000000-0000-0000-0000-000000000000"] = {"foo": 1, "looks": 0, "suite": "x"}
    assert "not understood" in one_line(webguard("executions", "list", code=3))


def test_an_unexpected_error_shows_its_traceback_only_with_debug(platform: Platform) -> None:
    (Path.cwd() / "is-a-folder").mkdir()
    platform.suites["x"] = {"suite": "x", "cases": [{"name": "a", "skill": "b"}]}
    args = ("suites", "export", "x", "-o", "is-a-folder")
    assert "is-a-folder" in one_line(webguard(*args, code=2))
    assert isinstance(webguard(*args, "--debug", code=1).exception, IsADirectoryError)


# -- credentials -------------------------------------------------------------------------------------------


def credentials(platform: Platform, folder: Path, **more: str) -> None:
    folder.mkdir(exist_ok=True)
    about = {"url": platform.url, "api_key": KEY, "tenant": "main", "username": "admin", "password": "right"}
    (folder / "credentials.json").write_text(json.dumps({**about, **more}))


def test_the_credentials_of_a_data_folder_are_used(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBGUARD_URL")
    monkeypatch.delenv("WEBGUARD_API_KEY")
    credentials(platform, Path("data"))
    webguard("suites", "list", "--data-dir", "data")
    credentials(platform, Path(".webguard"))
    webguard("suites", "list")
    webguard("--data-dir", "data", "suites", "list")
    assert "no WebGuard is known here" in one_line(webguard("suites", "list", "--data-dir", "nowhere", code=3))


def test_a_key_of_a_data_folder_goes_to_no_other_server(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBGUARD_API_KEY")
    credentials(platform, Path(".webguard"), url="http://127.0.0.1:9")
    assert "does not accept" in one_line(webguard("suites", "list", code=2))


def test_token_prints_the_bare_token(platform: Platform) -> None:
    credentials(platform, Path(".webguard"))
    assert webguard("token").stdout == "a.jwt.token\n"


def test_token_with_a_wrong_password_exits_2(platform: Platform) -> None:
    credentials(platform, Path(".webguard"), password="wrong")
    assert "wrong user name or password" in one_line(webguard("token", code=2))


def test_token_without_credentials_exits_2(platform: Platform) -> None:
    assert "no user name and password are known" in one_line(webguard("token", code=2))


# -- apply -------------------------------------------------------------------------------------------------


def write(name: str, text: str = "") -> Path:
    folder = Path("suites")
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text or GOOD.format(name=name))
    return folder


def actions(done: ClickResult) -> dict[str, str]:
    return {change["suite"]: change["action"] for change in json.loads(done.stdout)}


def test_apply_twice_changes_once(platform: Platform) -> None:
    write("a")
    folder = write("b")
    assert actions(webguard("apply", "-f", folder, "--json")) == {"a": "created", "b": "created"}
    assert actions(webguard("apply", "-f", folder, "--json")) == {"a": "unchanged", "b": "unchanged"}
    assert platform.posted == ["a", "b"]


def test_apply_shows_what_changes(platform: Platform) -> None:
    folder = write("a")
    webguard("apply", "-f", folder)
    write("a", GOOD.format(name="a").replace("http://x/", "http://y/"))
    done = webguard("apply", "-f", folder)
    assert "a changed" in done.stdout
    assert "  -      url: http://x/\n  +      url: http://y/" in done.stdout
    assert platform.suites["a"]["cases"][0]["params"]["url"] == "http://y/"


def test_apply_prunes_only_when_asked(platform: Platform) -> None:
    platform.suites["old"] = {"suite": "old", "cases": [{"name": "a", "skill": "b"}]}
    folder = write("a")
    webguard("apply", "-f", folder)
    assert set(platform.suites) == {"a", "old"}
    assert actions(webguard("apply", "-f", folder, "--prune", "--json")) == {"a": "unchanged", "old": "pruned"}
    assert set(platform.suites) == {"a"}


def test_a_dry_run_changes_nothing(platform: Platform) -> None:
    platform.suites["old"] = {"suite": "old", "cases": [{"name": "a", "skill": "b"}]}
    done = webguard("apply", "-f", write("a"), "--prune", "--dry-run")
    assert "a would be created" in done.stdout
    assert "old would be pruned" in done.stdout
    assert (platform.posted, set(platform.suites)) == ([], {"old"})


def test_one_bad_file_and_nothing_is_applied(platform: Platform) -> None:
    write("a")
    folder = write("b", GOOD.format(name="b").replace("skill:", "skil:"))
    done = webguard("apply", "-f", folder, code=2)
    assert "suites/b.yaml:4: cases.0.skil: there is no such field; did you mean 'skill'?" in done.stderr
    assert platform.posted == []


def test_what_the_server_refuses_gets_file_and_line_and_nothing_is_applied(platform: Platform) -> None:
    write("a")
    folder = write("b")
    platform.refuses["b"] = [{"field": "cases.0.params.url", "message": "is not a URL"}]
    done = webguard("apply", "-f", folder, code=2)
    assert done.stderr.splitlines()[0] == "suites/b.yaml:5: cases.0.params.url: is not a URL"
    assert platform.posted == []


def test_validate_needs_no_platform_and_knows_the_skills_that_are_here(platform: Platform) -> None:
    folder = write("a", GOOD.format(name="a").replace("http-check", "no-such-skill"))
    done = webguard("suites", "validate", folder, "--json", code=2)
    [fault] = json.loads(done.stdout)
    assert (fault["file"], fault["line"], fault["field"]) == ("suites/a.yaml", 4, "cases.0.skill")


# -- lists -------------------------------------------------------------------------------------------------


def test_lists_go_through_every_page(platform: Platform) -> None:
    for number in range(5):
        platform.suites[f"s{number}"] = {"suite": f"s{number}", "cases": [{"name": "a", "skill": "b"}]}
    rows = json.loads(webguard("suites", "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["s0", "s1", "s2", "s3", "s4"]
    assert len(webguard("suites", "list").stdout.splitlines()) == 6


def test_executions_are_listed_shown_and_cancelled(platform: Platform) -> None:
    platform.ends["shop"] = [result("a"), result("b"), result("c")]
    webguard("run", "shop")
    [row] = json.loads(webguard("executions", "list", "--json").stdout)
    execution_id: Any = row["id"]
    assert (row["suite"], row["status"], row["total"]) == ("shop", "passed", 3)
    shown = json.loads(webguard("executions", "show", execution_id, "--json").stdout)
    assert [one["case"] for one in shown["results"]] == ["a", "b", "c"]
    assert [file["name"] for file in shown["artifacts"]] == ["log.txt"]
    assert f"{platform.url}/api/v1/artifacts/7" in webguard("executions", "show", execution_id).stdout
    webguard("executions", "cancel", execution_id)
    assert platform.cancelled == [execution_id]


def test_skills_list_json_is_a_list_of_objects_with_a_name(platform: Platform) -> None:
    there = json.loads(webguard("skills", "list", "--json", "--platform").stdout)
    assert [row["name"] for row in there] == ["http-check"]
    here = json.loads(webguard("--url", "http://127.0.0.1:9", "skills", "list", "--json").stdout)
    assert {"http-check", "browser-flow", "dataset-check"} <= {row["name"] for row in here}


def test_status_shows_each_service(platform: Platform) -> None:
    text = webguard("status").stdout
    assert "executors-api 5.0 s 3/100" in " ".join(text.split())
    assert "3 tasks wait, 3 run, 0 events to be recorded, 1 dead letter" in text
    assert json.loads(webguard("status", "--json").stdout)["dead_letters"] == 1


def test_nothing_but_text_where_there_is_no_terminal(platform: Platform) -> None:
    platform.ends["shop"] = [result("a" * 300, "failed", message="[bold]x[/] \x1b")]
    platform.status["shop"] = "failed"
    done = webguard("run", "shop", code=1)
    assert "\x1b[" not in done.stdout
    assert "a" * 300 in done.stdout
    assert "[bold]x[/]" in done.stdout


@pytest.mark.parametrize(
    "command",
    ["up", "demo", "apply", "run", "status", "token", "schema"]
    + [f"executions {name}" for name in ("list", "show", "cancel")]
    + [f"suites {name}" for name in ("list", "show", "export", "validate", "delete")]
    + [f"skills {name}" for name in ("list", "show", "new", "run", "validate")],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    text = webguard(*command.split(), "--help").stdout
    assert "Example" in text
    assert f"webguard {command}" in text


def test_a_command_does_not_wait_for_the_launcher_or_any_service_to_be_loaded() -> None:
    heavy = "playwright", "polars", "aiobotocore", "asyncpg", "fastapi", "faststream", "webguard.local.launcher"
    code = f"import sys, webguard.cli.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
