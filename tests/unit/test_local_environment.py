"""What the launcher gives each service, without starting one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webguard.local.environment import (
    SERVICES,
    Backends,
    BadScale,
    database_environment,
    environment,
    given_passwords,
    parse_scale,
    process_names,
    processes,
)
from webguard.local.supervisor import FIRST_BACKOFF, MOST_BACKOFF, STEADY_SECONDS, next_backoff

OURS = Backends(
    nats_url="nats://127.0.0.1:4222",
    nats_passwords={name: f"nats-of-{name}" for name in ("admin", *SERVICES)},
    database_url="postgresql://127.0.0.1/webguard",
    database_passwords={role: f"db-of-{role}" for role in ("webguard_owner", "webguard_recorder", "webguard_gateway")},
    redis_url="redis://127.0.0.1:6379/0",
    redis_password="redis-pw",
    s3={"WEBGUARD_S3_URL": "http://127.0.0.1:8333", "WEBGUARD_S3_SECRET_KEY": "s3-pw"},
    jwt_secret="jwt-pw",
)
SECRETS = {*OURS.nats_passwords.values(), *OURS.database_passwords.values(), "redis-pw", "s3-pw", "jwt-pw"}
MAY_HAVE = {
    "scheduler": {"nats-of-scheduler"},
    "dispatcher": {"nats-of-dispatcher"},
    "executors": {"nats-of-executors", "s3-pw"},
    "recorder": {"nats-of-recorder", "db-of-webguard_recorder", "redis-pw"},
    "gateway": {"nats-of-gateway", "db-of-webguard_gateway", "redis-pw", "s3-pw", "jwt-pw"},
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_its_own_secrets_and_no_others(service: str) -> None:
    env = environment(service, service, 1, OURS, {})
    assert SECRETS & set(env.values()) == MAY_HAVE[service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_users_own_secrets_stay_with_the_user(service: str) -> None:
    outer = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "mine", "WEBGUARD_API_KEY": "mine", "GITHUB_TOKEN": "mine"}
    assert "mine" not in environment(service, service, 1, OURS, outer).values()


@pytest.mark.parametrize("service", SERVICES)
def test_settings_for_every_service_reach_it_and_unknown_ones_do_not(service: str) -> None:
    outer = {"WEBGUARD_REPLICAS": "3", "LC_ALL": "C.UTF-8", "W": "no", "WEBGUARD_URL": "no"}
    env = environment(service, service, 1, OURS, outer)
    assert (env["WEBGUARD_REPLICAS"], env["LC_ALL"]) == ("3", "C.UTF-8")
    assert "no" not in env.values()


def test_secrets_of_cases_go_to_executors_alone() -> None:
    outer = {"WEBGUARD_SECRET_SHOP": "of-a-case"}
    having = [s for s in SERVICES if "of-a-case" in environment(s, s, 1, OURS, outer).values()]
    assert having == ["executors"]


def test_what_the_launcher_hands_to_executors_reaches_them_alone() -> None:
    made = processes({}, {}, OURS, {}, {"WEBGUARD_SECRET_SHOP": "of-the-demo"})
    assert {p.service for p in made if "of-the-demo" in p.env.values()} == {"executors"}


def test_cases_of_a_local_platform_may_reach_this_machine_unless_the_user_forbids_it() -> None:
    name = "WEBGUARD_EGRESS_ALLOW_LOOPBACK"
    assert environment("executors", "e", 1, OURS, {})[name] == "true"
    assert environment("executors", "e", 1, OURS, {name: "false"})[name] == "false"


def test_a_setting_for_one_service_wins_there_and_is_unknown_elsewhere() -> None:
    outer = {"WEBGUARD_LOG_LEVEL": "INFO", "WEBGUARD_RECORDER__LOG_LEVEL": "DEBUG"}
    levels = {s: environment(s, s, 1, OURS, outer)["WEBGUARD_LOG_LEVEL"] for s in SERVICES}
    assert levels == {**dict.fromkeys(SERVICES, "INFO"), "recorder": "DEBUG"}


def test_a_given_server_is_entered_by_user_or_by_one_login_for_all() -> None:
    by_user = {"WEBGUARD_NATS_PASSWORD_RECORDER": "r", "WEBGUARD_DATABASE_PASSWORD_WEBGUARD_OWNER": "o"}
    given = Backends(
        "nats://n", given_passwords("NATS", by_user), "postgresql://d", given_passwords("DATABASE", by_user),
        "redis://r", None, {}, "jwt",
    )  # fmt: skip
    assert environment("recorder", "r", 1, given, by_user)["WEBGUARD_NATS_PASSWORD"] == "r"
    assert "WEBGUARD_NATS_PASSWORD" not in environment("scheduler", "s", 1, given, by_user)
    assert database_environment("webguard_owner", given, by_user)["WEBGUARD_DATABASE_PASSWORD"] == "o"
    one = {"WEBGUARD_NATS_USER": "all", "WEBGUARD_NATS_PASSWORD": "pw"}
    shared = Backends("nats://n", {}, "postgresql://d", {}, "redis://r", None, {}, "jwt")
    assert environment("scheduler", "s", 1, shared, one)["WEBGUARD_NATS_USER"] == "all"


def test_executors_run_once_a_kind_and_scaling_counts_names_up() -> None:
    names = process_names({"scheduler": 2})
    assert [n for n in names if n.startswith("executors")] == ["executors-browser", "executors-api", "executors-data"]
    assert [n for n in names if n.startswith("scheduler")] == ["scheduler", "scheduler-2"]


def test_every_process_has_its_own_name_and_port() -> None:
    names = process_names({"executors": 3, "recorder": 2})
    ports = {name: 10_000 + n for n, name in enumerate(names)}
    made = processes({"executors": 3, "recorder": 2}, ports, OURS, {})
    assert [p.name for p in made] == names
    assert len({*names}) == len(names) == len({p.port for p in made})
    assert all(p.env["WEBGUARD_HTTP_PORT"] == str(p.port) for p in made)


@given(st.dictionaries(st.sampled_from([s for s in SERVICES if s != "gateway"]), st.integers(1, 16)))
def test_a_scale_is_read_as_it_was_written(scale: dict[str, int]) -> None:
    assert parse_scale(",".join(f"{name}={count}" for name, count in scale.items())) == scale


@pytest.mark.parametrize(
    "text", ["scheduler", "scheduler=0", "scheduler=x", "cook=2", "gateway=2", "=", "scheduler=99", "scheduler=²"]
)
def test_a_wrong_scale_is_refused_with_the_part_that_is_wrong(text: str) -> None:
    with pytest.raises(BadScale, match="--scale"):
        parse_scale(f"recorder=1,{text}")


@given(st.lists(st.floats(0, STEADY_SECONDS - 0.1), min_size=1, max_size=20))
def test_the_wait_doubles_up_to_its_limit_while_a_service_keeps_ending(lives: list[float]) -> None:
    backoff: float | None = None
    for n, lived in enumerate(lives):
        backoff = next_backoff(backoff, lived)
        assert backoff == min(FIRST_BACKOFF * 2**n, MOST_BACKOFF)


def test_a_service_that_lived_long_is_started_again_at_once() -> None:
    assert next_backoff(MOST_BACKOFF, STEADY_SECONDS) == FIRST_BACKOFF
