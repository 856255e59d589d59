"""What each service gets from the launcher: only what it needs. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.bus.topology import KINDS

# The order in which they start; they stop in the reverse one.
SERVICES = ("recorder", "gateway", "dispatcher", "scheduler", "executors")
DATABASE_ROLES = {"recorder": "webguard_recorder", "gateway": "webguard_gateway"}


@dataclass(frozen=True)
class Backends:
    """The servers that the services use, ours or given from outside."""

    nats_url: str
    nats_passwords: Mapping[str, str]  # by user; empty: without users
    database_url: str
    database_passwords: Mapping[str, str]  # by role
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
    arguments: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    port: int


# What a program needs of the user's environment, and what users set for cases and skills.
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "PYTHONPATH",
)
_EXECUTOR_PREFIXES = ("WEBGUARD_SECRET_", "WEBGUARD_EGRESS_", "WEBGUARD_SKILLS_", "WEBGUARD_CHROMIUM", "PLAYWRIGHT_")


def environment(service: str, name: str, port: int, backends: Backends, outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of one service process; a service never sees the password of another."""
    env = {key: outer[key] for key in _KEPT if key in outer}
    env |= {
        "WEBGUARD_NATS_URL": backends.nats_url,
        "WEBGUARD_HTTP_HOST": "127.0.0.1",
        "WEBGUARD_HTTP_PORT": str(port),
        "WEBGUARD_INSTANCE": name,
        "WEBGUARD_LOG_LEVEL": outer.get("WEBGUARD_LOG_LEVEL", "INFO"),
    }
    if service in backends.nats_passwords:
        env |= {"WEBGUARD_NATS_USER": service, "WEBGUARD_NATS_PASSWORD": backends.nats_passwords[service]}
    if service in DATABASE_ROLES:
        env |= database_environment(DATABASE_ROLES[service], backends)
        env["WEBGUARD_REDIS_URL"] = backends.redis_url
        if backends.redis_password:
            env["WEBGUARD_REDIS_PASSWORD"] = backends.redis_password
    if service in ("gateway", "executors"):
        env |= backends.s3
    if service == "gateway":
        env["WEBGUARD_JWT_SECRET"] = backends.jwt_secret
    if service == "executors":
        env |= {key: value for key, value in outer.items() if key.startswith(_EXECUTOR_PREFIXES)}
        if backends.local:
            env.setdefault("WEBGUARD_EGRESS_ALLOW_LOOPBACK", "true")
    return env


def database_environment(role: str, backends: Backends) -> dict[str, str]:
    env = {"WEBGUARD_DATABASE_URL": backends.database_url}
    if role in backends.database_passwords:
        env |= {"WEBGUARD_DATABASE_USER": role, "WEBGUARD_DATABASE_PASSWORD": backends.database_passwords[role]}
    return env


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
                arguments = ("--kind", kind) if kind else ()
                env = environment(service, name, ports.get(name, 0), backends, outer)
                if service == "executors":
                    env |= executor_env
                found.append(Process(name, service, arguments, env, ports.get(name, 0)))
    return found


def process_names(scale: Mapping[str, int]) -> list[str]:
    nothing = Backends("", {}, "", {}, "", None, {}, "")
    return [process.name for process in processes(scale, {}, nothing, {})]


def parse_scale(text: str) -> dict[str, int]:
    """`scheduler=2,dispatcher=2` as numbers.

    Raises:
        ValueError: not of this form, or no such service.
    """
    scale = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in SERVICES or not number.isdigit() or not 1 <= int(number) <= 16:
            raise ValueError(f"{part!r}: write SERVICE=NUMBER with one of {', '.join(SERVICES)} and 1 to 16")
        scale[name] = int(number)
    return scale


def write_private(path: Path, document: Mapping[str, Any]) -> None:
    """JSON in a file that only its owner may read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(document, indent=2) + "\n")
