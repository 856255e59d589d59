"""The HTTP application: routes, errors, documentation."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

from services.gateway import problems
from services.gateway.routes import accounts, executions, platform, suites
from shared.service import VERSION

API = "/api/v1"


def make_api() -> FastAPI:
    """The API; `state.parts` is set when the service has started."""
    api = FastAPI(
        title="WebGuard",
        version=VERSION,
        summary="Tests of web systems: suites, executions, results",
        docs_url=None,
        redoc_url=None,
        responses=problems.RESPONSES,
    )
    problems.install(api)
    v1 = APIRouter(prefix=API)
    for module in (accounts, suites, executions, platform):
        v1.include_router(module.router)
    api.include_router(v1)
    # Swagger UI from a package: no page of ours asks the internet for anything.
    api.mount("/static/swagger", StaticFiles(directory=Path(swagger_ui_path)), name="swagger")

    @api.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="WebGuard API",
            swagger_js_url="/static/swagger/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger/swagger-ui.css",
            swagger_favicon_url="/static/swagger/favicon-32x32.png",
        )

    openapi = api.openapi

    def with_security() -> dict[str, Any]:
        document = openapi()
        schemes = {
            "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document.setdefault("components", {})["securitySchemes"] = schemes
        document["security"] = [{"bearer": []}, {"apiKey": []}]
        document["paths"][f"{API}/auth/login"]["post"]["security"] = []
        return document

    api.openapi = with_security  # type: ignore[method-assign]
    return api
