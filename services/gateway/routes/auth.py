"""Logging in, and who one is."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter

from services.gateway.access import Parts, Viewer
from services.gateway.auth import BadCredentials, issue_token
from services.gateway.models import Login, Me, Token
from services.gateway.problems import Refusal

router = APIRouter(tags=["auth"])


@router.post("/auth/login", summary="Get a token for a name and a password", operation_id="login")
async def login(body: Login, gateway: Parts) -> Token:
    try:
        who = await gateway.accounts.log_in(body.tenant, body.username, body.password)
    except BadCredentials as error:
        raise Refusal(401, str(error), headers={"WWW-Authenticate": "Bearer"}) from error
    lifetime = timedelta(minutes=gateway.settings.token_minutes)
    secret = gateway.settings.jwt_secret.get_secret_value()
    token = issue_token(who, secret, datetime.now(UTC), lifetime)
    return Token(access_token=token, expires_in=round(lifetime.total_seconds()))


@router.get("/me", summary="Who the credentials belong to", operation_id="me")
async def me(who: Viewer) -> Me:
    return Me(name=who.name, tenant=who.tenant, role=who.role, via=who.via)
