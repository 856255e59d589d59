"""A small site and a real Chromium for the tests of this skill."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.executors.browser.pool import BrowserPool
from shared.events import CaseAttempt
from shared.skill import EgressDenied
from shared.skill.context import Tools
from shared.skill.discovery import Skill, load
from shared.skill.runner import Outcome, run_case

HTML = "<!doctype html><meta charset=utf-8><title>{title}</title>{body}"
SHOP = """
<h1>Tea shop</h1>
<form action=/thanks>
  <label>Name <input name=who placeholder="your name"></label>
  <label for=secret>Password</label><input id=secret type=password>
  <label>Size <select name=size><option value=s>Small</option><option value=l>Large</option></select></label>
  <label><input type=checkbox name=gift checked> Gift</label>
  <label><input type=radio name=pay value=card> Card</label>
  <label>Note <input type=file name=note multiple></label>
  <button>Buy</button><button type=button disabled>Gone</button>
</form>
<ul><li data-testid=green>Green tea <button onclick="cart(this)">Add</button></li>
    <li data-testid=black>Black tea <button onclick="cart(this)">Add</button></li></ul>
<p role=status>empty</p>
<p id=late hidden>Arrived</p>
<a href=/thanks?who=link onmouseover="this.textContent='Hovered'">Leave</a>
<button id=ask onclick="document.title = confirm('Sure?') ? 'yes' : 'no'">Ask</button>
<iframe srcdoc="<button onclick='this.textContent=&quot;Paid&quot;'>Pay</button>"></iframe>
<script>
  const say = text => document.querySelector('[role=status]').textContent = text
  const cart = button => say('added ' + button.parentNode.dataset.testid)
  document.querySelector('[name=note]').onchange = async e =>
    say((await Promise.all([...e.target.files].map(async f => f.name + '=' + await f.text()))).join(' '))
  document.onkeydown = e => { if (e.key === 'Escape') say('escaped') }
  setTimeout(() => document.getElementById('late').hidden = false, 150)
</script>"""
PAGES = {
    "/shop": HTML.format(title="Tea shop", body=SHOP),
    "/thanks": HTML.format(title="Thanks", body="<h1>Thank you</h1><p>Thank you</p><output>order 4711</output>"),
    "/throws": HTML.format(title="Throws", body="<h1>Up</h1><script>throw new Error('planted')</script>"),
    "/complains": HTML.format(title="Complains", body="<h1>Up</h1><script>console.error('bad news')</script>"),
    "/broken": HTML.format(title="Broken", body="<h1>Up</h1><script src=/missing.js></script>"),
    "/inside": HTML.format(title="Inside", body="<h1>Up</h1><img src=http://127.0.0.9:1/secret.png>"),
    "/loops": HTML.format(title="Loops", body="<h1>Up</h1><button onclick='for(;;);'>Hang</button>"),
    "/storage": HTML.format(
        title="Storage", body="<p id=s></p><script>s.textContent = document.cookie + localStorage.getItem('k')</script>"
    ),
}


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stop = threading.Event()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/never":
            self.stop.wait(30)
            return
        body, status = PAGES.get(path, "<h1>no such page</h1>"), 200 if path in PAGES else 404
        if path == "/headers":
            body, status = HTML.format(title="Headers", body=f"<pre>{self.headers}</pre>"), 200
            if not self.headers.get("Authorization"):
                status = 401
        if path == "/away":
            status = 302
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.9:1/")
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Site.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def skill() -> Skill:
    return load(Path(__file__).parent)


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.close()


@pytest.fixture
def asked() -> list[str]:
    """The targets that cases asked the egress rules about."""
    return []


@pytest.fixture
def go(
    site: str, skill: Skill, pool: BrowserPool, tmp_path: Path, asked: list[str]
) -> Callable[..., Awaitable[Outcome]]:
    async def check(url: str) -> None:
        asked.append(url)
        if "127.0.0.9" in url or "example" in url:
            raise EgressDenied(f"{url} is forbidden by rule 7")

    async def run(*steps: dict[str, Any], timeout_seconds: float = 60, **params: Any) -> Outcome:
        scratch = tmp_path / str(len(list(tmp_path.iterdir())))
        scratch.mkdir()
        quick = {"action_timeout_seconds": 3, "expect_timeout_seconds": 3}
        attempt = CaseAttempt(
            case="case",
            skill=skill.name,
            params={"base_url": site, **quick, "steps": list(steps), **params},
            timeout_seconds=timeout_seconds,
        )
        secrets = {"PASSWORD": 'pa"ss & wörd', "USER": "somebody"}
        return await run_case(
            skill,
            attempt,
            scratch=scratch,
            tools=Tools(check, httpx.AsyncClient, pool.open_context),
            look_up_secret=secrets.get,
        )

    return run
