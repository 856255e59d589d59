"""The warm browser: shared by cases at once, replaced when it dies or has served enough."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from playwright.async_api import BrowserContext, Error

from services.executors.browser.pool import BrowserPool, BrowserUnavailable, NoChromium
from shared.skill.chromium import find_chromium


@pytest.fixture
async def pool() -> AsyncIterator[BrowserPool]:
    pool = BrowserPool()
    yield pool
    await pool.close()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def browsers() -> list[psutil.Process]:
    """The main process of each Chromium that this process started itself: the one without --type.

    A platform that runs beside us in this worker has browsers of its own, below its executors.
    """
    mains = []
    ours = [child for child in psutil.Process().children() if "services." not in " ".join(_command(child))]
    for process in [*ours, *(below for child in ours for below in _below(child))]:
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "--headless" in line and not any(word.startswith("--type=") for word in line):
            mains.append(process)
    # Debian's is started by a shell script of the same arguments
    return [process for process in mains if not any(process.pid == other.ppid() for other in mains)]


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def works(context: BrowserContext) -> bool:
    page = await context.new_page()
    await page.set_content("<h1>Up</h1>")
    return await page.locator("h1").inner_text() == "Up"


async def test_nothing_is_started_before_the_first_use_and_nothing_is_left_after_close(pool: BrowserPool) -> None:
    before = psutil.Process().children(recursive=True)
    assert browsers() == []
    context = await pool.open_context()
    assert len(browsers()) == 1
    await context.close()
    started = [process for process in psutil.Process().children(recursive=True) if process not in before]
    await pool.close()
    await until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started))
    assert await works(await pool.open_context())  # and a later use starts again


async def test_cases_at_once_share_one_browser_and_nothing_else(pool: BrowserPool) -> None:
    contexts = await asyncio.gather(*(pool.open_context(user_agent=f"agent/{n}") for n in range(8)))
    assert len(browsers()) == 1
    assert pool.in_use == 8
    agents = await asyncio.gather(*(_agent(context) for context in contexts))
    assert agents == [f"agent/{n}" for n in range(8)]
    await asyncio.gather(*(context.close() for context in contexts))
    assert pool.in_use == 0


async def _agent(context: BrowserContext) -> str:
    agent: str = await (await context.new_page()).evaluate("navigator.userAgent")
    return agent


async def test_a_browser_that_dies_between_cases_is_replaced(pool: BrowserPool) -> None:
    await (await pool.open_context()).close()
    [browser] = browsers()
    browser.kill()
    assert await works(await pool.open_context())
    assert browsers() != [browser]


async def test_a_browser_that_dies_under_a_case_fails_that_case_and_not_the_next(pool: BrowserPool) -> None:
    context = await pool.open_context()
    page = await context.new_page()
    waiting = asyncio.ensure_future(page.wait_for_selector("#never", timeout=30_000))
    [browser] = browsers()
    browser.kill()
    with pytest.raises(Error, match=r"closed|crashed"):
        await waiting
    others = await asyncio.gather(*(pool.open_context() for _ in range(4)))
    assert all(await asyncio.gather(*(works(other) for other in others)))
    assert len(browsers()) == 1
    assert pool.in_use == 4


async def test_a_driver_that_dies_is_replaced(pool: BrowserPool) -> None:
    await (await pool.open_context()).close()
    [driver] = [process for process in psutil.Process().children() if "run-driver" in process.cmdline()]
    driver.kill()
    driver.wait(10)
    assert await works(await pool.open_context())


async def test_a_browser_that_served_enough_is_replaced_when_its_last_case_ends() -> None:
    pool = BrowserPool(contexts_per_browser=2)
    try:
        first, second = await pool.open_context(), await pool.open_context()
        [old] = browsers()
        third = await pool.open_context()
        assert len(browsers()) == 2
        await first.close()
        assert await works(second)  # its neighbours keep it
        assert pool.in_use == 2
        await second.close()
        await until(lambda: not old.is_running() or old.status() == psutil.STATUS_ZOMBIE)
        assert await works(third)
    finally:
        await pool.close()


async def test_a_context_that_nobody_waits_for_any_more_is_closed(pool: BrowserPool) -> None:
    opening = asyncio.ensure_future(pool.open_context())
    deadline = time.monotonic() + 15
    while pool.in_use == 0:  # counted, and the browser not yet asked
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(lambda: pool.in_use == 0)
    assert await works(await pool.open_context())


async def test_wrong_options_are_the_callers_error_and_hurt_no_browser(pool: BrowserPool) -> None:
    good = await pool.open_context()
    with pytest.raises(Error, match="Unknown permission"):
        await pool.open_context(permissions=["no such permission"])
    assert await works(good)
    assert pool.in_use == 1
    assert len(browsers()) == 1


async def test_what_a_listener_of_one_case_raises_reaches_no_other_case(pool: BrowserPool) -> None:
    noisy, quiet = await pool.open_context(), await pool.open_context()
    raised = []

    def listener(_: object) -> None:
        raised.append(1)
        raise ValueError("a fault in a listener")

    noisy.on("console", listener)
    quiet_page, page = await quiet.new_page(), await noisy.new_page()
    opened = asyncio.ensure_future(page.evaluate("() => { for (let i = 0; i < 50; i++) console.log(i) }"))
    while not opened.done() or len(raised) < 50:
        assert await quiet_page.evaluate("1 + 1") == 2
    assert len(raised) == 50
    assert await quiet_page.evaluate("2 + 2") == 4
    await opened


async def test_a_machine_without_chromium_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoChromium, match="apt-get install chromium-headless-shell"):
        await BrowserPool(find=lambda: None).open_context()
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    pool = BrowserPool(executable=broken)
    with pytest.raises(BrowserUnavailable, match="does not start"):
        await pool.open_context()
    await pool.close()


def test_the_chromium_that_the_environment_names_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = tmp_path / "downloads"
    for revision in ("999", "1255"):
        shell = downloads / f"chromium_headless_shell-{revision}/chrome-headless-shell-linux64/chrome-headless-shell"
        shell.parent.mkdir(parents=True)
        shell.write_text("")
        shell.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(downloads))
    monkeypatch.delenv("WEBGUARD_CHROMIUM", raising=False)
    assert find_chromium() == shell  # the newest download
    monkeypatch.setenv("WEBGUARD_CHROMIUM", str(tmp_path / "none"))
    assert find_chromium() is None
    named = tmp_path / "mine"
    named.write_text("")
    named.chmod(0o755)
    monkeypatch.setenv("WEBGUARD_CHROMIUM", str(named))
    assert find_chromium() == named
