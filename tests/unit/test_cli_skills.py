"""Skills from the command line, with no platform anywhere."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.skill.discovery import load
from tests.unit.test_cli import one_line, webguard


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"all is ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["api", "browser", "data"])
def test_a_new_skill_passes_its_own_test(kind: str) -> None:
    name = f"new-{kind}"
    made = webguard("skills", "new", name, "--kind", kind).stdout.splitlines()
    assert made == [f"skills/{name}/SKILL.md", f"skills/{name}/skill.py", f"skills/{name}/test_skill.py"]
    assert load(Path("skills", name).resolve()).manifest.metadata.kind == kind
    webguard("skills", "validate", f"skills/{name}", "--test")
    assert "is there already" in one_line(webguard("skills", "new", name, code=2))


def test_a_skill_whose_test_fails_is_not_valid() -> None:
    webguard("skills", "new", "wrong-one")
    Path("skills/wrong-one/test_skill.py").write_text("def test_it() -> None:\n    assert 1 == 2\n")
    webguard("skills", "validate", "skills/wrong-one")
    webguard("skills", "validate", "skills/wrong-one", "--test", code=1)


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("SKILL.md", "no front matter", "no front matter"),
        ("skill.py", "import nothing_of_that_name", "nothing_of_that_name"),
        ("skill.py", "x = 1", "no pydantic model named Params"),
    ],
)
def test_a_broken_skill_is_refused_by_file_and_fault(file: str, text: str, fault: str) -> None:
    webguard("skills", "new", "broken-one")
    Path("skills/broken-one", file).write_text(text)
    line = one_line(webguard("skills", "validate", "skills/broken-one", code=2))
    assert file in line
    assert fault in line


def test_a_skill_runs_here_and_shows_what_it_found(site: str) -> None:
    webguard("skills", "new", "mine")
    done = webguard("skills", "run", "mine", "--skills", "skills", "--param", f"url={site}", "-p", "contains=ok")
    assert "passed mine" in done.stdout
    assert f"GET {site}" in done.stdout
    assert "total" in done.stdout


def test_run_json_says_outputs_metrics_and_steps(site: str) -> None:
    webguard("skills", "new", "mine")
    Path("params.yaml").write_text(f"url: {site}\nstatus: 404\n")
    args = ("skills", "run", "skills/mine", "--params", "params.yaml", "--json")
    answer: dict[str, Any] = json.loads(webguard(*args, code=1).stdout)
    assert (answer["status"], answer["error_type"]) == ("failed", "assertion")
    assert answer["error_message"] == "status is 200, not 404"
    assert [metric["name"] for metric in answer["metrics"]] == ["total"]
    assert json.loads(webguard(*args, "-p", "status:=200").stdout)["outputs"] == {"status": 200, "text": "all is ok"}


def test_artifacts_stay_where_the_caller_wants_them(site: str) -> None:
    webguard("skills", "new", "mine", "--kind", "data")
    code = Path("skills/mine/skill.py")
    code.write_text(
        code.read_text().replace("    if wrong:\n", '    ctx.artifacts.save("all.txt", "x")\n    if wrong:\n')
    )
    args = ("skills", "run", "skills/mine", "-p", f"url={site}", "-p", "column=all is ok", "--json")
    [artifact] = json.loads(webguard(*args, "--out", "kept").stdout)["artifacts"]
    assert Path(artifact["path"]) == Path("kept/all.txt").resolve()
    assert Path("kept/all.txt").read_text() == "x"
    [artifact] = json.loads(webguard(*args).stdout)["artifacts"]
    assert Path(artifact["path"]).is_relative_to(Path("webguard-artifacts").resolve())


def test_params_from_standard_input(site: str) -> None:
    webguard("skills", "new", "mine")
    webguard("skills", "run", "skills/mine", "--params", "-", stdin=json.dumps({"url": site}))
    assert "one mapping" in one_line(webguard("skills", "run", "skills/mine", "--params", "-", stdin="[1]", code=2))


def test_wrong_params_exit_2_and_name_the_field(site: str) -> None:
    webguard("skills", "new", "mine")
    done = webguard("skills", "run", "skills/mine", "-p", f"url={site}", "-p", "status=teapot", code=2)
    assert "params.status" in done.stdout


def test_a_secret_comes_from_the_environment_and_is_not_shown(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBGUARD_SECRET_TOKEN", "hunter2hunter2")
    webguard("skills", "new", "mine")
    done = webguard(
        *("skills", "run", "skills/mine", "-p", f"url={site}?${{secrets.TOKEN}}", "-p", "contains=no"), code=1
    )
    assert "hunter2" not in done.stdout + done.stderr
    assert "***" in done.stdout


def test_the_schema_accepts_suite_files_and_refuses_wrong_params() -> None:
    webguard("skills", "new", "mine")
    schema = json.loads(webguard("schema", "--skills", "skills").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    def faults(params: dict[str, Any]) -> list[str]:
        suite = {"suite": "s", "cases": [{"name": "a", "skill": "mine", "params": params}]}
        return [error.json_path for error in validator.iter_errors(suite)]

    assert faults({"url": "http://x/", "status": 201}) == []
    assert faults({"url": "http://x/", "status": "${wanted}"}) == []
    assert faults({"url": "http://x/", "status": "teapot"}) == ["$.cases[0].params.status"]
    assert faults({"url": "http://x/", "stat": 1}) == ["$.cases[0].params"]
    webguard("schema", "-o", "suite.schema.json")
    assert json.loads(Path("suite.schema.json").read_text())["title"] == "WebGuard suite"


def test_every_bundled_skill_is_in_the_schema_and_every_reference_in_it_has_its_place() -> None:
    text = webguard("schema").stdout
    schema = json.loads(text)
    names = [row["name"] for row in json.loads(webguard("skills", "list", "--json").stdout)]
    assert "browser-flow" in names
    assert set(names) == {
        rule["if"]["properties"]["skill"]["const"] for rule in schema["$defs"]["CaseDefinition"]["allOf"]
    }
    references = {part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}
    assert references <= set(schema["$defs"])
