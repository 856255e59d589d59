"""A case that ignores its end, or blocks the loop of its executor, harms no other for longer than the hard timeout."""

import asyncio
import time
from typing import Any

import pytest

from shared.bus.publish import Publisher
from tests.bench.pipeline import ready, request
from tests.platform import running_platform

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("stubborn")]


@pytest.mark.parametrize("how", [{"stubborn_ms": 120_000}, {"block_ms": 120_000}])
async def test_a_case_that_will_not_end_times_out_or_is_lost_and_its_neighbours_pass(how: dict[str, Any]) -> None:
    environment = {"WEBGUARD_BLOCKED_SECONDS": "2"}
    async with running_platform(executor_env=environment) as platform:
        await ready(platform)
        cases = [
            {"name": "bad", "skill": "noop", "params": how, "timeout_seconds": 0.5, "retry": {"attempts": 1}},
            *({"name": f"good {n}", "skill": "noop", "params": {"sleep_ms": 50}} for n in range(20)),
        ]
        platform.client.post("/suites", {"suite": "stubborn", "max_concurrent_tests": 5, "cases": cases})
        execution, _ = await request(Publisher(platform.nc), "stubborn")
        deadline = time.monotonic() + 200
        while True:
            rows = await platform.database.fetch(
                "select test_name, status, error_message from test_results where execution_id = $1::uuid", execution
            )
            status = await platform.database.fetchval(
                "select status from test_executions where id = $1::uuid", execution
            )
            if len(rows) == len(cases) and status not in (None, "running"):
                break
            assert time.monotonic() < deadline, f"{len(rows)} results, {status}"
            await asyncio.sleep(0.2)
        found = {row["test_name"]: row["status"] for row in rows}
        bad = next(row for row in rows if row["test_name"] == "bad")
        assert found.pop("bad") in ("timeout", "error")
        assert "timeout" in bad["error_message"] or "executor lost" in bad["error_message"]
        assert set(found.values()) == {"passed"}
