"""The tools that a case gets: HTTP clients and browser contexts that keep to the egress rules."""

import ssl
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import httpx

from shared.skill.context import Tools
from shared.skill.egress import Egress
from shared.skill.errors import DefinitionError

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

OpenBrowser = Callable[..., Awaitable["BrowserContext"]]


class CheckedTransport(httpx.AsyncBaseTransport):
    """Checks every request, redirects too, and connects to the address that was checked, so that a name
    which changes its address in between reaches nothing else. Notes the time of the look-up in `dns_ms`."""

    def __init__(self, egress: Egress, inner: httpx.AsyncBaseTransport) -> None:
        self._egress = egress
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        began = time.perf_counter()
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        address = (await self._egress.addresses(host, port))[0]
        request.extensions["dns_ms"] = (time.perf_counter() - began) * 1000
        if address != host:
            request.extensions.setdefault("sni_hostname", host)
            request.url = request.url.copy_with(host=address)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


class ToolBox:
    """Makes the tools of a process's cases. What is dear to make is made once, at first use."""

    def __init__(self, egress: Egress, open_browser_context: OpenBrowser | None = None) -> None:
        self._egress = egress
        self._open_browser_context = open_browser_context or _no_browser

    @cached_property
    def _ssl(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # reads all root certificates: 20 ms

    @cached_property
    def tools(self) -> Tools:
        return Tools(self._egress.check_url, self._open_http, self._open_browser_context)

    def _open_http(self, **options: Any) -> httpx.AsyncClient:
        """Takes httpx.AsyncClient's options but `transport`, `mounts` and `proxy`."""
        verify = options.pop("verify", True)
        transport = httpx.AsyncHTTPTransport(
            verify=self._ssl if verify is True else verify,
            cert=options.pop("cert", None),
            http1=options.pop("http1", True),
            http2=options.pop("http2", False),
            limits=options.pop("limits", httpx.Limits(max_connections=100, max_keepalive_connections=20)),
            trust_env=False,
        )
        return httpx.AsyncClient(transport=CheckedTransport(self._egress, transport), trust_env=False, **options)


async def _no_browser(**_: Any) -> "BrowserContext":
    raise DefinitionError("this process lends no browser; run the case on an executor of kind browser")
