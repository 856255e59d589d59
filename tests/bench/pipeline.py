"""The pipeline end to end with cases that do nothing: throughput, CPU a test, latency at a steady rate."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.bus.publish import Publisher, Record
from shared.events import ExecuteRequest, encode
from shared.events.ids import execution_id
from tests.platform import Platform, running_platform

TENANT = "default"
EXECUTIONS, CASES = 10, 500
RATE, SECONDS = 100, 10
WAIT_SECONDS = 120.0


def suite(name: str, cases: int) -> dict[str, Any]:
    return {
        "suite": name,
        "max_concurrent_tests": 500,
        "cases": [{"name": f"c{n:04}", "skill": "noop"} for n in range(cases)],
    }


async def ready(platform: Platform) -> None:
    """Until the executors have said what they can do."""
    deadline = time.monotonic() + 30
    while "noop" not in {skill["name"] for skill in platform.client.get("/skills")}:
        if time.monotonic() > deadline:
            raise TimeoutError("no executor offers the skill noop")
        await asyncio.sleep(0.1)


async def request(publisher: Publisher, suite_name: str) -> tuple[str, datetime]:
    """Ask for an execution as a foreign client would; (its id, when)."""
    key = str(uuid4())
    now = datetime.now(UTC)
    message = ExecuteRequest(tenant=TENANT, suite=suite_name, idempotency_key=key)
    await publisher.publish(Record(message.subject, encode(message)))
    return str(execution_id(TENANT, key)), now


async def rows(platform: Platform, ids: list[str], expected: int) -> None:
    """Until all results are there."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = await platform.database.fetchval(
            "select count(*) from test_results where execution_id = any($1::uuid[])", ids
        )
        if found >= expected:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {expected} results after {WAIT_SECONDS:g} s")
        await asyncio.sleep(0.05)


async def throughput(platform: Platform, publisher: Publisher, suite_name: str) -> dict[str, Any]:
    """5,000 cases requested at once: from the first request to the last row, by PostgreSQL's clock."""
    cpu = platform.cpu_seconds()
    asked = await asyncio.gather(*[request(publisher, suite_name) for _ in range(EXECUTIONS)])
    ids = [identity for identity, _ in asked]
    await rows(platform, ids, EXECUTIONS * CASES)
    last = await platform.database.fetchval(
        "select max(recorded_at) from test_results where execution_id = any($1::uuid[])", ids
    )
    seconds = (last - min(at for _, at in asked)).total_seconds()
    total = EXECUTIONS * CASES
    spent = {name: (after - cpu[name]) * 1000 / total for name, after in platform.cpu_seconds().items()}
    return {
        "tests_per_s": total / seconds,
        "cpu_ms_per_test": sum(spent.values()),
        "cpu_us_by_process": {name: round(ms * 1000) for name, ms in spent.items() if ms > 0.001},
    }


async def latency(platform: Platform, publisher: Publisher) -> dict[str, float]:
    """One-case executions at a steady rate: from the request to the row, by one machine's clock."""
    sent: dict[str, datetime] = {}
    pending: set[asyncio.Task[None]] = set()

    async def one() -> None:
        identity, at = await request(publisher, "bench-one")
        sent[identity] = at

    began = time.perf_counter()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        task = asyncio.create_task(one())
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)
    await rows(platform, list(sent), len(sent))
    recorded = await platform.database.fetch(
        "select execution_id, recorded_at from test_results where execution_id = any($1::uuid[])", list(sent)
    )
    took = sorted((r["recorded_at"] - sent[str(r["execution_id"])]).total_seconds() * 1000 for r in recorded)
    return {"p50_ms": took[len(took) // 2], "p99_ms": took[int(len(took) * 0.99)]}


async def bench() -> dict[str, Any]:
    """Three rounds of throughput, the median; then latency."""
    async with running_platform() as platform:
        await ready(platform)
        for name, cases in (("bench", CASES), ("bench-one", 1)):
            platform.client.post("/suites", suite(name, cases))
        publisher = Publisher(platform.nc)
        first = await throughput(platform, publisher, "bench")
        # From now on the durations are recorded, and short cases travel ten to a message.
        rounds = [await throughput(platform, publisher, "bench") for _ in range(3)]
        rounds.sort(key=lambda r: r["tests_per_s"])
        steady = await latency(platform, publisher)
    return {
        **rounded(rounds[1] | steady),
        "one_case_a_message": rounded(first),
        "rounds": [round(r["tests_per_s"]) for r in rounds],
    }


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in figures.items()}
