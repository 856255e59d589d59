"""What each service gets from the launcher: only what it needs. Pure."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.bus.topology import KINDS
from shared.errors import Permanent

# The order in which they start; they stop in the reverse one.
SERVICES = ("recorder", "gateway", "dispatcher", "scheduler", "executors")
DATABASE_ROLES = {"recorder": "webguard_recorder", "gateway": "webguard_gateway"}
OWNER_ROLE = "webguard_owner"  # of the tables, for migrations; no superuser
MOST = 16
_SOURCE = Path(__file__).resolve().parents[2]  # where `python -m services.…` is found


class BadScale(Permanent, ValueError):
    """`--scale` cannot be followed; the text says what would do."""


@dataclass(frozen=True)
class Backends:
    """The servers that the services use, ours or given from outside."""

    nats_url: str
    nats_passwords: Mapping[str, str]  # by user; empty: one login for all, or none
    database_url: str
    database_passwords: Mapping[str, str]  # by role; empty: as above
    redis_url: str
    redis_password: str | None
    s3: Mapping[str, str]  # WEBGUARD_S3_… ; empty: JetStream Object Store
    jwt_secret: str
    local: bool = True


@dataclass(frozen=True)
class Process:
    """One service process to be run."""

    name: str
    service: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    port: int


# What a program needs of the user's environment. The rest (cloud keys, tokens) is none of a test's business.
_KEPT = (
    *("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
    ),
    "WEBGUARD_REPLICAS",
)
_KEPT_PREFIXES = ("LC_", "OTEL_")
# And what users set for cases and skills, or for one service.
_OWN_PREFIXES = {
    "executors": (
        *("WEBGUARD_SECRET_", "WEBGUARD_EGRESS_", "WEBGUARD_SKILLS_", "WEBGUARD_CHROMIUM", "PLAYWRIGHT_"),
        *("WEBGUARD_SLOTS", "WEBGUARD_SCRATCH_DIR", "WEBGUARD_STOP_SECONDS", "WEBGUARD_BLOCKED_SECONDS"),
        "WEBGUARD_CHILD_",
    ),
    "gateway": ("WEBGUARD_SKILLS_", "WEBGUARD_TOKEN_"),
}


def environment(service: str, name: str, port: int, backends: Backends, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of one service process; a service never sees the password of another.

    `WEBGUARD_<SERVICE>__<NAME>` in the user's environment is `WEBGUARD_<NAME>` for that service alone, and wins.
    """
    prefixes = (*_KEPT_PREFIXES, *_OWN_PREFIXES.get(service, ()))
    env = {key: value for key, value in outer.items() if key in _KEPT or key.startswith(prefixes)}
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_SOURCE), outer.get("PYTHONPATH")))),
        "WEBGUARD_NATS_URL": backends.nats_url,
        "WEBGUARD_HTTP_HOST": "127.0.0.1",
        "WEBGUARD_HTTP_PORT": str(port),
        "WEBGUARD_INSTANCE": name,
        "WEBGUARD_LOG_LEVEL": outer.get("WEBGUARD_LOG_LEVEL", "INFO"),
        **_login("NATS", service, backends.nats_passwords, outer),
    }
    if service in DATABASE_ROLES:
        env |= database_environment(DATABASE_ROLES[service], backends, outer)
        env["WEBGUARD_REDIS_URL"] = backends.redis_url
        if backends.redis_password:
            env["WEBGUARD_REDIS_PASSWORD"] = backends.redis_password
    if service in ("gateway", "executors"):
        env |= backends.s3
    if service == "gateway":
        env["WEBGUARD_JWT_SECRET"] = backends.jwt_secret
    if service == "executors" and backends.local:
        env.setdefault("WEBGUARD_EGRESS_ALLOW_LOOPBACK", "true")
    own = f"WEBGUARD_{service.upper()}__"
    env |= {f"WEBGUARD_{key.removeprefix(own)}": value for key, value in outer.items() if key.startswith(own)}
    return env


def database_environment(role: str, backends: Backends, outer: Mapping[str, str]) -> dict[str, str]:
    """How a role reaches the database."""
    login = _login("DATABASE", role, backends.database_passwords, outer)
    return {"WEBGUARD_DATABASE_URL": backends.database_url, **login}


def given_passwords(family: str, outer: Mapping[str, str]) -> dict[str, str]:
    """Passwords of a server from outside by user or role: WEBGUARD_NATS_PASSWORD_<USER>."""
    start = f"WEBGUARD_{family}_PASSWORD_"
    return {key.removeprefix(start).lower(): value for key, value in outer.items() if key.startswith(start)}


def _login(family: str, user: str, passwords: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    name, password = f"WEBGUARD_{family}_USER", f"WEBGUARD_{family}_PASSWORD"
    if passwords:
        return {name: user, password: passwords[user]} if user in passwords else {}
    return {key: outer[key] for key in (name, password) if key in outer}


def processes(
    scale: Mapping[str, int],
    ports: Mapping[str, int],
    backends: Backends,
    outer: Mapping[str, str],
    executor_env: Mapping[str, str] = {},
) -> list[Process]:
    """Every service process of a local platform.

    Args:
        scale: service → how many; one where it is not named.
        ports: process name → its HTTP port.
        executor_env: for executors alone: secrets of the tested systems, …
    """
    found = []
    for service in SERVICES:
        kinds = KINDS if service == "executors" else (None,)
        for kind in kinds:
            for number in range(1, scale.get(service, 1) + 1):
                name = "-".join(part for part in (service, kind, str(number) if number > 1 else None) if part)
                # -P: a folder named `shared` where the user happens to stand is not ours.
                command = (sys.executable, "-P", "-m", f"services.{service}", *(("--kind", kind) if kind else ()))
                env = environment(service, name, ports.get(name, 0), backends, outer)
                if service == "executors":
                    env |= executor_env
                found.append(Process(name, service, command, env, ports.get(name, 0)))
    return found


def process_names(scale: Mapping[str, int]) -> list[str]:
    nothing = Backends("", {}, "", {}, "", None, {}, "")
    return [process.name for process in processes(scale, {}, nothing, {})]


def parse_scale(text: str) -> dict[str, int]:
    """`scheduler=2,dispatcher=2` as numbers.

    Raises:
        BadScale: not of this form, or no such service.
    """
    scale = {}
    several = [service for service in SERVICES if service != "gateway"]  # it has the one port that people use
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        if name not in several or not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= MOST:
            raise BadScale(f"--scale: {part!r}: write SERVICE=NUMBER with one of {', '.join(several)} and 1 to {MOST}")
        scale[name] = int(number)
    return scale
