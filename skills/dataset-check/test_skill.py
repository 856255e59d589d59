"""dataset-check on files from a real server and on real databases."""

import functools
import json
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import polars as pl
import pytest

from shared.skill.runner import Outcome
from shared.skill.testing import run_skill
from tests.servers import Database

SKILL = Path(__file__).parent
NOW = datetime.now(UTC)
ORDERS = pl.DataFrame(
    {
        "id": [1, 2, 2, 4],
        "customer": [1, 2, 9, None],
        "amount": [10.0, -5.0, 3.5, 99.0],
        "status": ["new", "paid", "lost", "new"],
        "mail": ["a@x.org", "b@x.org", "nonsense", "c@x.org"],
        "at": [(NOW - timedelta(hours=n)).isoformat() for n in range(1, 5)],
    }
)
CUSTOMERS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("data")
    ORDERS.write_csv(folder / "orders.csv")
    ORDERS.write_parquet(folder / "orders.parquet")
    ORDERS.write_ndjson(folder / "orders.ndjson")
    (folder / "customers.json").write_text(json.dumps(CUSTOMERS))
    (folder / "broken.parquet").write_text("this is no Parquet")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def check(source: dict[str, Any], **params: Any) -> Outcome:
    return await run_skill(SKILL, {"source": source, **params})


@pytest.mark.parametrize("name", ["orders.csv", "orders.parquet", "orders.ndjson"])
async def test_a_sound_set_passes_in_every_format_and_is_measured(site: str, name: str) -> None:
    columns = {"required": ["id"], "types": {"id": "integer", "amount": "number", "status": "string"}}
    outcome = await check({"url": f"{site}/{name}"}, row_count={"equals": 4}, columns=columns, not_null=["id"])
    assert outcome.status == "passed", outcome.error_message
    assert outcome.outputs == {"rows": 4, "columns": ORDERS.columns}
    measured = {m.name: m.value for m in outcome.metrics}
    assert (measured["rows"], measured["columns"], measured["violations"]) == (4, 6, 0)
    assert measured["bytes"] > 0


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"row_count": {"min": 5}}, "at least 5 rows, there are 4"),
        ({"columns": {"required": ["price"]}}, "a column 'price'"),
        ({"columns": {"exact": ["id"]}}, "unexpected columns: customer"),
        ({"columns": {"types": {"status": "number"}}}, "'status' to be of type number"),
        ({"not_null": ["customer"]}, "in 1 of 4 rows 'customer' is null"),
        ({"unique": [["id"]]}, "in 2 of 4 rows id repeat: 2"),
        ({"ranges": {"amount": {"min": 0, "max": 50}}}, "in 2 of 4 rows 'amount' is below 0"),
        ({"regex": {"mail": "[^@]+@[^@]+"}}, "does not match '[^@]+@[^@]+': nonsense"),
        ({"allowed": {"status": ["new", "paid"]}}, "none of new, paid: lost"),
        ({"freshness": {"column": "at", "max_age_minutes": 30}}, "minutes old, more than 30"),
        ({"not_null": ["price"]}, "expected a column 'price'"),
    ],
)
async def test_each_check_finds_what_breaks_it(site: str, params: dict[str, Any], says: str) -> None:
    outcome = await check({"url": f"{site}/orders.csv"}, **params)
    assert (outcome.status, outcome.error_type) == ("failed", "assertion"), outcome.error_message
    assert says in (outcome.error_message or "")


async def test_references_are_looked_up_in_the_other_set_and_a_sample_of_the_wrong_rows_is_kept(site: str) -> None:
    reference = {"column": "customer", "to": {"url": f"{site}/customers.json"}, "to_column": "id"}
    outcome = await check({"url": f"{site}/orders.csv"}, references=[reference], unique=[["id"]])
    assert "'customer' refers to no 'id': 9" in (outcome.error_message or "")
    samples = {file.name: file.path.read_text() for file in outcome.files}
    assert set(samples) == {"unique-id.csv", "reference-customer.csv"}
    assert len(samples["unique-id.csv"].splitlines()) == 3
    assert next(m.value for m in outcome.metrics if m.name == "violations") == 3


async def test_a_file_that_is_not_there_or_not_what_it_says_is_a_failure(site: str) -> None:
    gone = await check({"url": f"{site}/nothing.csv"}, row_count={"min": 1})
    assert (gone.status, "answered 404" in (gone.error_message or "")) == ("failed", True)
    broken = await check({"url": f"{site}/broken.parquet"}, row_count={"min": 1})
    assert (broken.status, "cannot be read as parquet" in (broken.error_message or "")) == ("failed", True)
    large = await check({"url": f"{site}/orders.csv", "max_bytes": 10}, row_count={"min": 1})
    assert "larger than max_bytes" in (large.error_message or "")


async def test_rows_of_an_sqlite_query(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as database:
        database.execute("create table orders (id integer, amount real)")
        database.executemany("insert into orders values (?, ?)", [(1, 5.0), (2, -1.0)])
    source = {"query": "select * from orders", "connection": f"sqlite://{path}"}
    outcome = await check(source, row_count={"equals": 2}, ranges={"amount": {"min": 0}})
    assert "in 1 of 2 rows 'amount' is below 0.0: -1.0" in (outcome.error_message or "")
    writing = await check({**source, "query": "delete from orders"}, row_count={"min": 0})
    assert (writing.status, writing.error_type) == ("error", "definition")


async def test_rows_of_a_postgresql_query_whose_connection_is_a_secret(fresh_database: Database) -> None:
    connection = await asyncpg.connect(fresh_database.dsn)
    await connection.execute("create table orders (id int); insert into orders values (1), (1)")
    await connection.close()
    source = {"query": "select id from orders", "connection": "${secrets.DSN}"}
    secrets = {"DSN": fresh_database.dsn}
    outcome = await run_skill(SKILL, {"source": source, "unique": [["id"]]}, secrets=secrets)
    assert outcome.status == "failed"
    assert "id repeat: 1" in (outcome.error_message or "")
    bad = await run_skill(
        SKILL, {"source": {**source, "query": "drop table orders"}, "unique": [["id"]]}, secrets=secrets
    )
    assert (bad.status, bad.error_type) == ("error", "definition")
    assert fresh_database.password not in str(bad)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"source": {"url": "http://127.0.0.1/a.csv"}}, "say what to check"),
        ({"source": {}, "not_null": ["a"]}, "give `url`, or `query`"),
        ({"source": {"query": "select 1"}, "not_null": ["a"]}, "needs a `connection`"),
        ({"source": {"query": "x", "connection": "mysql://h"}, "not_null": ["a"]}, "sqlite:/// or postgresql://"),
        ({"source": {"url": "http://127.0.0.1/a.csv"}, "ranges": {"a": {}}}, "give min, max or both"),
    ],
)
async def test_bad_params_are_an_error_of_the_definition(params: dict[str, Any], says: str) -> None:
    outcome = await run_skill(SKILL, params)
    assert (outcome.status, outcome.error_type) == ("error", "definition"), outcome.error_message
    assert says in (outcome.error_message or "")
