"""RFC 9457: every refusal is `application/problem+json` that says what, where and what to do now."""

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from shared.errors import PublishFailed, Unavailable, WebGuardError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
# A validator of the whole model can only name its field in its text.
_FIELD_FIRST = re.compile(r"^([a-z_]+(?:\.\w+)*): (.+)$", re.DOTALL)


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="path into what was sent", examples=["cases.3.params.url"])
    message: str


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no suite 'checkout'"])
    instance: str = Field(examples=["/api/v1/suites/checkout"])
    errors: list[FieldError] | None = None


class Refusal(WebGuardError):
    """An answer that is not what was asked for."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = list(errors)
        self.headers = dict(headers or {})


def not_found(what: str, name: object) -> Refusal:
    return Refusal(404, f"there is no {what} {str(name)!r}")


def invalid(field: str, message: str) -> Refusal:
    return Refusal(422, f"{field}: {message}", [FieldError(field=field, message=message)])


def faults_of(errors: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    """Pydantic's errors as fields of the document that was sent."""
    found = []
    for error in errors:
        message = str(error["msg"]).removeprefix("Value error, ")
        field = ".".join(str(part) for part in error["loc"])
        named = _FIELD_FIRST.match(message) if not field else None
        if named:
            field, message = named[1], named[2]
        found.append(FieldError(field=field, message=message))
    return found


def response(request: Request, refusal: Refusal) -> JSONResponse:
    problem = Problem(
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=str(refusal),
        instance=request.url.path,
        errors=refusal.errors or None,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), refusal.status, headers=refusal.headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of an application as a problem."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return response(request, error)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The first part of a place says whether it is the body, the query or the path.
        faults = faults_of([{**fault, "loc": fault["loc"][1:] or fault["loc"]} for fault in error.errors()])
        return response(request, refuse_faults(faults))

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> JSONResponse:
        nothing = f"there is nothing at {request.url.path}"
        detail = nothing if error.status_code == 404 else error.detail
        return response(request, Refusal(error.status_code, detail, headers=error.headers))

    @app.exception_handler(Unavailable)
    @app.exception_handler(PublishFailed)
    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        log.warning("a request could not be served", extra={"path": request.url.path, "error": str(error)})
        detail = "the platform cannot answer now; try again in a moment"
        return response(request, Refusal(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", extra={"method": request.method, "path": request.url.path}, exc_info=error)
        return response(request, Refusal(500, "an error of the gateway's own; its log has the reason"))


def refuse_faults(faults: Sequence[FieldError]) -> Refusal:
    return Refusal(422, _summary(faults), faults)


def _summary(faults: Sequence[FieldError]) -> str:
    first = f"{faults[0].field}: {faults[0].message}" if faults[0].field else faults[0].message
    return first if len(faults) == 1 else f"{first} (and {len(faults) - 1} more)"
