"""`python -m services.executors --kind browser|api|data`: runs cases of one kind."""

import argparse
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from services.executors.run import Runner
from services.executors.sandbox import Sandbox
from services.executors.service import Executor
from services.executors.settings import KINDS, ExecutorSettings, look_up_secret
from shared.artifacts import open_store
from shared.bus.publish import record
from shared.bus.topology import PRIORITY_CLASSES, task_consumer
from shared.bus.work import WorkQueue
from shared.events import SYSTEM_TENANT, Kind, SkillOffered
from shared.service import App, run
from shared.settings import ArtifactSettings, SkillSettings
from shared.skill.discovery import Found, Skill, discover
from shared.skill.egress import Egress, EgressSettings, Rules
from shared.skill.tools import ToolBox

log = logging.getLogger(__name__)


def offer_of(skill: Skill, now: datetime) -> SkillOffered:
    """What an executor says of a skill that it has."""
    manifest = skill.manifest
    return SkillOffered(
        tenant=SYSTEM_TENANT,
        name=skill.name,
        kind=manifest.metadata.kind,
        description=manifest.description,
        version=manifest.metadata.version,
        params_schema=skill.schema,
        digest=skill.digest,
        offered_at=now,
        timeout_seconds=manifest.metadata.timeout,
        documentation=manifest.documentation,
    )


async def offer(app: App, found: Found) -> None:
    for name, fault in found.broken.items():
        log.error("skill folder is broken, its cases will end in error", extra={"skill": name, "fault": fault})
    for skill in found.skills.values():
        await app.publisher.publish(record(offer_of(skill, datetime.now(UTC)), app.source))


@asynccontextmanager
async def browser_opener(kind: Kind) -> AsyncIterator[Callable[..., Awaitable[Any]] | None]:
    if kind != "browser":
        yield None
        return
    from services.executors.browser.pool import BrowserPool  # Playwright is only loaded where it is used

    pool = BrowserPool()
    try:
        yield pool.open_context
    finally:
        await pool.close()


@asynccontextmanager
async def start(app: App, kind: Kind, settings: ExecutorSettings) -> AsyncIterator[None]:
    found = discover(SkillSettings().skills_path, kind=kind)
    slots = settings.slots_for(kind)
    sandbox = Sandbox(settings.child_max_cases, settings.child_max_mb)
    store = open_store(ArtifactSettings(), app.nc)
    queue = WorkQueue(app.nc, [task_consumer(kind, priority) for priority in PRIORITY_CLASSES])
    async with browser_opener(kind) as opener:
        toolbox = ToolBox(Egress(Rules.of(EgressSettings())), opener)
        runner = Runner(found, toolbox.tools, sandbox, store, look_up_secret, app.instance, settings.scratch_dir)
        executor = Executor(app, queue, runner, slots, settings.stop_seconds)
        app.facts = lambda: {"kind": kind, "slots": slots, "busy": executor.busy, "skills": sorted(found.skills)}
        app.metrics.slots.labels(kind).set(slots)
        app.metrics.active.set_function(lambda: executor.busy)

        async def queue_works() -> str | None:
            return queue.broken

        app.checks["tasks"] = queue_works
        await app.nc.subscribe("wg.*.signal.stop.*", cb=executor.on_stop_signal)
        await offer(app, found)
        app.spawn(executor.tend(), "tend")
        executor.watch(settings.blocked_seconds)
        main = app.spawn(executor.run(), "execute")
        yield
        await executor.stop()
        await main
        await sandbox.close()
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.executors", description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="the kind of cases to run")
    kind: Kind = parser.parse_args().kind
    settings = ExecutorSettings()
    run("executors", settings, partial(start, kind=kind, settings=settings))


if __name__ == "__main__":
    main()
