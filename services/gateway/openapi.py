"""The OpenAPI document: what FastAPI makes of the routes, and the errors as they are really sent."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.problems import MEDIA_TYPE, Problem
from shared.suites import SuiteDefinition

_REF = "#/components/schemas/{model}"
_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
_REPLACED = ("HTTPValidationError", "ValidationError")
# Which answers an operation can have besides its own; 404 where its path has a name in it.
_ALWAYS = {
    "401": "No credentials, or none that are known",
    "422": "What was sent is not valid; `errors` names the fields",
    "503": "The platform cannot answer now; see `Retry-After`",
}
_WRITES = {"403": "The role does not allow it", "409": "It does not fit what is there; `detail` says why"}
_NAMED = {"404": "There is no such thing"}


def install(app: FastAPI) -> None:
    """Make `app.openapi()` say what is true of errors and of suites."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = complete(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _REPLACED:
        schemas.pop(name, None)
    for model in (Problem, SuiteDefinition):
        schema = model.model_json_schema(ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_errors(path, method, operation)
            # FastAPI describes the events in the words of OpenAPI 3.2, in a document of 3.1.
            streamed = operation["responses"].get("200", {}).get("content", {})
            if "text/event-stream" in streamed:
                streamed["text/event-stream"] = {"schema": {"type": "string"}}
    return document


def _add_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    errors = dict(_ALWAYS)
    if method in ("post", "delete") and "security" in operation:
        errors |= _WRITES
    if "{" in path or path.endswith("/trigger"):
        errors |= _NAMED
    if path.endswith(("/trigger", "/cancel", "/login")):
        errors["429"] = "Too many; see `Retry-After`"
    for status, description in errors.items():
        operation["responses"][status] = {"description": description, "content": _PROBLEM}
