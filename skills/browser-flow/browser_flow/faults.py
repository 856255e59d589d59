"""What an error of Playwright means: the page is wrong, the test is wrong, the network or the browser is gone."""

import re

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from shared.errors import WebGuardError
from shared.skill import CheckFailed, DefinitionError, NetworkError

_BAD_SELECTOR = (
    "while parsing",
    "is not a valid selector",
    "Invalid regular expression",
    "Unknown key",
    "Unknown engine",
)
_GONE = ("has been closed", "crashed", "Connection closed", "browser has disconnected")


class BrowserLost(WebGuardError):
    """The browser died under the case; the next one gets a new browser."""


def fault_of(error: PlaywrightError | AssertionError) -> Exception:
    """The error of ours with the first, telling part of Playwright's text."""
    text = str(error)
    head = re.split(r"\n\s*(?:Call log|Aria snapshot):", text)[0].strip()
    head = re.sub(r"^\w+\.\w+: (?:Error: )?", "", head)
    if any(sign in text for sign in _BAD_SELECTOR):
        wrong = re.search(r"Error: (.*)", head)
        return DefinitionError(wrong[1].strip() if wrong else head)
    if any(sign in text for sign in _GONE):
        return BrowserLost(f"the browser or its page died: {head}")
    if "strict mode violation" in text:
        return CheckFailed(f"{head}\nsay which: nth, exact, within, or another locator")
    return CheckFailed(head)


def navigation_fault(error: PlaywrightError, wait_until: str, seconds: float) -> Exception:
    """What a `goto` that raised means."""
    if isinstance(error, PlaywrightTimeout):
        return CheckFailed(f"expected the page to reach {wait_until!r} within {seconds:g} s, found it still loading")
    net = re.search(r"net::(ERR_\w+)(?: at \S+)?", error.message)
    if net is None:
        if "invalid URL" in error.message:
            return DefinitionError("not a URL that a browser accepts")
        return fault_of(error)
    if net[1] == "ERR_ABORTED":
        return CheckFailed("expected a page, found a download, an empty answer or a navigation that was stopped")
    return NetworkError(net[0])
