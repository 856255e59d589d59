"""The folder of a new skill: small, complete, and its own test passes."""

import re
from pathlib import Path
from string import Template
from typing import get_args

from shared.events import Kind
from webguard.errors import UsageFault

KINDS: tuple[Kind, ...] = get_args(Kind)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def new_skill(name: str, kind: str, parent: Path) -> list[Path]:
    """Write SKILL.md, skill.py and test_skill.py into `parent/name`; the paths written.

    Raises:
        UsageFault: not a name, not a kind, or the folder is there already.
    """
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise UsageFault(f"{name!r} is not a skill's name: lower-case words with hyphens, at most 64, e.g. price-check")
    if kind not in KINDS:
        raise UsageFault(f"--kind {kind!r}: there are {', '.join(KINDS)}")
    folder = parent / name
    if folder.exists():
        raise UsageFault(f"{folder} is there already; choose another name")
    values = {"name": name, "kind": kind, "function": name.replace("-", "_"), "example": _EXAMPLE[kind]}
    try:
        folder.mkdir(parents=True)
        written = []
        for file, template in (("SKILL.md", _MANIFEST), ("skill.py", _SKILL[kind]), ("test_skill.py", _TEST[kind])):
            path = folder / file
            path.write_text(Template(template).substitute(values), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UsageFault(f"{folder} cannot be written: {error}") from error
    return written


_EXAMPLE = {
    "api": 'params: {url: "$${base_url}/health", contains: "ok"}',
    "browser": 'params: {url: "$${base_url}/", heading: "Welcome"}',
    "data": 'params: {url: "$${base_url}/export.csv", column: price, minimum: 0}',
}

_MANIFEST = """\
---
name: $name
description: Say here what the skill checks and when to use it. People and agents choose a skill by this text.
license: Apache-2.0
metadata:
  kind: $kind
  version: "0.1.0"
  isolation: shared
  timeout: 60
---
# $name

```yaml
- name: try it
  skill: $name
  $example
```

From a shell, with no platform running: `webguard skills run $name --params params.yaml`.

## How a case ends
- *failed*: the system under test is not as expected.
- *error*: the check itself could not be made.
"""

_SKILL = {
    "api": '''\
"""What $name checks, in one sentence."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.skill import Context


class Params(BaseModel):
    """What a case says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="address to ask")
    status: int = Field(200, ge=100, le=599, description="expected status")
    contains: str | None = Field(None, description="text that the answer must contain")


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Ask once and compare."""
    async with ctx.step(f"GET {params.url}"):
        response = await ctx.http().get(params.url)
    ctx.metric("total", response.elapsed.total_seconds() * 1000, "ms")
    ctx.expect(response.status_code == params.status, f"status is {response.status_code}, not {params.status}")
    if params.contains is not None:
        ctx.expect(params.contains in response.text, f"the answer does not contain {params.contains!r}")
    return {"status": response.status_code, "text": response.text}
''',
    "browser": '''\
"""What $name checks, in one sentence."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.skill import Context


class Params(BaseModel):
    """What a case says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="page to open")
    heading: str = Field(description="text that its first heading must have")


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Open the page and look at its heading; a picture of it is kept."""
    browser = await ctx.browser_context()
    page = await browser.new_page()
    async with ctx.step(f"open {params.url}"):
        await page.goto(await ctx.target(params.url))
    heading = (await page.locator("h1").first.inner_text()).strip()
    ctx.artifacts.save("page.png", await page.screenshot(), "screenshot")
    ctx.expect(heading == params.heading, f"the heading is {heading!r}, not {params.heading!r}")
    return {"heading": heading, "title": await page.title()}
''',
    "data": '''\
"""What $name checks, in one sentence."""

import csv
import io
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.skill import Context, DefinitionError


class Params(BaseModel):
    """What a case says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="CSV file, its first line the names of the columns")
    column: str = Field(description="column of numbers to look at")
    minimum: float = Field(0, description="no value may be below it")


async def run(ctx: Context, params: Params) -> dict[str, Any]:
    """Read the file and look at each value; rows that are wrong are kept as an artifact."""
    async with ctx.step("read"):
        response = await ctx.http().get(params.url)
        response.raise_for_status()
        rows = list(csv.DictReader(io.StringIO(response.text)))
    if rows and params.column not in rows[0]:
        raise DefinitionError(f"there is no column {params.column!r}; there are: {', '.join(rows[0])}")
    async with ctx.step("check"):
        wrong = [row for row in rows if not _at_least(row[params.column], params.minimum)]
    ctx.metric("rows", len(rows), "rows")
    if wrong:
        ctx.artifacts.save("wrong-rows.txt", "\\n".join(map(str, wrong[:100])), "data")
    ctx.expect(not wrong, f"{len(wrong)} of {len(rows)} rows have a {params.column} below {params.minimum:g}")
    return {"rows": len(rows), "wrong": len(wrong)}


def _at_least(text: str, minimum: float) -> bool:
    try:
        return float(text) >= minimum
    except ValueError:
        return False
''',
}

_SERVER = '''\
"""$name against a real server."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from webguard.skill_run import run_skill

HERE = Path(__file__).resolve().parent
'''

_SITE = """

class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = %s
        self.send_response(200)
        self.send_header("Content-Type", "%s; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
"""

_TEST = {
    "api": _SERVER
    + _SITE % ('b"all is ok"', "text/plain")
    + """

def test_an_answer_with_the_text_passes(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "contains": "ok"}))
    assert outcome.status == "passed", outcome.error_message
    assert outcome.outputs["status"] == 200


def test_an_answer_without_the_text_fails(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "contains": "sold out"}))
    assert outcome.status == "failed"
    assert "sold out" in (outcome.error_message or "")
""",
    "browser": _SERVER.replace(
        "from webguard.skill_run", "from shared.skill.chromium import find_chromium\nfrom webguard.skill_run"
    )
    + 'pytestmark = pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium on this machine")\n'
    + _SITE % ('b"<title>Shop</title><h1>Welcome</h1>"', "text/html")
    + """

def test_a_page_with_the_heading_passes(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "heading": "Welcome"}))
    assert outcome.status == "passed", outcome.error_message
    assert [file.name for file in outcome.files] == ["page.png"]


def test_a_page_with_another_heading_fails(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "heading": "Sold out"}))
    assert outcome.status == "failed"
    assert "Welcome" in (outcome.error_message or "")
""",
    "data": _SERVER
    + _SITE % (r'b"name,price\nTea,4\nCoffee,-1\n"', "text/csv")
    + """

def test_rows_above_the_minimum_pass(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "column": "price", "minimum": -1}))
    assert outcome.status == "passed", outcome.error_message
    assert outcome.outputs["rows"] == 2


def test_a_row_below_the_minimum_fails(site: str) -> None:
    outcome = asyncio.run(run_skill(HERE, {"url": site, "column": "price", "minimum": 0}))
    assert outcome.status == "failed"
    assert "1 of 2 rows" in (outcome.error_message or "")
""",
}
