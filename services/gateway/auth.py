"""Who calls: passwords, access tokens, API keys. Pure but for the clock that is an argument."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

ISSUER = "webguard"
ALGORITHM = "HS256"
KEY_PREFIX = "wg"


@dataclass(frozen=True)
class Caller:
    """Who calls, for which tenant, as what."""

    name: str
    tenant: str
    role: str


class NotAuthenticated(Exception):
    """The text may be shown: it says nothing of accounts."""


def hash_password(password: str) -> str:
    return PasswordHasher().hash(password)


def password_matches(hashed: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False


def make_token(caller: Caller, secret: str, now: datetime, minutes: float) -> str:
    claims = {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": caller.name,
        "tenant": caller.tenant,
        "role": caller.role,
        "iat": now,
        "exp": now + timedelta(minutes=minutes),
    }
    return jwt.encode(claims, secret, ALGORITHM)


def read_token(token: str, secret: str) -> Caller:
    """
    Raises:
        NotAuthenticated: not ours, changed, of another algorithm, or too old.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            audience=ISSUER,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "iss", "aud", "sub", "tenant", "role"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise NotAuthenticated("the access token has expired; log in again") from error
    except jwt.InvalidTokenError as error:
        raise NotAuthenticated("the access token is not valid; log in again") from error
    return Caller(str(claims["sub"]), str(claims["tenant"]), str(claims["role"]))


def make_api_key() -> tuple[str, str, str]:
    """(the key to give away once, its public id, the hash to keep)."""
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    key = f"{KEY_PREFIX}_{identity}_{secret}"
    return key, identity, hash_api_key(key)


def hash_api_key(key: str) -> str:
    # The key has 256 bits of its own: a slow hash would add nothing.
    return hashlib.sha256(key.encode()).hexdigest()


def api_key_id(key: str) -> str | None:
    """The public part of something that looks like a key of ours."""
    parts = key.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == KEY_PREFIX and parts[1] else None


def api_key_matches(key: str, kept_hash: str) -> bool:
    return hmac.compare_digest(hash_api_key(key), kept_hash)
