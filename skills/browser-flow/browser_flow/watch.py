"""What a page does beside its steps: console errors, uncaught exceptions, failed and forbidden requests."""

import asyncio
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, Response, WebError

from shared.skill import Context, EgressDenied

# A page that complains in a loop must not fill the memory.
MOST = 200
# Names that mean a machine of the inside, whatever DNS says.
_INSIDE = ("localhost", ".localhost", ".internal", ".local")


@dataclass
class Watch:
    """Collects over all pages of a browser context, popups too. Each finding is a line, masked and in the log."""

    ctx: Context
    ignore: Sequence[re.Pattern[str]] = ()
    console_errors: list[str] = field(default_factory=list)
    page_errors: list[str] = field(default_factory=list)
    failed_requests: list[str] = field(default_factory=list)
    denied: dict[str, str] = field(default_factory=dict)
    statuses_expected: set[int] = field(default_factory=set)
    requests: int = 0
    _asked: set[str] = field(default_factory=set)
    _asking: set[asyncio.Task[None]] = field(default_factory=set)

    def attach(self, context: BrowserContext) -> None:
        context.on("console", self._console)
        context.on("weberror", self._web_error)
        context.on("request", self._request)
        context.on("requestfailed", self._request_failed)
        context.on("response", self._response)

    async def refuse_forbidden(self) -> None:
        """End the case where a page asked for what the case may not reach.

        Raises:
            EgressDenied: it did; the text names address and rule.
        """
        if self._asking:
            await asyncio.wait(self._asking, timeout=5)
        if self.denied:
            asked = "; ".join(f"a page asked for {url}: {why}" for url, why in sorted(self.denied.items()))
            raise EgressDenied(asked)

    def _note(self, found: list[str], sort: str, text: str) -> None:
        line = self.ctx.masker.text(text)
        if any(pattern.search(line) for pattern in self.ignore):
            return
        if len(found) < MOST:
            line = line if len(line) <= 1000 else line[:1000] + "…"
            found.append(line)
            self.ctx.log(f"{sort}: {line}")

    def _console(self, message: ConsoleMessage) -> None:
        # The console repeats each failed request; those are counted as requests.
        if message.type == "error" and not message.text.startswith("Failed to load resource:"):
            where = message.location
            place = f" ({where['url']}:{where['lineNumber'] + 1})" if where.get("url") else ""
            self._note(self.console_errors, "console error", f"{message.text}{place}")

    def _web_error(self, error: WebError) -> None:
        self._note(self.page_errors, "uncaught exception", error.error.message or str(error.error))

    def _request_failed(self, request: Request) -> None:
        why = request.failure or "failed"
        if why != "net::ERR_ABORTED":  # a page that was left, a download, a stopped request: nobody's fault
            self._note(self.failed_requests, "failed request", f"{request.method} {request.url}: {why}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not (
            response.status in self.statuses_expected and response.request.is_navigation_request()
        ):
            text = f"{response.request.method} {response.url}: {response.status} {response.status_text}"
            self._note(self.failed_requests, "failed request", text)

    def _request(self, request: Request) -> None:
        """A page may ask for what the case may not: literal addresses and inside names are checked once each."""
        self.requests += 1
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not _is_inside(parts.hostname or ""):
            return
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        if origin not in self._asked and len(self._asked) < MOST:
            self._asked.add(origin)
            task = asyncio.ensure_future(self._ask(origin))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, origin: str) -> None:
        try:
            await self.ctx.target(f"{origin}/")
        except EgressDenied as error:
            self.denied[origin] = str(error)
            self.ctx.log(f"forbidden request: {origin}: {error}")
        except Exception as error:
            self.ctx.log(f"egress check of {origin}: {type(error).__name__}: {error}")


def _is_inside(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_INSIDE)
    return True
