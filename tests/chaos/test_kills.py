"""Services are killed in the middle of an execution: nothing is lost, nothing is doubled."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.bus import lookup
from shared.bus.publish import Publisher
from shared.bus.topology import REQUESTS
from tests.bench.pipeline import TENANT, ready, request
from tests.platform import Platform, running_platform

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("chaos")]
CASES = 500


def pid_of(platform: Platform, name: str) -> int:
    runtime = json.loads((platform.launcher.folder / "runtime.json").read_text())
    return int(runtime["services"][name]["pid"])


async def recorded(platform: Platform, execution: str) -> Counter[tuple[str, int]]:
    rows = await platform.database.fetch(
        "select test_name, attempt from test_results where execution_id = $1::uuid", execution
    )
    return Counter((row["test_name"], row["attempt"]) for row in rows)


async def until(true: Any, seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := await true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
    return found


async def test_killing_any_service_in_the_middle_loses_and_doubles_nothing() -> None:
    """One execution of 500 cases for each service; the service is killed when a part of the results is there."""
    async with running_platform(scale={"dispatcher": 2, "scheduler": 2}) as platform:
        await ready(platform)
        publisher = Publisher(platform.nc)
        cases = [{"name": f"c{n:03}", "skill": "noop", "params": {"sleep_ms": 30}} for n in range(CASES)]
        platform.client.post("/suites", {"suite": "many", "max_concurrent_tests": 25, "cases": cases})
        for victim in ("dispatcher", "executors-api", "recorder", "dispatcher-2", "gateway", "scheduler"):
            execution, _ = await request(publisher, "many")

            async def a_part(identity: str = execution) -> bool:
                return len(await recorded(platform, identity)) >= 50

            await until(a_part)
            before = pid_of(platform, victim)
            os.kill(before, signal.SIGKILL)

            async def all_of_it(identity: str = execution) -> bool:
                done = await platform.database.fetchval(
                    "select status from test_executions where id = $1::uuid", identity
                )
                return done not in (None, "running") and len(await recorded(platform, identity)) >= CASES

            await until(all_of_it)
            found = await recorded(platform, execution)
            assert len(found) == CASES, victim
            assert set(found.values()) == {1}, f"{victim}: recorded twice"
            assert {attempt for _, attempt in found} == {1}, f"{victim}: a redelivery is no new attempt"
            row = await platform.database.fetchrow(
                "select status, total_tests, passed_tests from test_executions where id = $1::uuid", execution
            )
            assert row is not None
            assert (row["status"], row["total_tests"], row["passed_tests"]) == ("passed", CASES, CASES), victim

            async def back(name: str = victim, old: int = before) -> bool:
                return pid_of(platform, name) != old

            await until(back)


async def test_a_schedule_to_the_second_fires_each_instant_once_with_two_schedulers() -> None:
    async with running_platform(scale={"scheduler": 2}) as platform:
        await ready(platform)
        definition = {"suite": "ticking", "schedule": "* * * * * *", "cases": [{"name": "a", "skill": "noop"}]}
        platform.client.post("/suites", definition)

        async def instants() -> list[datetime]:
            found = []
            subject = f"wg.{TENANT}.request.execute"
            async for message in lookup.messages(platform.nc, REQUESTS.name, subject):
                key = json.loads(message.data).get("idempotency_key", "")
                if key.startswith("tick:"):
                    found.append(datetime.fromisoformat(key.partition("@")[2]))
            return found

        async def some() -> bool:
            return len(await instants()) >= 4

        async def more() -> bool:
            return len(await instants()) >= 9

        await until(some)
        os.kill(pid_of(platform, "scheduler"), signal.SIGKILL)
        await until(more)
        platform.client.post("/suites", {**definition, "schedule": None})
        fired = await instants()
        assert len(set(fired)) == len(fired), "an instant asked twice"
        assert fired == [fired[0] + timedelta(seconds=n) for n in range(len(fired))], "an instant was left out"

        async def all_ran() -> bool:
            count = await platform.database.fetchval(
                "select count(*) from test_executions where suite_name = 'ticking' and triggered_by = 'schedule'"
            )
            return bool(count >= len(fired))

        await until(all_ran)
        ids = await platform.database.fetchval("select count(*) from test_results where test_name = 'a'")
        assert ids >= len(fired)
