"""Dispatchers on a real nats-server: several at once, and one whose words do not get through."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from nats.aio.client import Client

from services.dispatcher.service import Dispatcher
from shared.bus import lookup
from shared.bus.consume import BatchConsumer
from shared.bus.dead import DeadLetters
from shared.bus.publish import BatchPublisher, Publisher, Record
from shared.bus.topology import (
    EVENTS,
    EVENTS_DISPATCHER,
    LEDGER,
    LEDGER_DISPATCHER,
    PRIORITY_CLASSES,
    REQUESTS_DISPATCHER,
    SUITES_BUCKET,
    task_consumer,
)
from shared.bus.work import WorkQueue
from shared.errors import PublishFailed
from shared.events import (
    CaseFinished,
    ExecuteRequest,
    ExecutionFinished,
    Message,
    SuiteSaved,
    Task,
    decode,
    encode,
)
from shared.events.ids import execution_id, suite_id
from shared.telemetry.metrics import Metrics

TENANT = "t1"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Parts:
    """What a dispatcher needs of its App, on a connection of the test."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.publisher = Publisher(nc)
        self.events = BatchPublisher(self.publisher, "webguard/dispatcher")
        self.dead = DeadLetters(self.publisher, "dispatcher")
        self.metrics = Metrics()


class FailsOnce(BatchPublisher):
    """The real publisher, but its first words do not get through."""

    failed = False

    async def publish(self, *messages: Message) -> None:
        if not self.failed:
            self.failed = True
            raise PublishFailed("no answer")
        await super().publish(*messages)


async def save(nc: Client, name: str, cases: list[dict[str, Any]], **more: Any) -> None:
    saved = SuiteSaved(
        tenant=TENANT,
        suite=name,
        suite_id=suite_id(TENANT, name),
        revision=1,
        definition={"suite": name, "cases": [{"skill": "noop", "kind": "api", **c} for c in cases], **more},
        created_at=NOW,
        saved_at=NOW,
    )
    await Publisher(nc).publish(Record(f"$KV.{SUITES_BUCKET}.{TENANT}.{name}", encode(saved)))


async def ask(nc: Client, suite: str, key: str) -> UUID:
    request = ExecuteRequest(tenant=TENANT, suite=suite, idempotency_key=key)
    await Publisher(nc).publish(Record(request.subject, encode(request)))
    return execution_id(TENANT, key)


@asynccontextmanager
async def dispatching(nc: Client, parts: Parts) -> AsyncIterator[BatchConsumer]:
    dispatcher = Dispatcher(parts)  # type: ignore[arg-type]
    consumers = [EVENTS_DISPATCHER, LEDGER_DISPATCHER, REQUESTS_DISPATCHER]
    consumer = BatchConsumer(nc, consumers, dispatcher.handle, parts.dead, max_batch=20)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await asyncio.wait_for(task, 10)


async def execute(nc: Client, ran: Counter[tuple[UUID, str, int]], seed: int) -> None:
    """An executor that says of each case what the dice say, after a moment; every tenth word is said twice."""
    dice = random.Random(seed)
    queue = WorkQueue(nc, [task_consumer("api", priority) for priority in PRIORITY_CLASSES])
    events = BatchPublisher(Publisher(nc), "webguard/executors")
    await queue.start()
    while True:
        for delivery in await queue.take(10):
            task = decode(delivery.data, Task)
            for attempt in task.attempts:
                ran[task.execution_id, attempt.case, attempt.attempt] += 1
                result = CaseFinished(
                    tenant=TENANT,
                    execution_id=task.execution_id,
                    suite=task.suite,
                    executed_at=task.executed_at,
                    case=attempt.case,
                    skill=attempt.skill,
                    kind="api",
                    attempt=attempt.attempt,
                    status="failed" if dice.random() < 0.2 else "passed",
                    started_at=NOW,
                    finished_at=NOW,
                )
                await events.publish(result)
                if dice.random() < 0.1:
                    await events.publish(msgspec.structs.replace(result, epoch=2, status="error"))
            await delivery.ack()


async def finished(nc: Client, ids: list[UUID]) -> dict[UUID, ExecutionFinished]:
    async with asyncio.timeout(60):
        while True:
            found = {}
            for identity in ids:
                subject = f"wg.{TENANT}.event.execution.finished.{identity}"
                message = await lookup.last(nc, EVENTS.name, subject)
                if message is not None:
                    found[identity] = decode(message.data, ExecutionFinished)
            if len(found) == len(ids):
                return found
            await asyncio.sleep(0.05)


async def test_three_dispatchers_start_each_attempt_once_and_keep_the_order(bus: Client) -> None:
    cases: list[dict[str, Any]] = [{"name": f"a{n}"} for n in range(4)]
    cases += [{"name": f"b{n}", "depends_on": [f"a{n}", f"a{(n + 1) % 4}"]} for n in range(4)]
    cases += [{"name": "c", "depends_on": ["b0", "b1"], "priority": 5}]
    await save(bus, "dag", cases, max_concurrent_tests=3, retry={"attempts": 2, "backoff_seconds": 0.05})
    ran: Counter[tuple[UUID, str, int]] = Counter()
    executors = [asyncio.create_task(execute(bus, ran, seed)) for seed in range(2)]
    async with dispatching(bus, Parts(bus)), dispatching(bus, Parts(bus)), dispatching(bus, Parts(bus)):
        ids = [await ask(bus, "dag", f"k{n}") for n in range(20)]
        ends = await finished(bus, ids)
    for task in executors:
        task.cancel()
    assert set(ran.values()) == {1}, "an attempt was started twice"
    for identity in ids:
        end = ends[identity]
        assert end.total == len(cases) == end.passed + end.failed + end.skipped
        first: dict[tuple[str, int], str] = {}
        order: list[str] = []
        subject = f"wg.{TENANT}.event.case.finished.{identity}"
        async for message in lookup.messages(bus, EVENTS.name, subject):
            result = decode(message.data, CaseFinished)
            if (result.case, result.attempt) not in first:
                first[result.case, result.attempt] = result.status
                order.append(result.case)
        last = {case: status for (case, _), status in sorted(first.items())}
        assert set(last) == {case["name"] for case in cases}
        # The first result in the stream is the one that counts, for the counts too.
        assert end.passed == sum(status == "passed" for status in last.values())
        for case in cases:
            for needed in case.get("depends_on", []):
                # A case is skipped as soon as one of those that it needs did not pass.
                if last[case["name"]] != "skipped":
                    assert last[needed] == "passed"
                    assert order.index(needed) < order.index(case["name"])


async def test_what_could_not_be_said_after_a_commit_is_said_when_the_hint_comes_back(bus: Client) -> None:
    await save(bus, "one", [{"name": "a"}])
    parts = Parts(bus)
    parts.events = FailsOnce(parts.publisher, "webguard/dispatcher")
    async with dispatching(bus, parts):
        identity = await ask(bus, "one", "k")
        async with asyncio.timeout(20):
            subject = f"wg.{TENANT}.event.execution.started.{identity}"
            while await lookup.last(bus, EVENTS.name, subject) is None:  # noqa: ASYNC110  the stream has no event
                await asyncio.sleep(0.05)
    tasks = [m async for m in lookup.messages(bus, LEDGER.name, f"wg.{TENANT}.task.>")]
    assert len(tasks) == 1, "the commit itself was not repeated"


async def test_a_request_that_cannot_run_is_refused_with_its_reason(bus: Client) -> None:
    async with dispatching(bus, Parts(bus)):
        identity = await ask(bus, "nothing-here", "k")
        async with asyncio.timeout(20):
            subject = f"wg.{TENANT}.event.execution.refused.{identity}"
            while (message := await lookup.last(bus, EVENTS.name, subject)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert b"there is no suite 'nothing-here'" in message.data
