"""One NATS connection a process: it never gives up, and a half-open one is noticed within seconds."""

import logging
from typing import Any

import nats
from nats.aio.client import Client

from shared.bus.access import inbox_prefix
from shared.settings import Settings

log = logging.getLogger(__name__)


def options(settings: Settings, name: str) -> dict[str, Any]:
    """Keyword arguments for nats.connect (and FastStream's NatsBroker), chosen in PITFALLS."""

    async def on_error(error: Exception) -> None:
        # A permission violation reaches only this callback; the publish itself just times out.
        log.warning("NATS reported an error", extra={"error": f"{type(error).__name__}: {error}"})

    async def on_disconnect() -> None:
        log.warning("NATS connection lost, reconnecting")

    async def on_reconnect() -> None:
        log.info("NATS connection is back")

    found: dict[str, Any] = {
        "servers": [url.strip() for url in settings.nats_url.split(",")],
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.5,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "allow_reconnect": True,
        "error_cb": on_error,
        "disconnected_cb": on_disconnect,
        "reconnected_cb": on_reconnect,
    }
    if settings.nats_user:
        found["inbox_prefix"] = inbox_prefix(settings.nats_user)
    return found


def credentials(settings: Settings) -> dict[str, Any]:
    if settings.nats_user and settings.nats_password:
        return {"user": settings.nats_user, "password": settings.nats_password.get_secret_value()}
    return {}


async def connect(settings: Settings, name: str) -> Client:
    """A plain connection, for commands and tests; services get theirs from `shared.service`."""
    return await nats.connect(**options(settings, name), **credentials(settings))
