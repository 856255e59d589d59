"""How each action is done on a page, and what its failure means."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import FilePayload, Page
from playwright.async_api import Locator as Found
from playwright.async_api import TimeoutError as PlaywrightTimeout

from browser_flow.expectations import LOOK_SECONDS, check_expectation, url_pattern
from browser_flow.faults import fault_of, navigation_fault
from browser_flow.locators import Locator, describe, find, quoted, similar
from browser_flow.steps import (
    Check,
    Click,
    Expect,
    Extract,
    Fill,
    Goto,
    Hover,
    Press,
    Screenshot,
    Select,
    Step,
    Uncheck,
    Upload,
    Wait,
)
from shared.errors import WebGuardError
from shared.skill import CheckFailed, Context, DefinitionError

L = TypeVar("L", bound=Locator)

_TIMINGS = """async () => {
  for (let i = 0; i < 20 && document.readyState === 'complete'; i++) {
    if (performance.getEntriesByType('navigation')[0]?.loadEventEnd) break
    await new Promise(done => setTimeout(done, 5))
  }
  const n = performance.getEntriesByType('navigation')[0]
  return n ? {ttfb: n.responseStart, dom_content_loaded: n.domContentLoadedEventEnd, load: n.loadEventEnd,
    transfer_size: n.transferSize} : {}
}"""


@dataclass
class Flow:
    """The steps of one case on one page."""

    ctx: Context
    page: Page
    base_url: str | None
    action_seconds: float
    expect_seconds: float
    navigation_seconds: float
    extracted: dict[str, str] = field(default_factory=dict)
    expected_statuses: set[int] = field(default_factory=set)
    _timed: bool = False

    async def do(self, number: int, step: Step) -> None:
        """Do one step.

        Raises:
            CheckFailed, WebGuardError: with the number and the text of the step.
        """
        told = tell(step.action, self.ctx.masker.text)
        try:
            async with self.ctx.step(f"{number}. {told}"):
                try:
                    await self._act(step.action)
                except PlaywrightError as error:
                    raise fault_of(error) from error
        except (CheckFailed, WebGuardError) as error:
            raise type(error)(f"step {number} ({told}): {error}") from error

    async def _act(self, action: Any) -> None:
        ms = self.action_seconds * 1000
        match action:
            case Goto():
                await self._goto(action)
            case Click():
                await self._on(
                    action,
                    lambda found: found.click(
                        button=action.button, click_count=action.count, modifiers=action.modifiers or None, timeout=ms
                    ),
                )
            case Fill():
                await self._on(action, lambda found: found.fill(str(action.value), timeout=ms))
            case Select():
                await self._on(
                    action,
                    lambda found: found.select_option(
                        value=action.value, label=action.option_label, index=action.index, timeout=ms
                    ),
                )
            case Press():
                await self._press(action)
            case Check():
                await self._on(action, lambda found: found.check(timeout=ms))
            case Uncheck():
                await self._on(action, lambda found: found.uncheck(timeout=ms))
            case Hover():
                await self._on(action, lambda found: found.hover(timeout=ms))
            case Upload():
                files: list[FilePayload] = [
                    {"name": file.name, "mimeType": file.content_type, "buffer": file.content()}
                    for file in action.files
                ]
                await self._on(action, lambda found: found.set_input_files(files, timeout=ms))
            case Wait():
                await self._wait(action)
            case Expect():
                await check_expectation(self.page, action, self.base_url, self.expect_seconds, self.ctx.masker.text)
            case Screenshot():
                await self._screenshot(action)
            case Extract():
                await self._extract(action)
            case _:
                raise DefinitionError(f"no such action: {type(action).__name__}")

    async def _goto(self, goto: Goto) -> None:
        url = urljoin(self.base_url or "", goto.url)
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            hint = "" if self.base_url else "; add base_url to the params"
            raise DefinitionError(f"{quoted(goto.url, self.ctx.masker.text)} is not a URL of http or https{hint}")
        await self.ctx.target(url)
        if goto.status is not None:
            self.expected_statuses.add(goto.status)
        try:
            response = await self.page.goto(url, wait_until=goto.wait_until, timeout=self.navigation_seconds * 1000)
        except PlaywrightError as error:
            raise navigation_fault(error, goto.wait_until, self.navigation_seconds) from error
        if response is not None:
            wrong = response.status >= 400 if goto.status is None else response.status != goto.status
            if wrong:
                wanted = "a status below 400" if goto.status is None else f"status {goto.status}"
                raise CheckFailed(f"expected {wanted}, found {response.status} {response.status_text} at {url}")
        if not self._timed:
            self._timed = True
            timings: dict[str, float] = await self.page.evaluate(_TIMINGS)
            for name, value in timings.items():
                if value > 0:
                    self.ctx.metric(name, round(value, 2), "bytes" if name == "transfer_size" else "ms")

    async def _press(self, press: Press) -> None:
        if not press.ways():
            await self.page.keyboard.press(press.key)
            return
        found = find(self.page, press, press.ways()[0])
        try:
            await found.press(press.key, timeout=self.action_seconds * 1000)
        except PlaywrightTimeout as error:
            raise await self._not_ready(press, found, error) from error

    async def _wait(self, wait: Wait) -> None:
        seconds = wait.timeout_seconds or self.action_seconds
        if wait.ms is not None:
            await self.page.wait_for_timeout(wait.ms)
        elif wait.for_ is not None:
            found = find(self.page, wait.for_, wait.for_.ways()[0])
            # several may match: the first that is in that state is enough
            one = found.first if wait.for_.nth is None else found
            try:
                await one.wait_for(state=wait.state, timeout=seconds * 1000)
            except PlaywrightTimeout as error:
                raise await self._not_ready(wait.for_, found, error, wait.state, seconds) from error
        elif wait.url is not None:
            try:
                # `commit`: what the page then loads is waited for by the steps that need it
                await self.page.wait_for_url(
                    url_pattern(wait.url, self.base_url), wait_until="commit", timeout=seconds * 1000
                )
            except PlaywrightTimeout as error:
                raise CheckFailed(
                    f"expected the URL {wait.url} within {seconds:g} s, found '{self.page.url}'"
                ) from error
        elif wait.load_state is not None:
            try:
                await self.page.wait_for_load_state(wait.load_state, timeout=seconds * 1000)
            except PlaywrightTimeout as error:
                raise CheckFailed(f"expected the page to reach {wait.load_state!r} within {seconds:g} s") from error

    async def _screenshot(self, screenshot: Screenshot) -> None:
        name = screenshot.name if screenshot.name.endswith(".png") else f"{screenshot.name}.png"
        picture = await self.page.screenshot(full_page=screenshot.full_page, timeout=self.action_seconds * 1000)
        self.ctx.artifacts.save(name, picture, "screenshot", "image/png")

    async def _extract(self, extract: Extract) -> None:
        found = find(self.page, extract, extract.ways()[0])
        ms = self.action_seconds * 1000
        try:
            if extract.attribute is not None:
                attribute = await found.get_attribute(extract.attribute, timeout=ms)
                if attribute is None:
                    raise CheckFailed(f"expected an attribute {extract.attribute!r}, found none")
                text = attribute
            elif extract.value:
                text = await found.input_value(timeout=ms)
            else:
                text = (await found.inner_text(timeout=ms)).strip()
        except PlaywrightTimeout as error:
            raise await self._not_ready(extract, found, error) from error
        if extract.pattern is not None:
            match = re.search(extract.pattern, text)
            if match is None:
                raise CheckFailed(f"expected /{extract.pattern}/, found {quoted(text, self.ctx.masker.text)}")
            text = match[1] if match.re.groups else match[0]
        self.extracted[extract.save_as] = text

    async def _on(self, action: L, act: Callable[[Found], Any]) -> None:
        found = find(self.page, action, action.ways()[0])
        try:
            await act(found)
        except PlaywrightTimeout as error:
            raise await self._not_ready(action, found, error) from error

    async def _not_ready(
        self, action: Any, found: Found, error: PlaywrightError, state: str = "", seconds: float | None = None
    ) -> CheckFailed:
        """What an action that waited in vain saw: nothing there, or something that could not be used."""
        mask, way = self.ctx.masker.text, action.ways()[0]
        wanted = f"expected {describe(action, mask)}{f' to be {state}' if state else ''}"
        wanted += f" within {seconds or self.action_seconds:g} s"
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                count = await found.count()
                others = "" if count else await similar(self.page, action, way, mask)
        except TimeoutError:
            return CheckFailed(f"{wanted}, found a page that no longer answers: {self.page.url}")
        if count == 0:
            return CheckFailed(f"{wanted}, found none on {self.page.url}{others}")
        # the call log's last indented line says what stood in the way
        reasons = re.findall(r"^\s+- (.*(?:not |intercepts|did not find).*)$", error.message, re.MULTILINE)
        why = quoted(reasons[-1], mask, 300) if reasons else "it never became ready"
        return CheckFailed(f"{wanted}, found {count} on {self.page.url}, but {why}")


def tell(action: Any, mask: Callable[[str], str]) -> str:
    """The action for people: `click button 'Buy'`."""
    match action:
        case Goto():
            return f"goto {quoted(action.url, mask)[1:-1]}"
        case Fill():
            return f"fill {describe(action, mask)} with {quoted(action.value, mask, 40)}"
        case Select():
            chosen = next(v for v in (action.value, action.option_label, action.index) if v is not None)
            return f"select {quoted(chosen, mask, 40)} in {describe(action, mask)}"
        case Press():
            return f"press {action.key}" + (f" on {describe(action, mask)}" if action.ways() else "")
        case Upload():
            names = ", ".join(quoted(file.name, mask, 40) for file in action.files)
            return f"upload {names} to {describe(action, mask)}"
        case Wait():
            if action.for_ is not None:
                return f"wait for {describe(action.for_, mask)} to be {action.state}"
            if action.url is not None:
                return mask(f"wait for the URL {action.url}")
            return f"wait {action.ms} ms" if action.ms is not None else f"wait for {action.load_state}"
        case Expect():
            way = action.way()
            about = describe(action, mask, way) if way else "the page"
            fields = action.model_dump(exclude_none=True, exclude_defaults=True)
            more = [key.replace("_", " ") for key in fields if key in _SHOWN and not (key == "text" and way == "text")]
            return f"expect {about}" + (f": {', '.join(more)}" if more else "")
        case Screenshot():
            return f"screenshot {quoted(action.name, mask)}"
        case Extract():
            return f"extract {action.save_as} from {describe(action, mask)}"
        case Locator():
            return f"{type(action).__name__.lower()} {describe(action, mask)}"
        case _:
            return type(action).__name__.lower()


_SHOWN = (
    "text", "visible", "hidden", "text_equals", "text_matches", "value", "count", "enabled", "checked", "attribute",
    "url", "title",
)  # fmt: skip
