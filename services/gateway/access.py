"""What a route gets: the parts of the gateway, and who is asking."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from services.gateway.accounts import Accounts
from services.gateway.auth import KEY_PREFIX, BadCredentials, Principal, Role, read_token
from services.gateway.cache import Cache
from services.gateway.database import Database
from services.gateway.executions import Executions
from services.gateway.problems import Refusal
from services.gateway.settings import GatewaySettings
from services.gateway.suites import Suites
from shared.artifacts import ArtifactStore
from shared.events.ids import TOKEN
from shared.service import App


@dataclass(frozen=True)
class Gateway:
    """The parts that routes use, one of each a process."""

    app: App
    settings: GatewaySettings
    database: Database
    cache: Cache
    accounts: Accounts
    suites: Suites
    executions: Executions
    store: ArtifactStore


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


Parts = Annotated[Gateway, Depends(_gateway)]
SuiteName = Annotated[str, Path(pattern=f"^{TOKEN.pattern}$", description="name of the suite", examples=["checkout"])]

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="a token from login, or an API key")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="api_key", description="an API key")


async def principal(
    gateway: Parts,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    api_key: Annotated[str | None, Depends(_header)],
) -> Principal:
    """
    Raises:
        Refusal: 401, nobody that we know.
    """
    now = datetime.now(UTC)
    credentials = bearer.credentials if bearer else api_key
    try:
        if not credentials:
            raise BadCredentials("send `Authorization: Bearer <token or API key>`, or `X-API-Key`")
        if bearer is None or credentials.startswith(KEY_PREFIX):
            return await gateway.accounts.of_key(credentials, now)
        return read_token(credentials, gateway.settings.jwt_secret.get_secret_value(), now)
    except BadCredentials as error:
        raise Refusal(401, str(error), headers={"WWW-Authenticate": "Bearer"}) from error


def _at_least(role: Role) -> Callable[..., Awaitable[Principal]]:
    async def allowed(who: Annotated[Principal, Depends(principal)]) -> Principal:
        if not who.may(role):
            raise Refusal(403, f"this takes the role {role}; {who.name!r} is {who.role}")
        return who

    return allowed


Viewer = Annotated[Principal, Depends(_at_least("viewer"))]
Editor = Annotated[Principal, Depends(_at_least("editor"))]
