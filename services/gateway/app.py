"""The HTTP application: routes, errors, documentation."""

import time
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import openapi, problems
from services.gateway.access import principal
from services.gateway.routes import auth, executions, platform, results, suites
from shared.service import VERSION

API = "/api/v1"
ASSETS = "/docs/assets"
# What is measured by name; others may say what they like.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# A suite may have a megabyte; as YAML with its indents it takes more.
MAX_BODY_BYTES = 4 * 1024 * 1024
DESCRIPTION = "Suites, executions and their results. Errors are RFC 9457 problems; lists are pages with a cursor."


def make_api() -> FastAPI:
    """The application; `app.state.gateway` has to be set before it is asked anything."""
    app = FastAPI(
        title="WebGuard",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    app.include_router(auth.router, prefix=API)
    for router in (suites.router, executions.router, results.router, platform.router):
        app.include_router(router, prefix=API, dependencies=[Depends(principal)])
    _add_documentation(app)
    openapi.install(app)
    app.add_middleware(Watched)
    return app


class Watched:
    """Measures each request by its route, bounds its body, and sets the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size = time.perf_counter(), "500", 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, f"the body has more than {MAX_BODY_BYTES:,} bytes")
            return message

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                message["headers"] = [
                    *message["headers"],
                    (b"x-content-type-options", b"nosniff"),
                    (b"x-frame-options", b"DENY"),
                ]
            await send(message)

        try:
            await self._app(scope, bounded, watched)
        finally:
            # By route, never by path: a path has ids in it.
            route = getattr(scope.get("route"), "path", "none")
            seconds = scope["app"].state.gateway.app.metrics.http_seconds
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds.labels(method, route, status).observe(time.perf_counter() - began)


def _add_documentation(app: FastAPI) -> None:
    app.mount(ASSETS, StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static"), name="assets")

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        parameters: dict[str, Any] = {"persistAuthorization": True, "displayRequestDuration": True}
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=f"{app.title} API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            swagger_ui_parameters=parameters,
        )
