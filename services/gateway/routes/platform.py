"""The platform itself: skills, live services, queues."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from services.gateway.deps import CallerDep, PartsDep
from services.gateway.models import PlatformStatus, ServiceStatus, Skill
from services.gateway.problems import ProblemError
from shared.bus.topology import DEAD, EVENTS, KINDS, PING_SUBJECT, PRIORITY_CLASSES, task_consumer

router = APIRouter(tags=["platform"])
PING_SECONDS = 0.3


@router.get("/skills")
async def list_skills(who: CallerDep, use: PartsDep) -> list[Skill]:
    """Every skill that an executor has offered."""
    return [_skill(row) for row in await use.database.rows(who.tenant, "skills", None)]


@router.get("/skills/{name}")
async def get_skill(name: str, who: CallerDep, use: PartsDep) -> Skill:
    """A skill with the JSON Schema of its params."""
    row = await use.database.row(who.tenant, "skills", name)
    if row is None:
        raise ProblemError(404, f"no executor offers a skill {name!r}")
    return _skill(row)


@router.get("/status")
async def status(who: CallerDep, use: PartsDep) -> PlatformStatus:
    """Who is there and how much waits."""
    nc = use.app.nc
    consumers = [task_consumer(kind, priority) for kind in KINDS for priority in PRIORITY_CLASSES]
    services, events, dead, *infos = await asyncio.gather(
        ping(nc),
        _info(nc, f"STREAM.INFO.{EVENTS.name}"),
        _info(nc, f"STREAM.INFO.{DEAD.name}"),
        *[_info(nc, f"CONSUMER.INFO.{c.stream}.{c.name}") for c in consumers],
    )
    recorded = await use.database.row(who.tenant, "position")
    return PlatformStatus(
        services=services,
        queues={c.name: int(info.get("num_pending", 0)) for c, info in zip(consumers, infos, strict=True)},
        running=sum(int(info.get("num_ack_pending", 0)) for info in infos),
        recorder_lag=max(0, int(events["state"]["last_seq"]) - (recorded["sequence"] if recorded else 0)),
        dead_letters=int(dead["state"]["messages"]),
    )


async def ping(nc: Client) -> list[ServiceStatus]:
    """Every service that answers in a moment."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    found: list[ServiceStatus] = []
    try:
        await nc.publish(PING_SUBJECT, b"", inbox)
        loop = asyncio.get_running_loop()
        until = loop.time() + PING_SECONDS
        while (left := until - loop.time()) > 0:
            about: dict[str, Any] = json.loads((await subscription.next_msg(timeout=left)).data)
            known = {key: about.pop(key) for key in ("service", "instance", "version", "uptime_seconds")}
            found.append(ServiceStatus(**known, details=about))
    except (NatsTimeoutError, TimeoutError):
        pass
    finally:
        await subscription.unsubscribe()
    return sorted(found, key=lambda item: (item.service, item.instance))


async def _info(nc: Client, what: str) -> dict[str, Any]:
    reply = await nc.request(f"$JS.API.{what}", b"", timeout=5)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


def _skill(row: Any) -> Skill:
    return Skill(
        name=row["name"],
        kind=row["category"],
        description=row["description"],
        version=row["version"],
        timeout_seconds=row["timeout_seconds"],
        params_schema=row["params_schema"],
        documentation=row["documentation"],
        offered_at=row["offered_at"],
    )
