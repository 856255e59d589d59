"""Logging in."""

from datetime import UTC, datetime

from fastapi import APIRouter

from services.gateway.auth import make_token
from services.gateway.deps import CallerDep, PartsDep
from services.gateway.models import Login, Me, Token
from services.gateway.problems import ProblemError

router = APIRouter(tags=["accounts"])


@router.post("/auth/login")
async def log_in(body: Login, use: PartsDep) -> Token:
    """Exchange a name and a password for an access token."""
    who = await use.database.log_in(body.tenant, body.username, body.password)
    if who is None:
        raise ProblemError(401, "wrong name, tenant or password", headers={"WWW-Authenticate": "Bearer"})
    secret, minutes = use.settings.jwt_secret.get_secret_value(), use.settings.token_minutes
    token = make_token(who, secret, datetime.now(UTC), minutes)
    return Token(access_token=token, expires_in=int(minutes * 60))


@router.get("/me")
async def me(who: CallerDep) -> Me:
    """Who the credentials belong to."""
    return Me(name=who.name, tenant=who.tenant, role=who.role)
