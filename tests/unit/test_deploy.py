"""The container set-up, checked without a container engine, against the code that runs in it."""

import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from services.executors.settings import ExecutorSettings
from services.gateway.settings import GatewaySettings
from shared.settings import ArtifactSettings, DatabaseSettings, RedisSettings, Settings, SkillSettings
from shared.skill.egress import EgressSettings
from webguard.local.environment import SERVICES, Backends, environment

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"
BIN = Path(sysconfig.get_path("scripts"))
SETTINGS: dict[str, tuple[type[BaseSettings], ...]] = {
    "scheduler": (Settings,),
    "dispatcher": (Settings,),
    "executors": (ExecutorSettings, ArtifactSettings, SkillSettings, EgressSettings),
    "recorder": (Settings, DatabaseSettings, RedisSettings),
    "gateway": (GatewaySettings, DatabaseSettings, RedisSettings, ArtifactSettings),
}
OTHER = {"WEBGUARD_CHROMIUM"}  # read by shared/skill/chromium.py


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def compose(env_file: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command: list[str | Path] = [BIN / "docker-compose", "--env-file", env_file, "-f", COMPOSE, "config", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compose") / ".env"
    make_env = module(DEPLOY / "compose" / "make_env.py")
    path.write_text(make_env.filled(make_env.EXAMPLE.read_text()))
    return path


@pytest.fixture(scope="module")
def parts(secrets: Path) -> dict[str, Any]:
    """The services of compose.yaml, as Compose itself reads them."""
    done = compose(secrets, "--format", "json")
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def ours(parts: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Name, service, environment of each part that runs from an image of ours."""
    for name, part in parts.items():
        if "build" in part:
            yield name, part["build"]["args"]["SERVICE"], part.get("environment", {})


def running(parts: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """Those of them that keep running."""
    return {name: (s, env) for name, s, env in ours(parts) if parts[name].get("restart") == "unless-stopped"}


def names_of(settings: type[BaseSettings]) -> set[str]:
    prefix = str(settings.model_config.get("env_prefix"))
    return {f"{prefix}{field.upper()}" for field in settings.model_fields}


def test_compose_asks_for_each_secret_that_is_missing() -> None:
    done = compose(DEPLOY / "compose" / ".env.example", "-q")
    assert done.returncode != 0
    for name in ("WEBGUARD_JWT_SECRET", "POSTGRES_PASSWORD", "WEBGUARD_NATS_PASSWORD_RECORDER"):
        assert name in done.stderr


def test_made_secrets_are_different_and_begin_with_a_letter(secrets: Path) -> None:
    """nats-server reads what looks like a number as one."""
    example = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "compose" / ".env.example").read_text(), re.MULTILINE))
    made = dict(re.findall(r"^(\w+)=(.*)$", secrets.read_text(), re.MULTILINE))
    secret = [made[name] for name, value in example.items() if not value]
    assert not {name for name, value in example.items() if value and re.search("PASSWORD|SECRET|KEY", name)}
    assert len({*secret}) == len(secret) > 10
    assert all(re.fullmatch(r"[a-z][0-9a-f]{40,}", value) for value in secret)


def test_every_service_runs_and_executors_once_a_kind(parts: dict[str, Any]) -> None:
    assert {service for service, _ in running(parts).values()} == set(SERVICES)
    kinds = [tuple(parts[name]["command"]) for name, (service, _) in running(parts).items() if service == "executors"]
    assert sorted(kinds) == [("--kind", "api"), ("--kind", "browser"), ("--kind", "data")]


def test_every_variable_is_a_setting_of_the_service_that_gets_it(parts: dict[str, Any]) -> None:
    for name, service, env in ours(parts):
        known = set().union(*(names_of(settings) for settings in SETTINGS[service])) | OTHER
        assert {key for key in env if key.startswith("WEBGUARD_")} <= known, name


def test_a_service_gets_what_webguard_up_gives_it(parts: dict[str, Any]) -> None:
    role = {"webguard_recorder": "a", "webguard_gateway": "b"}
    backends = Backends("n", dict.fromkeys(SERVICES, "p"), "d", role, "r", "p", {}, "j")
    s3 = names_of(ArtifactSettings)
    own = {"WEBGUARD_HTTP_HOST", "WEBGUARD_HTTP_PORT", "WEBGUARD_INSTANCE", "WEBGUARD_EGRESS_ALLOW_LOOPBACK"}
    for name, (service, env) in running(parts).items():
        up = {key for key in environment(service, service, 1, backends, {}) if key.startswith("WEBGUARD_")} - own
        up |= s3 if service in ("gateway", "executors") else set()
        here = {key for key in env if key.startswith("WEBGUARD_")} - OTHER - {"WEBGUARD_EGRESS_ALLOW_PRIVATE"}
        assert here == up, name


def test_no_service_has_the_password_of_another(parts: dict[str, Any]) -> None:
    for key in ("WEBGUARD_NATS_PASSWORD", "WEBGUARD_DATABASE_PASSWORD"):
        by_service: dict[str, set[str]] = {}
        for service, env in running(parts).values():
            if key in env:
                by_service.setdefault(service, set()).add(env[key])
        assert all(len(values) == 1 for values in by_service.values())
        assert len(set().union(*by_service.values())) == len(by_service)
    for name, _, env in ours(parts):
        assert (env.get("WEBGUARD_NATS_USER") == "admin") == (name == "provision")
        assert (env.get("WEBGUARD_DATABASE_USER") == "webguard_owner") == name.startswith("migrate-")


def test_only_the_gateway_is_published_and_on_loopback(parts: dict[str, Any]) -> None:
    published = {name: part["ports"] for name, part in parts.items() if part.get("ports")}
    assert list(published) == ["gateway"]
    assert [port["host_ip"] for port in published["gateway"]] == ["127.0.0.1"]


def test_what_runs_cases_cannot_reach_the_database(parts: dict[str, Any]) -> None:
    database = set(parts["postgres"]["networks"]) | set(parts["redis"]["networks"])
    for name, (service, _) in running(parts).items():
        if service not in ("recorder", "gateway"):
            assert not database & set(parts[name]["networks"]), name


def test_services_start_after_streams_and_tables_are_there(parts: dict[str, Any]) -> None:
    for name, (service, _) in running(parts).items():
        after = {dep for dep, how in parts[name]["depends_on"].items() if how["condition"].endswith("successfully")}
        assert "provision" in after, name
        if service in ("recorder", "gateway"):
            assert "migrate-gateway" in after, name


def test_services_run_without_privileges(parts: dict[str, Any]) -> None:
    for name in running(parts):
        assert parts[name]["cap_drop"] == ["ALL"], name
        assert parts[name]["read_only"] is True, name
        assert "no-new-privileges:true" in parts[name]["security_opt"], name


def test_the_image_is_in_order_and_knows_every_service() -> None:
    dockerfile = DEPLOY / "Dockerfile"
    done = subprocess.run([BIN / "hadolint", dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    text = dockerfile.read_text()
    for service in SERVICES:
        assert f"AS with-{service}\n" in text
        assert "--hash=sha256:" in (DEPLOY / "requirements" / f"{service}.txt").read_text()
    assert "\nUSER 10001\n" in text
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    paths = [path.replace("${SERVICE}", service) for path in copied for service in SERVICES]
    assert all((ROOT / path).exists() for path in paths)


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1)])
def test_the_images_health_check_is_what_readyz_says(status: int, exit_code: int) -> None:
    import http.server
    import threading

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = re.search(r"CMD (\[\"python\".*\])", (DEPLOY / "Dockerfile").read_text())
        assert found is not None
        _, *arguments = json.loads(found[1].replace("8080", str(server.server_port)))
        assert subprocess.run([sys.executable, *arguments], check=False).returncode == exit_code
        server.shutdown()


def test_the_users_of_nats_are_those_of_the_access_lists() -> None:
    render = module(DEPLOY / "nats" / "render.py")
    assert render.USERS.read_text() == render.render(), "run: python -m deploy.nats.render"
