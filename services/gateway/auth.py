"""Who is asking: tokens and API keys, read and made. Pure but for the random bytes of a new key."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import jwt

# The first may all that those after it may.
Role = Literal["admin", "operator", "editor", "viewer"]
ROLES: tuple[Role, ...] = get_args(Role)

ISSUER = "webguard"
AUDIENCE = "webguard-api"
# Pinned: a token never chooses how it is checked.
ALGORITHM = "HS256"
KEY_PREFIX = "wg_"


class BadCredentials(Exception):
    """The text is fit for whoever sent them: it does not say which part was nearly right."""


@dataclass(frozen=True)
class Principal:
    """Who is asking, as a token or a key proved."""

    tenant: str
    name: str
    role: Role
    via: Literal["token", "api key"]

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) <= ROLES.index(role)


def issue_token(principal: Principal, secret: str, now: datetime, lifetime: timedelta) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
        "sub": principal.name,
        "tenant": principal.tenant,
        "role": principal.role,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def read_token(token: str, secret: str, now: datetime) -> Principal:
    """Who a token was given to. It is good until it ends, even where the user is disabled meanwhile.

    Raises:
        BadCredentials: it is not ours, or has ended.
    """
    required = ["iss", "aud", "exp", "sub", "tenant", "role"]
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            # The clock is ours: `now` is an argument.
            options={"require": required, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        ends = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
        raise BadCredentials("the token is not valid") from error
    if ends <= now:
        raise BadCredentials("the token has ended; log in again")
    if not isinstance(claims["tenant"], str) or claims["role"] not in ROLES:
        raise BadCredentials("the token is not valid")
    return Principal(claims["tenant"], str(claims["sub"]), claims["role"], "token")


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the only moment at which its text is known."""

    id: str
    text: str
    digest: str


def make_key() -> NewKey:
    identity = secrets.token_hex(8)
    text = f"{KEY_PREFIX}{identity}_{secrets.token_urlsafe(32)}"
    return NewKey(identity, text, digest_of(text))


def key_id(text: str) -> str | None:
    """Which key a text claims to be; None: it does not look like one."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "wg" or len(parts[1]) != 16 or not parts[1].isalnum() or not text.isascii():
        return None
    return parts[1]


def digest_of(key: str) -> str:
    # A key has enough entropy of its own that a fast digest will do.
    return hashlib.sha256(key.encode()).hexdigest()


def same(digest: str, other: str) -> bool:
    """In a time that does not depend on where they differ."""
    return secrets.compare_digest(digest, other)
