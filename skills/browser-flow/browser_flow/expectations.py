"""What must be true of the page: waited for by Playwright, and told as `expected …, found …` where it is not."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator as Found
from playwright.async_api import Page, expect

from browser_flow.faults import fault_of
from browser_flow.locators import describe, find, quoted, similar
from browser_flow.steps import Expect, Match
from shared.skill import CheckFailed

Mask = Callable[[str], str]
# How long a look at what there is instead may take.
LOOK_SECONDS = 2.0
LOOK_MS = 1000.0


def url_pattern(match: Match, base_url: str | None) -> str | re.Pattern[str]:
    """What Playwright compares a URL with; a path is taken from base_url."""
    if match.equals is not None:
        return urljoin(base_url or "", match.equals)
    return text_pattern(match)


def text_pattern(match: Match) -> str | re.Pattern[str]:
    if match.equals is not None:
        return match.equals
    return re.compile(match.matches if match.matches is not None else re.escape(match.contains or ""))


async def check_expectation(page: Page, wanted: Expect, base_url: str | None, seconds: float, mask: Mask) -> None:
    """Hold every part of an expectation, one after the other.

    Raises:
        CheckFailed: one does not hold in time; the text says what was found instead.
    """
    ms = (wanted.timeout_seconds or seconds) * 1000

    async def hold(assertion: Awaitable[None], expected: str, look: Callable[[], Awaitable[str]]) -> None:
        try:
            await assertion
        except AssertionError as error:
            fault = fault_of(error)
            if not isinstance(fault, CheckFailed):
                raise fault from error
            found = await _look(look)
            limit = f" within {ms / 1000:g} s"
            raise CheckFailed(f"expected {mask(expected)}{limit}, found {found}") from error

    async def look_at_url() -> str:
        return quoted(page.url, mask, 500)

    async def look_at_title() -> str:
        return quoted(await page.title(), mask)

    if wanted.url is not None:
        url = url_pattern(wanted.url, base_url)
        await hold(expect(page).to_have_url(url, timeout=ms), f"the URL {wanted.url}", look_at_url)
    if wanted.title is not None:
        title = text_pattern(wanted.title)
        await hold(expect(page).to_have_title(title, timeout=ms), f"the title {wanted.title}", look_at_title)

    way = wanted.way()
    if way is None:
        return
    one = find(page, wanted, way)
    seen = one.filter(visible=True)
    what = describe(wanted, mask, way)

    async def there_is() -> str:
        count = await one.count()
        if count == 0 and way == "text":
            body = await page.locator("body").inner_text(timeout=LOOK_MS)
            return f"no such text on {mask(page.url)}; it says {quoted(body, mask, 300)}"
        if count == 0:
            return f"none on {mask(page.url)}{await similar(page, wanted, way, mask)}"
        visible = await seen.count()
        return (
            f"{visible} visible and {count - visible} hidden"
            if count > 1
            else "it" + (" visible" if visible else " hidden")
        )

    def look(read: Callable[[Found], Awaitable[str | None]]) -> Callable[[], Awaitable[str]]:
        async def look_at_it() -> str:
            count = await one.count()
            if count == 0:
                return await there_is()
            if count > 1:
                return f"{count} of them; say which: nth, exact, within, or another locator"
            value = await read(one)
            return "none" if value is None else quoted(value, mask, 300)

        return look_at_it

    async def how_many() -> str:
        return str(await one.count())

    def text() -> Callable[[], Awaitable[str]]:
        return look(lambda found: found.inner_text(timeout=LOOK_MS))

    visible = wanted.visible if wanted.visible is not None else None if wanted.hidden is None else not wanted.hidden
    others = (
        wanted.contained, wanted.text_equals, wanted.text_matches, wanted.value, wanted.count, wanted.enabled,
        wanted.checked, wanted.attribute,
    )  # fmt: skip
    if visible or (visible is None and all(other is None for other in others)):
        # any of several is enough: a text may well be on a page twice
        await hold(expect(seen.first).to_be_visible(timeout=ms), f"{what} to be visible", there_is)
    elif visible is False:
        await hold(expect(seen).to_have_count(0, timeout=ms), f"{what} to be hidden", there_is)
    if wanted.count is not None:
        await hold(expect(one).to_have_count(wanted.count, timeout=ms), f"{wanted.count} of {what}", how_many)
    if wanted.contained is not None:
        expected = f"{what} to contain '{wanted.contained}'"
        await hold(expect(one).to_contain_text(wanted.contained, timeout=ms), expected, text())
    if wanted.text_equals is not None:
        expected = f"the text of {what} to be '{wanted.text_equals}'"
        await hold(expect(one).to_have_text(wanted.text_equals, timeout=ms), expected, text())
    if wanted.text_matches is not None:
        expected = f"the text of {what} to match /{wanted.text_matches}/"
        await hold(expect(one).to_have_text(re.compile(wanted.text_matches), timeout=ms), expected, text())
    if wanted.value is not None:
        await hold(
            expect(one).to_have_value(str(wanted.value), timeout=ms),
            f"the value of {what} to be '{wanted.value}'",
            look(lambda found: found.input_value(timeout=LOOK_MS)),
        )
    if wanted.enabled is not None:
        state = "enabled" if wanted.enabled else "disabled"
        await hold(
            expect(one).to_be_enabled(enabled=wanted.enabled, timeout=ms),
            f"{what} to be {state}",
            look(lambda found: _state(found.is_enabled(timeout=LOOK_MS), "enabled", "disabled")),
        )
    if wanted.checked is not None:
        state = "checked" if wanted.checked else "unchecked"
        await hold(
            expect(one).to_be_checked(checked=wanted.checked, timeout=ms),
            f"{what} to be {state}",
            look(lambda found: _state(found.is_checked(timeout=LOOK_MS), "checked", "unchecked")),
        )
    if wanted.attribute is not None:
        name, value = wanted.attribute.name, wanted.attribute.value
        await hold(
            expect(one).to_have_attribute(name, value, timeout=ms),
            f"the attribute {name} of {what} to be '{value}'",
            look(lambda found: found.get_attribute(name, timeout=LOOK_MS)),
        )


async def _state(holds: Awaitable[bool], yes: str, no: str) -> str:
    return yes if await holds else no


async def _look(look: Callable[[], Awaitable[str]]) -> str:
    """What there is instead; the page may be gone or change under the look."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await look()
    except TimeoutError:
        return "a page that no longer answers"
    except PlaywrightError as error:
        return f"nothing to look at ({str(error).splitlines()[0]})"
