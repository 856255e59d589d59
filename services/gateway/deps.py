"""What routes get: the caller, and the parts of the running service."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from services.gateway.auth import Caller, NotAuthenticated, read_token
from services.gateway.database import Database
from services.gateway.definitions import Definitions
from services.gateway.problems import ProblemError
from services.gateway.requested import Requested
from services.gateway.settings import GatewaySettings
from shared.artifacts import ArtifactStore
from shared.service import App


@dataclass
class Parts:
    """The running gateway."""

    app: App
    settings: GatewaySettings
    database: Database
    definitions: Definitions
    artifacts: ArtifactStore
    requested: Requested


def parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found


PartsDep = Annotated[Parts, Depends(parts)]


async def caller(
    use: PartsDep,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    x_api_key: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Caller:
    """Who calls, by `Authorization: Bearer <access token or API key>` or `X-API-Key`.

    Raises:
        ProblemError: 401, nobody we know.
    """
    scheme, _, given = (authorization or "").partition(" ")
    key = x_api_key or (given if scheme.lower() == "bearer" else "")
    challenge = {"WWW-Authenticate": "Bearer"}
    if not key:
        raise ProblemError(401, "no credentials: send `Authorization: Bearer <token or API key>`", headers=challenge)
    if key.startswith("wg_"):
        found = await use.database.caller_of_key(key)
        if found is None:
            raise ProblemError(401, "this API key is not known", headers=challenge)
        return found
    try:
        return read_token(key, use.settings.jwt_secret.get_secret_value())
    except NotAuthenticated as error:
        raise ProblemError(401, str(error), headers=challenge) from error


async def editor(who: Annotated[Caller, Depends(caller)]) -> Caller:
    """A caller who may change things.

    Raises:
        ProblemError: 403, a viewer.
    """
    if who.role == "viewer":
        raise ProblemError(403, f"{who.name} is a viewer; an editor, operator or admin may do this")
    return who


CallerDep = Annotated[Caller, Depends(caller)]
EditorDep = Annotated[Caller, Depends(editor)]
Limit = Annotated[int, Query(ge=1, le=200, description="items in a page")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
