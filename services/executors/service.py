"""The executor's loop: room first, then tasks; results on disk before a task is acked."""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from nats.aio.msg import Msg

from services.executors.run import Runner, lost_result
from shared.bus.consume import HEARTBEAT_SECONDS
from shared.bus.delivery import Delivery
from shared.bus.lookup import Stop, finished_cases, stop_of
from shared.bus.work import WorkQueue
from shared.errors import Permanent, PublishFailed, Unavailable
from shared.events import CaseAttempt, CaseStarted, Task, decode
from shared.service import App
from shared.skill.runner import GRACE_SECONDS, Stopper

log = logging.getLogger(__name__)

MAX_DELIVERIES = 3
# A case that has run for so long is announced; a shorter one says it all when it ends.
ANNOUNCE_SECONDS = 0.2
TICK_SECONDS = 0.1
# After soft timeout, grace and this a case in our own loop is left behind, and the process with it.
ABANDON_SECONDS = GRACE_SECONDS + 5
# A task that waited for so long may belong to an execution that was stopped meanwhile.
STALE_SECONDS = 10.0
EXIT_TAINTED = 75
EXIT_BLOCKED = 70


@dataclass(eq=False)
class Running:
    """A case that runs now."""

    delivery: Delivery
    task: Task
    attempt: CaseAttempt
    since: float
    stopper: Stopper = field(default_factory=Stopper)
    announced: bool = False
    abandoned: bool = False


class Executor:
    """Runs tasks of one kind. Stateless: killed at any point, its tasks come back to another."""

    def __init__(self, app: App, queue: WorkQueue, runner: Runner, slots: int, stop_seconds: float) -> None:
        self._app = app
        self._queue = queue
        self._runner = runner
        self._slots = slots
        self._stop_seconds = stop_seconds
        self._freed = asyncio.Event()
        self._busy = 0
        self._typical = 1.0  # cases in a task, as of late
        self._running: set[Running] = set()
        self._deliveries: dict[Delivery, UUID | None] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._stops: OrderedDict[UUID, Stop] = OrderedDict()
        self._stopping = False
        self._beat = time.monotonic()

    @property
    def busy(self) -> int:
        return self._busy

    async def run(self) -> None:
        """Take and run tasks until `stop`."""
        await self._queue.start()
        while not self._stopping:
            self._freed.clear()
            free = self._slots - self._busy
            if free <= 0:
                await self._freed.wait()
            elif not self._stopping:
                for delivery in await self._queue.take(max(1, int(free / self._typical))):
                    self._deliveries[delivery] = None
                    handler = asyncio.create_task(self._handle(delivery))
                    self._handlers.add(handler)
                    handler.add_done_callback(self._handlers.discard)
                await asyncio.sleep(0)  # handlers take their slots before we count again

    async def stop(self) -> None:
        """Take nothing more; give what runs a while to end, and the rest back to others."""
        self._stopping = True
        self._freed.set()
        await self._queue.stop()
        if self._handlers:
            await asyncio.wait(list(self._handlers), timeout=self._stop_seconds)
        for handler in list(self._handlers):
            handler.cancel()
        if self._handlers:
            _, stuck = await asyncio.wait(list(self._handlers), timeout=GRACE_SECONDS + 2)
            if stuck:
                # A case that ignores its cancellation would hold up the end of the process for ever.
                log.critical("cases ignore their end, leaving with them", extra={"tasks": len(stuck)})
                os._exit(EXIT_TAINTED)

    async def on_stop_signal(self, msg: Msg) -> None:
        """An execution was told to stop: end its cases now."""
        try:
            execution_id = UUID(msg.subject.rsplit(".", 1)[-1])
            body = msgspec.json.decode(msg.data, type=dict[str, str | None])
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("stop signal cannot be read", extra={"error": str(error)})
            return
        self._apply(execution_id, Stop(body.get("reason"), body.get("message")))

    async def tend(self) -> None:
        """For ever: announce cases that last, keep heartbeats going, leave behind what does not end."""
        last_heartbeat = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._beat = time.monotonic()
            for case in list(self._running):
                if not case.announced and now - case.since > ANNOUNCE_SECONDS:
                    case.announced = True
                    self._announce(case)
                if not case.abandoned and now - case.since > case.attempt.timeout_seconds + ABANDON_SECONDS:
                    in_process = self._runner.found.skills.get(case.attempt.skill)
                    if in_process is None or in_process.manifest.metadata.isolation != "process":
                        case.abandoned = True
                        await self._abandon(case)
            if now - last_heartbeat > HEARTBEAT_SECONDS:
                last_heartbeat = now
                await self._heartbeat()

    def watch(self, blocked_seconds: float) -> None:
        """Start a thread that ends the process when its loop is blocked while cases run: they come back."""

        def watch() -> None:
            while not self._stopping:
                time.sleep(1)
                silent = time.monotonic() - self._beat
                if silent > blocked_seconds and self._running:
                    cases = [f"{case.task.execution_id}/{case.attempt.case}" for case in list(self._running)][:20]
                    log.critical("the event loop is blocked, ending this process", extra={"cases": cases})
                    faulthandler.dump_traceback(sys.stderr)
                    os._exit(EXIT_BLOCKED)

        threading.Thread(target=watch, name="watchdog", daemon=True).start()

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._work(delivery)
        except asyncio.CancelledError:
            await delivery.nak()  # stopping: another executor takes it at once
        except Permanent as error:
            await self._app.dead.bury(delivery, str(error))
        except (PublishFailed, Unavailable) as error:
            log.error("task not finished, it will come back", extra={"error": str(error)})
            await delivery.nak(1)
        finally:
            self._deliveries.pop(delivery, None)

    async def _work(self, delivery: Delivery) -> None:
        task = decode(delivery.data, Task, tenant=delivery.tenant)
        self._deliveries[delivery] = task.execution_id
        attempts: Sequence[CaseAttempt] = task.attempts
        self._typical += (len(attempts) - self._typical) / 8
        if delivery.epoch > 1:
            done = await finished_cases(self._app.nc, task.tenant, task.execution_id)
            attempts = [a for a in attempts if (a.case, a.attempt) not in done]
        if delivery.epoch > MAX_DELIVERIES:
            now = datetime.now(UTC)
            lost = [lost_result(task, a, delivery.epoch, self._app.instance, now) for a in attempts]
            await self._app.events.publish(*lost)
        else:
            if delivery.epoch > 1 or time.time() - delivery.stored_at > STALE_SECONDS:
                self._apply(task.execution_id, await stop_of(self._app.nc, task.tenant, task.execution_id))
            if len(attempts) == 1:
                await self._run(delivery, task, attempts[0])
            elif attempts:
                await asyncio.gather(*[self._run(delivery, task, attempt) for attempt in attempts])
        await delivery.ack()

    async def _run(self, delivery: Delivery, task: Task, attempt: CaseAttempt) -> None:
        self._busy += 1
        case = Running(delivery, task, attempt, time.monotonic())
        self._running.add(case)
        try:
            stop = self._stops.get(task.execution_id)
            if stop is not None:
                _tell(case.stopper, stop)
            result = await self._runner.run(task, attempt, delivery.epoch, case.stopper)
        finally:
            self._running.discard(case)
            self._busy -= 1
            self._freed.set()
        self._app.metrics.cases.labels(task.kind, result.status).inc()
        await self._app.events.submit(result)

    def _announce(self, case: Running) -> None:
        started = CaseStarted(
            tenant=case.task.tenant,
            execution_id=case.task.execution_id,
            case=case.attempt.case,
            attempt=case.attempt.attempt,
            epoch=case.delivery.epoch,
            executor=self._app.instance,
            started_at=datetime.now(UTC),
        )
        # Nobody waits for it: a lost announcement is only a late one.
        self._app.events.submit(started).add_done_callback(lambda future: future.exception())

    async def _abandon(self, case: Running) -> None:
        """A case in our own loop ignores its timeout: say so, finish the others, and end this process."""
        log.error("a case ignores its timeout, leaving it behind", extra={"case": case.attempt.case})
        now = datetime.now(UTC)
        text = f"not ended {ABANDON_SECONDS:g} s after its timeout of {case.attempt.timeout_seconds:g} s"
        result = lost_result(case.task, case.attempt, case.delivery.epoch, self._app.instance, now)
        timed_out = msgspec.structs.replace(result, status="timeout", error_type="timeout", error_message=text)
        self._app.events.submit(timed_out).add_done_callback(lambda future: future.exception())
        self._stopping = True
        self._freed.set()
        self._app.stop(EXIT_TAINTED)

    async def _heartbeat(self) -> None:
        for delivery in [*self._deliveries, *self._queue.waiting()]:
            await delivery.in_progress()
        executions = {(case.task.tenant, case.task.execution_id) for case in self._running}
        for tenant, execution_id in executions:
            try:
                self._apply(execution_id, await stop_of(self._app.nc, tenant, execution_id))
            except Unavailable as error:
                log.warning("cannot look whether an execution was stopped", extra={"error": str(error)})

    def _apply(self, execution_id: UUID, stop: Stop) -> None:
        if stop.stop is None:
            return
        self._stops[execution_id] = stop
        while len(self._stops) > 1_000:
            self._stops.popitem(last=False)
        for case in self._running:
            if case.task.execution_id == execution_id:
                _tell(case.stopper, stop)


def _tell(stopper: Stopper, stop: Stop) -> None:
    stopper.stop("timeout" if stop.stop == "timeout" else "cancelled", stop.stop_message or "stopped")
