"""What is kept of a case: picture, page, trace, HAR; in bounded time, and without its secrets."""

import asyncio
import zipfile
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import BrowserContext, Page
from playwright.async_api import Error as PlaywrightError

from shared.skill import Context
from shared.skill.masking import Masker

When = Literal["on_failure", "always", "never"]
# Seconds for each part; a case that is out of time has to be quick, for its executor waits no longer than 5 s.
UNHURRIED, HURRIED = 10.0, 1.2
_PICTURES = (".jpeg", ".jpg", ".png", ".webp", ".gif", ".woff", ".woff2", ".ttf")


@dataclass
class Evidence:
    """Keeps what the params ask for. A part that cannot be had is named in the log and hides no other error."""

    ctx: Context
    context: BrowserContext
    screenshot: When
    trace: When
    har: Path | None

    async def begin(self) -> None:
        """Tracing has to run from the start, also where only a failure's trace is kept."""
        if self.trace != "never":
            await self.context.tracing.start(screenshots=True, snapshots=True, title=self.ctx.case)

    async def keep(self, page: Page | None, *, failed: bool, wanted: bool) -> None:
        """Take what the end of the case asks for, close the browser context, mask what the browser wrote.

        Not `wanted`: only the context is closed.
        """
        if not wanted:
            await self._try("close", HURRIED, self.context.close())
            return
        seconds = HURRIED if self.ctx.remaining() == 0 else UNHURRIED
        if page is not None and failed:
            await self._try("stop", 0.5, self._stop_loading(page))
        looks: list[Coroutine[Any, Any, bool]] = []
        if page is not None and self._wanted(self.screenshot, failed):
            looks.append(self._try("screenshot", seconds, self._picture(page, failed, seconds)))
        if page is not None and failed:
            looks.append(self._try("page", seconds, self._page(page)))
        await asyncio.gather(*looks)
        trace = self.ctx.artifacts.path("trace.zip")
        if self._wanted(self.trace, failed):
            await self._try("trace", seconds, self.context.tracing.stop(path=trace))
        await self._try("close", seconds, self.context.close())
        # a file that could not be masked is not kept
        if trace.is_file() and await self._try("trace", UNHURRIED, asyncio.to_thread(mask_zip, trace, self.ctx.masker)):
            self.ctx.artifacts.add(trace, "trace", "application/zip")
        if self.har is not None and self.har.is_file():
            masking = asyncio.to_thread(mask_file, self.har, self.ctx.masker)
            if await self._try("har", UNHURRIED, masking):
                self.ctx.artifacts.add(self.har, "har", "application/json")

    @staticmethod
    def _wanted(when: When, failed: bool) -> bool:
        return when == "always" or (when == "on_failure" and failed)

    async def _stop_loading(self, page: Page) -> None:
        """A page that waits for its server answers no other question; Playwright has no call for this."""
        session = await self.context.new_cdp_session(page)
        await session.send("Page.stopLoading")

    async def _picture(self, page: Page, failed: bool, seconds: float) -> None:
        name = "failure.png" if failed else "end.png"
        try:
            picture = await page.screenshot(full_page=True, animations="disabled", timeout=seconds * 700)
        except PlaywrightError:  # a page too long for one picture, or one that never comes to rest
            picture = await page.screenshot(timeout=seconds * 300)
        self.ctx.artifacts.save(name, picture, "screenshot", "image/png")

    async def _page(self, page: Page) -> None:
        self.ctx.artifacts.save("page.html", await page.content(), "other", "text/html; charset=utf-8")

    async def _try(self, what: str, seconds: float, work: Awaitable[Any]) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await work
            return True
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            self.ctx.log(f"{what} could not be kept: {type(error).__name__}: {first}")
            return False


async def to_the_end(work: Coroutine[Any, Any, None], ctx: Context) -> None:
    """Do `work` to its end though the case may be cancelled meanwhile; it bounds itself.

    A time-out that comes while a failure's evidence is taken changes nothing: the case had failed before.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=4)
        if not task.done():
            task.cancel()
        if ctx.remaining() > 0:  # cancelled by a person or a shutdown
            raise


def mask_file(path: Path, masker: Masker) -> None:
    """Replace every known secret in a text file."""
    before = path.read_bytes()
    after = _masked(before, masker)
    if after != before:
        path.write_bytes(after)


def mask_zip(path: Path, masker: Masker) -> None:
    """Replace every known secret in the texts of a zip; pictures and fonts stay as they are."""
    if not masker.knows_any:
        return
    masked = path.with_suffix(".masked")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(masked, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry, data if entry.filename.endswith(_PICTURES) else _masked(data, masker))
    masked.replace(path)


def _masked(data: bytes, masker: Masker) -> bytes:
    # surrogates carry bytes that are no UTF-8 through unchanged
    return masker.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
