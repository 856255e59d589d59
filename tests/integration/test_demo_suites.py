"""The demo's suites on the demo's shop: real HTTP, real Chromium, real exports; no platform."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.executors.browser.pool import BrowserPool
from shared.events import CaseAttempt
from shared.skill.discovery import discover
from shared.skill.egress import Egress, Rules
from shared.skill.runner import run_case
from shared.skill.tools import ToolBox
from shared.suites import SuiteDefinition
from webguard.demo.expected import FAULTS, differences, faults_found
from webguard.demo.run import PASSWORD, SUITES, running_shop
from webguard.suites import read_files

pytestmark = pytest.mark.xdist_group("demo-shop")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_shop(tmp_path_factory.mktemp("shop")) as url:
        yield url


@pytest.fixture
def visitor(shop: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shop, follow_redirects=True) as client:
        yield client


@pytest.fixture
def signed_in(visitor: httpx.Client) -> httpx.Client:
    token = visitor.post("/api/login", json={"user": "demo", "password": PASSWORD}).json()["token"]
    visitor.headers["Authorization"] = f"Bearer {token}"
    return visitor


@pytest.fixture(scope="module")
async def tools() -> AsyncIterator[ToolBox]:
    pool = BrowserPool()
    yield ToolBox(Egress(Rules(allow_loopback=True)), pool.open_context)
    await pool.close()


async def run_suite(
    suite: SuiteDefinition, given: dict[str, Any], tools: ToolBox, scratch: Path
) -> list[dict[str, Any]]:
    """Every attempt of every case, one after the other, in an order that keeps to `depends_on`."""
    skills = discover().skills
    by_name = {case.name: case for case in suite.cases}
    variables = {**suite.variables, **given}
    results: list[dict[str, Any]] = []
    passed: set[str] = set()
    for name in TopologicalSorter({case.name: case.depends_on for case in suite.cases}).static_order():
        case = by_name[name]
        row = {"suite": suite.suite, "case": name}
        missing = [needed for needed in case.depends_on if needed not in passed]
        if missing:
            results.append({**row, "attempt": 1, "status": "skipped", "error_message": f"depends on {missing[0]!r}"})
            continue
        for number in range(1, (case.retry or suite.retry).attempts + 1):
            attempt = CaseAttempt(
                case=name,
                skill=case.skill,
                attempt=number,
                params=dict(case.params),
                variables=variables,
                save=case.save,
                timeout_seconds=case.timeout_seconds or 60,
            )
            outcome = await run_case(
                skills[case.skill],
                attempt,
                scratch=scratch / suite.suite / f"{list(by_name).index(name)}-{number}",
                tools=tools.tools,
                look_up_secret={"SHOP_PASSWORD": PASSWORD}.get,
            )
            message = outcome.error_message
            results.append({**row, "attempt": number, "status": outcome.status, "error_message": message})
            if outcome.status == "passed":
                passed.add(name)
                variables.update(outcome.saved)
                break
    return results


@pytest.mark.slow
async def test_the_suites_find_exactly_the_planted_faults_and_the_same_in_the_next_run(
    shop: str, tools: ToolBox, tmp_path: Path
) -> None:
    suites = {file.suite.suite: file.suite for file in read_files(SUITES)}
    given = {"base_url": shop, "run": tmp_path.name}
    found = await asyncio.gather(*(run_suite(suite, given, tools, tmp_path / "1") for suite in suites.values()))
    results = [result for part in found for result in part]
    wrong = differences([(name, case.name) for name, suite in suites.items() for case in suite.cases], results)
    assert wrong == [], "\n".join(wrong)
    assert sorted(faults_found(results)) == sorted(FAULTS)

    # The API's suite is the one that changes the shop; a new run gets a new key, as `webguard demo` gives it.
    again = await run_suite(suites["shop-api"], {**given, "run": f"{tmp_path.name}-2"}, tools, tmp_path / "2")
    assert again == [result for result in results if result["suite"] == "shop-api"]


@pytest.mark.parametrize("wanted", [[1], {}, True, "4", None, 99, -1, 1.0])
def test_an_order_of_nothing_that_is_sold_is_refused(signed_in: httpx.Client, wanted: Any) -> None:
    answer = signed_in.post("/api/orders", json={"product_id": wanted})
    assert (answer.status_code, answer.json()) == (422, {"error": "product_id: there is no such product"})


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff\xfe", b'{"user": "demo"}', b'{"user": ["demo"], "password": 1}'])
def test_a_sign_in_with_anything_else_is_refused(visitor: httpx.Client, body: bytes) -> None:
    assert visitor.post("/api/login", content=body).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic {token}", "{token}"])
def test_orders_need_the_token_of_a_sign_in(signed_in: httpx.Client, header: str) -> None:
    token = signed_in.headers["Authorization"].removeprefix("Bearer ")
    headers = {"Authorization": header.format(token=token)}
    assert signed_in.post("/api/orders", json={"product_id": 4}, headers=headers).status_code == 401
    assert signed_in.get("/api/orders/last", headers=headers).status_code == 401
    assert signed_in.delete("/api/orders/last", headers=headers).status_code == 401


def test_the_last_order_is_ones_own_and_a_number_is_never_used_again(shop: str, signed_in: httpx.Client) -> None:
    first = signed_in.post("/api/orders", json={"product_id": 4}).json()
    with httpx.Client(base_url=shop) as other:
        token = other.post("/api/login", json={"user": "demo", "password": PASSWORD}).json()["token"]
        other.headers["Authorization"] = f"Bearer {token}"
        assert other.delete("/api/orders/last").status_code == 404
        theirs = other.post("/api/orders", json={"product_id": 1}).json()
        assert signed_in.get("/api/orders/last").json() == first
        assert signed_in.delete("/api/orders/last").status_code == 204
        assert signed_in.get("/api/orders/last").status_code == 404
        assert signed_in.post("/api/orders", json={"product_id": 4}).json()["id"] > theirs["id"] > first["id"]
        assert other.get("/api/orders/last").json() == theirs


@pytest.mark.parametrize("quantity", ["²", "9" * 5000, "-1", "0", "", "<b>"])
def test_a_quantity_that_is_none_counts_as_one(visitor: httpx.Client, quantity: str) -> None:
    page = visitor.post("/cart/1", data={"quantity": quantity})
    assert page.status_code == 200
    assert '<span data-testid="cart-count">1</span>' in page.text


def test_what_a_visitor_types_is_text_on_every_page(visitor: httpx.Client) -> None:
    evil = '"><script>alert(1)</script>'
    asked = visitor.get("/", params={"q": evil})
    bought = visitor.post("/checkout", data={"name": evil}, files={"order": (evil, b"x")})
    assert evil not in asked.text
    assert evil not in bought.text
    assert "&lt;script&gt;" in asked.text
    assert "&lt;script&gt;" in bought.text


def test_products_come_in_pages_that_join_up(visitor: httpx.Client) -> None:
    pages = [visitor.get("/api/products", params={"offset": at, "limit": 5}).json() for at in (0, 5, 10, 15)]
    assert [item["id"] for page in pages for item in page["items"]] == list(range(1, 15))
    assert visitor.get("/api/products", params={"limit": "-1"}).status_code == 422
    assert visitor.get("/api/products", params={"offset": "²"}).status_code == 422


def test_every_sound_product_answers_with_a_number_for_its_price(visitor: httpx.Client) -> None:
    answers = {number: visitor.get(f"/api/products/{number}") for number in range(1, 15)}
    assert [n for n, answer in answers.items() if answer.status_code != 200] == [13]
    assert [n for n, a in answers.items() if a.is_success and not isinstance(a.json()["price"], float)] == [7]


def test_pages_ask_nobody_else_for_anything(visitor: httpx.Client) -> None:
    for path in ("/", "/products/1", "/cart", "/checkout", "/account"):
        page = visitor.get(path).text
        assert "http://" not in page, path
        assert "https://" not in page, path
        assert "src=" not in page, path


@pytest.mark.parametrize(
    "path", ["/products/99", "/orders/99999", "/export/nothing.csv", "/api/products/99", "/nowhere"]
)
def test_what_is_not_there_is_a_404(visitor: httpx.Client, path: str) -> None:
    assert visitor.get(path).status_code == 404
