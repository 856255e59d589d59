"""The recorder's store and schema on a real PostgreSQL."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from services.recorder.migrate import migrate
from services.recorder.projections import result_id, to_json
from services.recorder.store import Store
from shared.errors import Permanent
from shared.events import (
    CaseFinished,
    Event,
    ExecutionFinished,
    ExecutionRefused,
    ExecutionStarted,
    Metric,
    SuiteDeleted,
    SuiteSaved,
)
from shared.events.ids import suite_id
from tests.servers import Database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EXECUTION = UUID(int=7)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def result(case: str, attempt: int = 1, tenant: str = "t1", **more: Any) -> CaseFinished:
    fields: dict[str, Any] = {"status": "passed", "epoch": 1, "finished_at": at(2), **more}
    return CaseFinished(
        tenant=tenant,
        execution_id=EXECUTION,
        suite="shop",
        executed_at=NOW,
        case=case,
        skill="noop",
        kind="api",
        attempt=attempt,
        started_at=at(1),
        **fields,
    )


def started(tenant: str = "t1") -> ExecutionStarted:
    return ExecutionStarted(
        tenant=tenant,
        execution_id=EXECUTION,
        suite="shop",
        suite_id=suite_id(tenant, "shop"),
        revision=1,
        total=2,
        triggered_by="ci",
        executed_at=NOW,
        started_at=NOW,
        ci_commit_sha="abc",
    )


def ended(tenant: str = "t1") -> ExecutionFinished:
    return ExecutionFinished(
        tenant=tenant,
        execution_id=EXECUTION,
        suite="shop",
        suite_id=suite_id(tenant, "shop"),
        status="failed",
        executed_at=NOW,
        started_at=NOW,
        finished_at=at(3),
        total=2,
        passed=1,
        failed=1,
    )


def saved(revision: int, *cases: str, tenant: str = "t1") -> SuiteSaved:
    return SuiteSaved(
        tenant=tenant,
        suite="shop",
        suite_id=suite_id(tenant, "shop"),
        revision=revision,
        definition={"suite": "shop", "cases": [{"name": c, "skill": "noop", "kind": "api"} for c in cases]},
        created_at=NOW,
        saved_at=at(revision),
    )


@pytest.fixture
async def store(fresh_database: Database) -> AsyncIterator[Store]:
    # Alembic runs a loop of its own.
    await asyncio.to_thread(migrate, fresh_database.settings)
    found = await Store.connect(fresh_database.settings)
    yield found
    await found.close()


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database.dsn)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


SCHEMA = """select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'
union all select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'
union all select tablename, policyname, cmd from pg_policies order by 1, 2, 3"""


async def test_migrations_go_up_down_and_up_again_with_data_in_the_tables(fresh_database: Database) -> None:
    await asyncio.to_thread(migrate, fresh_database.settings)
    before = await rows(fresh_database, SCHEMA)
    store = await Store.connect(fresh_database.settings)
    await store.record([(1, saved(1, "a")), (2, started()), (3, result("a")), (4, ended())])
    await store.close()
    await asyncio.to_thread(migrate, fresh_database.settings, "base")
    left = await rows(fresh_database, "select tablename from pg_tables where schemaname = 'public'")
    assert [row["tablename"] for row in left] in ([], ["recorder_version"])
    await asyncio.to_thread(migrate, fresh_database.settings)
    assert await rows(fresh_database, SCHEMA) == before


EXECUTIONS = "select status, total_tests, passed_tests, revision, ci_commit_sha, completed_at from test_executions"
RESULTS = "select test_name, attempt, status, epoch from test_results order by 1, 2"
METRICS = "select metric_name, metric_value from test_metrics order by 1"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_order_and_the_repeats_the_rows_are_the_same(
    store: Store, fresh_database: Database, seed: int
) -> None:
    """Several recorders take turns: events come in any order, some twice; only a case's two results keep theirs."""
    dice = random.Random(seed)
    first = result("a", status="failed", epoch=1, metrics=[Metric(name="total", value=1.5, unit="ms")])
    second = result("a", status="passed", epoch=2, metrics=[Metric(name="total", value=9, unit="ms")])
    others: list[Event] = [started(), ended(), result("b"), saved(1, "a", "b"), saved(2, "a", "b")]
    events = others + dice.choices(others, k=4)
    dice.shuffle(events)
    events.insert(dice.randint(0, len(events)), first)
    events.insert(dice.randint(events.index(first) + 1, len(events)), second)
    numbered = list(enumerate(events, 1))
    while numbered:
        size = dice.randint(1, 4)
        await store.record(numbered[:size])
        numbered = numbered[size:]
    assert await rows(fresh_database, EXECUTIONS) == [
        {
            "status": "failed",
            "total_tests": 2,
            "passed_tests": 1,
            "revision": 1,
            "ci_commit_sha": "abc",
            "completed_at": at(3),
        }
    ]
    assert await rows(fresh_database, RESULTS) == [
        {"test_name": "a", "attempt": 1, "status": "failed", "epoch": 1},
        {"test_name": "b", "attempt": 1, "status": "passed", "epoch": 1},
    ]
    assert await rows(fresh_database, METRICS) == [{"metric_name": "total", "metric_value": 1.5}]
    assert await rows(fresh_database, "select revision from test_suites") == [{"revision": 2}]
    assert await rows(fresh_database, "select sequence from recorder_position") == [{"sequence": len(events)}]


async def test_a_case_that_left_the_definition_is_kept_and_disabled(store: Store, fresh_database: Database) -> None:
    await store.record([(1, saved(1, "a", "b")), (2, saved(2, "b", "c"))])
    cases = await rows(fresh_database, "select name, enabled from test_cases order by name")
    assert cases == [{"name": "a", "enabled": False}, {"name": "b", "enabled": True}, {"name": "c", "enabled": True}]
    gone = SuiteDeleted(tenant="t1", suite="shop", suite_id=suite_id("t1", "shop"), revision=3, deleted_at=NOW)
    await store.record([(3, gone)])
    assert await rows(fresh_database, "select name from api_suites") == []
    await store.record([(4, saved(2, "b", "c"))])
    assert await rows(fresh_database, "select name from api_suites") == [], "an older revision brings nothing back"


async def test_a_refused_request_is_an_execution_in_error_with_its_reason(
    store: Store, fresh_database: Database
) -> None:
    refused = ExecutionRefused(
        tenant="t1",
        execution_id=EXECUTION,
        suite="nothing",
        suite_id=suite_id("t1", "nothing"),
        reason="there is no suite 'nothing'",
        triggered_by="api",
        executed_at=NOW,
    )
    await store.record([(1, refused), (2, refused)])
    found = await rows(fresh_database, "select status, error_message from test_executions")
    assert found == [{"status": "error", "error_message": "there is no suite 'nothing'"}]


async def test_text_that_postgresql_cannot_hold_loses_no_result(store: Store, fresh_database: Database) -> None:
    done = await store.record([(1, result("a", status="failed", error_message="nul \x00 byte", stack_trace="\x00"))])
    assert done.results == 1
    found = await rows(fresh_database, "select error_message from test_results")
    assert found == [{"error_message": "nul \ufffd byte"}]


async def test_an_event_that_cannot_be_recorded_is_said_to_be_permanent_and_nothing_of_its_batch_is_kept(
    store: Store, fresh_database: Database
) -> None:
    with pytest.raises(Permanent):
        await store.record([(1, result("a")), (2, result("b", attempt=0))])
    assert await rows(fresh_database, RESULTS) == []
    await store.record([(1, result("a"))])
    assert len(await rows(fresh_database, RESULTS)) == 1


async def test_the_counts_of_a_running_execution_are_those_of_its_last_attempts(
    store: Store, fresh_database: Database
) -> None:
    await store.record([(1, started()), (2, result("a", status="failed")), (3, result("a", 2)), (4, result("b"))])
    found = await rows(fresh_database, "select status, passed_tests, failed_tests from api_executions")
    assert found == [{"status": "running", "passed_tests": 2, "failed_tests": 0}]


async def test_the_gateways_role_sees_its_tenant_and_changes_nothing(store: Store, fresh_database: Database) -> None:
    await store.record([(1, saved(1, "a")), (2, started()), (3, result("a")), (4, saved(1, "a", tenant="t2"))])
    connection = await asyncpg.connect(fresh_database.dsn)
    try:
        for tenant, suites in (("t1", 1), ("t2", 1), ("t3", 0), ("", 0)):
            async with connection.transaction():
                await connection.execute("set local role webguard_gateway")
                await connection.execute("select set_config('webguard.tenant', $1, true)", tenant)
                assert await connection.fetchval("select count(*) from api_suites") == suites
                assert await connection.fetchval("select count(*) from api_results") == (1 if tenant == "t1" else 0)
        for statement in ("delete from test_results", "update test_suites set name = 'x'", "truncate test_executions"):
            await connection.execute("set role webguard_gateway")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_results_lie_in_the_month_of_their_execution_and_retention_drops_a_month(
    store: Store, fresh_database: Database
) -> None:
    await store.make_partitions(NOW)
    assert await store.make_partitions(NOW) == 0, "what is there is left alone"
    await store.record([(1, result("a"))])
    where = "select tableoid::regclass::text as part from test_results"
    assert await rows(fresh_database, where) == [{"part": "test_results_2026_11"}]
    dropped = await rows(fresh_database, "select drop_partitions('2026-12-01T00:00:00Z') as n")
    assert dropped[0]["n"] >= 3
    assert await rows(fresh_database, RESULTS) == []


async def test_the_view_of_30_days_has_suites_that_never_ran(store: Store, fresh_database: Database) -> None:
    await store.record([(1, saved(1, "a"))])
    found = await rows(fresh_database, "select suite_name, total_executions, pass_rate from v_test_suite_statistics")
    assert found == [{"suite_name": "shop", "total_executions": 0, "pass_rate": None}]


def test_the_same_attempt_has_the_same_row_for_ever() -> None:
    assert result_id("t1", EXECUTION, "a", 1) == result_id("t1", EXECUTION, "a", 1)
    others = {result_id("t1", EXECUTION, "a", 2), result_id("t2", EXECUTION, "a", 1)}
    assert result_id("t1", EXECUTION, "a", 1) not in others | {result_id("t1", EXECUTION, "a", 1, "compensation")}


async def test_one_tenant_cannot_touch_the_rows_of_another(store: Store, fresh_database: Database) -> None:
    await store.record([(1, started()), (2, result("a"))])
    await store.record([(3, ended(tenant="t2")), (4, result("a", tenant="t2", status="failed"))])
    found = await rows(fresh_database, "select tenant, status, completed_at from test_executions")
    assert found == [{"tenant": "t1", "status": "running", "completed_at": None}]
    ours = await rows(fresh_database, "select status from test_results where tenant = 't1'")
    assert ours == [{"status": "passed"}]


async def test_a_deletion_that_comes_before_its_save_keeps_the_suite_deleted(
    store: Store, fresh_database: Database
) -> None:
    gone = SuiteDeleted(tenant="t1", suite="shop", suite_id=suite_id("t1", "shop"), revision=2, deleted_at=NOW)
    await store.record([(1, gone), (2, saved(1, "a"))])
    assert await rows(fresh_database, "select name from api_suites") == []


@pytest.mark.parametrize("text", ["nul \x00 byte", "the text \\u0000, as in a pattern", "both \x00 and \\u0000"])
def test_json_for_the_database_has_no_nul_and_keeps_what_only_looks_like_one(text: str) -> None:
    assert json.loads(to_json({"a": [text]})) == {"a": [text.replace("\x00", "\ufffd")]}
