"""One warm Chromium for all browser cases of an executor."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from shared.errors import WebGuardError
from shared.skill.chromium import find_chromium

log = logging.getLogger(__name__)

# Nothing that asks the internet for anything, and nothing that a screen would need.
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
# A browser that has served so many cases is replaced: Chromium's memory only grows.
CONTEXTS_PER_BROWSER = 200
START_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class NoChromium(WebGuardError):
    """There is no Chromium on this machine; the text says what to install."""


class BrowserUnavailable(WebGuardError):
    """Chromium is there but does not start or does not answer."""


@dataclass(eq=False)
class _Warm:
    """A running browser and how much it has served."""

    browser: Browser
    opened: int = 0
    in_use: int = 0
    dead: bool = False


class BrowserPool:
    """Lends fresh contexts of one warm browser.

    The browser is started at the first use. One that died is replaced at the next use; one that has served
    `contexts_per_browser` gets no new cases and is closed when its last one has ended.
    """

    def __init__(
        self,
        *,
        executable: Path | None = None,
        sandbox: bool | None = None,
        contexts_per_browser: int = CONTEXTS_PER_BROWSER,
        find: Callable[[], Path | None] = find_chromium,
    ) -> None:
        """
        Args:
            executable: the Chromium to use; default: what `find` finds.
            sandbox: Chromium's own sandbox; default: on, but off for root, as whom it cannot start.
        """
        self._executable = executable
        self._find = find
        self._sandbox = os.geteuid() != 0 if sandbox is None else sandbox
        self._most = contexts_per_browser
        self._lock = asyncio.Lock()
        self._playwright: Playwright | None = None
        self._warm: _Warm | None = None
        self._retired: set[_Warm] = set()
        self._tidying: set[asyncio.Task[None]] = set()

    async def open_context(self, **options: Any) -> BrowserContext:
        """A context of its own; takes the options of Playwright's `Browser.new_context`. The caller closes it.

        Raises:
            NoChromium: none is installed.
            BrowserUnavailable: it does not start or does not answer.
        """
        opening = asyncio.ensure_future(self._open(options))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The browser makes it all the same: nobody else would close it.
            opening.add_done_callback(self._close_unclaimed)
            raise

    @property
    def in_use(self) -> int:
        """Contexts lent and not yet closed."""
        return sum(warm.in_use for warm in (self._warm, *self._retired) if warm is not None)

    async def close(self) -> None:
        """Stop the browser and its driver; a later use starts them again."""
        async with self._lock:
            running = [*self._retired, *([self._warm] if self._warm else [])]
            self._warm = None
            self._retired.clear()
            for warm in running:
                await self._quit(warm)
            for task in list(self._tidying):
                task.cancel()
            await self._stop_driver()

    async def _open(self, options: dict[str, Any]) -> BrowserContext:
        for last_try in (False, True):
            warm = await self._running()
            try:
                async with asyncio.timeout(START_SECONDS):
                    context = await warm.browser.new_context(**options)
            except BaseException as error:
                self._returned(warm)
                if not isinstance(error, PlaywrightError | TimeoutError):
                    raise
                alive = warm.browser.is_connected() and not isinstance(error, TimeoutError)
                if alive and not warm.dead and "has been closed" not in str(error):
                    raise  # the options are wrong, not the browser
                self._give_up(warm)
                if last_try:
                    raise BrowserUnavailable(
                        f"Chromium does not answer: {str(error) or 'no context in time'}"
                    ) from error
                continue
            context.on("close", partial(self._returned, warm))
            return context
        raise AssertionError("unreachable")

    async def _running(self) -> _Warm:
        """The browser for one more context, which is counted."""
        async with self._lock:
            if self._warm is not None and (self._warm.dead or not self._warm.browser.is_connected()):
                self._give_up(self._warm)
            if self._warm is not None and self._warm.opened >= self._most:
                retired, self._warm = self._warm, None
                self._retired.add(retired)
                self._close_if_idle(retired)
            if self._warm is None:
                self._warm = await self._start()
            # counted before it is opened, so that cases that begin together do not pass the limit
            self._warm.opened += 1
            self._warm.in_use += 1
            return self._warm

    async def _start(self) -> _Warm:
        executable = self._executable or self._find()
        if executable is None:
            raise NoChromium(
                "no Chromium is installed: `make browser`, or `apt-get install chromium-headless-shell` on Debian, or "
                "`playwright install chromium-headless-shell`, or name one in WEBGUARD_CHROMIUM"
            )
        try:
            browser = await self._launch(executable)
        except PlaywrightError as error:
            if self._playwright is not None and "has been closed" not in str(error):
                hint = "" if not self._sandbox else " (in a container its sandbox needs user namespaces)"
                raise BrowserUnavailable(f"{executable} does not start{hint}: {_first_lines(error)}") from error
            await self._stop_driver()  # the driver itself died
            try:
                browser = await self._launch(executable)
            except PlaywrightError as again:
                raise BrowserUnavailable(f"{executable} does not start: {_first_lines(again)}") from again
        warm = _Warm(browser)
        browser.on("disconnected", lambda _: self._died(warm))
        log.info("browser started", extra={"executable": str(executable), "version": browser.version})
        return warm

    async def _launch(self, executable: Path) -> Browser:
        if self._playwright is None:
            self._playwright = await async_playwright().start()
            _keep_listener_errors_apart(self._playwright)
        return await self._playwright.chromium.launch(
            executable_path=executable,
            headless=True,
            args=list(ARGUMENTS),
            chromium_sandbox=self._sandbox,
            timeout=START_SECONDS * 1000,
            # signals are the executor's: it drains its cases first
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    def _died(self, warm: _Warm) -> None:
        if not warm.dead and (warm is self._warm or warm in self._retired):
            log.warning("browser died", extra={"contexts_open": warm.in_use, "contexts_opened": warm.opened})
        self._give_up(warm)

    def _give_up(self, warm: _Warm) -> None:
        """Lend it no more and close what is left of it."""
        if warm.dead:
            return
        warm.dead = True
        if self._warm is warm:
            self._warm = None
        self._retired.discard(warm)
        self._later(self._quit(warm))

    def _returned(self, warm: _Warm, _: BrowserContext | None = None) -> None:
        warm.in_use -= 1
        self._close_if_idle(warm)

    def _close_if_idle(self, warm: _Warm) -> None:
        if warm in self._retired and warm.in_use == 0:
            self._retired.discard(warm)
            warm.dead = True
            self._later(self._quit(warm))

    def _close_unclaimed(self, opening: "asyncio.Task[BrowserContext]") -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._later(_close_context(opening.result()))

    def _later(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def _quit(self, warm: _Warm) -> None:
        warm.dead = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await warm.browser.close()
        except (PlaywrightError, TimeoutError) as error:
            log.warning("browser would not close", extra={"error": str(error)})

    async def _stop_driver(self) -> None:
        driver, self._playwright = self._playwright, None
        if driver is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await driver.stop()
        except Exception as error:
            log.warning("browser driver would not stop", extra={"error": str(error)})


def _keep_listener_errors_apart(playwright: Playwright) -> None:
    """Log what a listener raises.

    Playwright keeps such an error, also its own about objects that are already gone, and raises it in the next call
    on the connection: with one driver for all cases that is a call of any other case. There is no public switch.
    """
    connection: Any = getattr(getattr(playwright, "_impl_obj", None), "_connection", None)
    if hasattr(connection, "_on_event_listener_error"):
        connection._on_event_listener_error = _log_listener_error
    else:
        log.warning("listener errors of a case may reach another one: this version of playwright is not known")


def _log_listener_error(error: BaseException) -> None:
    log.warning("browser event lost", extra={"error": str(error)})


async def _close_context(context: BrowserContext) -> None:
    try:
        await context.close()
    except PlaywrightError as error:
        log.warning("browser context would not close", extra={"error": str(error)})


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n")[:4])[:500]
