"""Makes the server's streams, buckets and consumers look like the topology: `python -m shared.bus.provision`.

Runs before the services, as often as one likes: it says what it made, what it changed, and leaves the rest alone.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client

from shared.bus import topology as t
from shared.bus.connection import connect
from shared.errors import WebGuardError
from shared.settings import Settings


class ProvisionError(WebGuardError):
    """The server refused a stream or consumer."""


def bucket_configs() -> list[dict[str, Any]]:
    """The streams behind the KV and object-store buckets, as nats-py and the other clients make them."""
    common = {
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }
    return [
        {
            **common,
            "name": f"KV_{t.SUITES_BUCKET}",
            "subjects": [f"$KV.{t.SUITES_BUCKET}.>"],
            "max_msgs_per_subject": 64,
            "deny_delete": True,
            "max_bytes": -1,
        },
        {
            **common,
            "name": f"OBJ_{t.ARTIFACTS_BUCKET}",
            "subjects": [f"$O.{t.ARTIFACTS_BUCKET}.C.>", f"$O.{t.ARTIFACTS_BUCKET}.M.>"],
            "max_age": 30 * 24 * 3600 * 1_000_000_000,
            "max_bytes": -1,
        },
    ]


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Setting → (found, wanted) where they differ. Settings that the topology does not name are not compared."""
    return {
        key: (found.get(key), value)
        for key, value in wanted.items()
        if found.get(key) != value and not (value in (False, -1, 0) and key not in found)
    }


async def provision(nc: Client, replicas: int = 1) -> list[str]:
    """Declare and migrate everything.

    Returns:
        A line for each thing made or changed; empty when the server already looked like the topology.

    Raises:
        ProvisionError: the server refused; the text has its reason.
    """
    said = []
    for config in [*(dict(stream.config) for stream in t.STREAMS), *bucket_configs()]:
        config["num_replicas"] = replicas
        said += await _declare(nc, f"stream {config['name']}", "STREAM", str(config["name"]), config)
    for consumer in t.CONSUMERS:
        said += await _declare_consumer(nc, consumer)
    return said


async def _declare(nc: Client, what: str, area: str, name: str, config: Mapping[str, Any]) -> list[str]:
    info = await _call(nc, f"$JS.API.{area}.INFO.{name}", None)
    if "error" in info:
        await _must(nc, what, f"$JS.API.{area}.CREATE.{name}", config)
        return [f"made {what}"]
    changes = differences(config, info["config"])
    if not changes:
        return []
    await _must(nc, what, f"$JS.API.{area}.UPDATE.{name}", {**info["config"], **config})
    return [f"changed {what}: " + ", ".join(f"{key} {old} → {new}" for key, (old, new) in changes.items())]


async def _declare_consumer(nc: Client, consumer: t.Consumer) -> list[str]:
    what = f"consumer {consumer.stream}/{consumer.name}"
    info = await _call(nc, f"$JS.API.CONSUMER.INFO.{consumer.stream}.{consumer.name}", None)
    changes = differences(consumer.config, info["config"]) if "error" not in info else {}
    if "error" not in info and not changes:
        return []
    request = {"stream_name": consumer.stream, "config": consumer.config, "action": ""}
    await _must(nc, what, f"$JS.API.CONSUMER.CREATE.{consumer.stream}.{consumer.name}.{consumer.subject}", request)
    return [f"changed {what}: {', '.join(changes)}" if changes else f"made {what}"]


async def _must(nc: Client, what: str, subject: str, body: Mapping[str, Any]) -> None:
    answer = await _call(nc, subject, body)
    if "error" in answer:
        raise ProvisionError(f"{what}: the server says {answer['error'].get('description')!r}")


async def _call(nc: Client, subject: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    reply = await nc.request(subject, json.dumps(body).encode() if body is not None else b"", timeout=10)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def main() -> int:
    settings = Settings()
    nc = await connect(settings, "provision")
    try:
        for line in await provision(nc, settings.replicas):
            print(line)
    except ProvisionError as error:
        print(f"provision: {error}", file=sys.stderr)
        return 3
    finally:
        await nc.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
