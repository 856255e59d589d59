"""Tokens and keys: what is not exactly ours is nobody's."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.auth import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    ROLES,
    BadCredentials,
    Principal,
    digest_of,
    issue_token,
    key_id,
    make_key,
    read_token,
    same,
)

SECRET = "a secret of so many characters that HS512, which is refused, has enough of them"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WHO = Principal("default", "admin", "admin", "token")
HALF_AN_HOUR = timedelta(minutes=30)


def forged(claims: dict[str, Any] | None = None, secret: str = SECRET, algorithm: str = ALGORITHM) -> str:
    good = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + HALF_AN_HOUR, "sub": "a", "tenant": "default", "role": "admin"}
    given = {key: value for key, value in {**good, **(claims or {})}.items() if value is not None}
    return jwt.encode(given, secret, algorithm=algorithm)


def test_a_token_says_who_until_it_ends() -> None:
    token = issue_token(WHO, SECRET, NOW, HALF_AN_HOUR)
    assert read_token(token, SECRET, NOW) == WHO
    assert read_token(token, SECRET, NOW + timedelta(minutes=29)) == WHO
    with pytest.raises(BadCredentials, match="ended"):
        read_token(token, SECRET, NOW + HALF_AN_HOUR)


@pytest.mark.parametrize(
    "token",
    [
        forged(secret="another secret of so many characters that HS512 would have enough of them"),
        forged(algorithm="HS512"),
        forged({"iss": "somebody"}),
        forged({"aud": "another-api"}),
        forged({"role": "owner"}),
        forged({"tenant": ["default"]}),
        *[forged({claim: None}) for claim in ("iss", "aud", "exp", "sub", "tenant", "role")],
        "",
        "a.b.c",
        "wg_0123456789abcdef_x",
    ],
)
def test_a_token_that_is_not_ours_is_refused(token: str) -> None:
    with pytest.raises(BadCredentials):
        read_token(token, SECRET, NOW)


def test_a_token_without_a_signature_is_refused() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    _, claims, signature = forged().split(".")
    for algorithm in ("none", "None", "NONE"):
        head = part({"alg": algorithm, "typ": "JWT"})
        for end in ("", signature):
            with pytest.raises(BadCredentials):
                read_token(f"{head}.{claims}.{end}", SECRET, NOW)


def test_a_token_whose_claims_were_changed_is_refused() -> None:
    head, _, signature = issue_token(Principal("default", "a", "viewer", "token"), SECRET, NOW, HALF_AN_HOUR).split(".")
    claims = forged({"role": "admin"}, "x" * 32).split(".")[1]
    with pytest.raises(BadCredentials):
        read_token(f"{head}.{claims}.{signature}", SECRET, NOW)


@given(st.text())
def test_no_text_is_a_token_by_accident(text: str) -> None:
    with pytest.raises(BadCredentials):
        read_token(text, SECRET, NOW)


def test_a_key_names_itself_and_only_its_whole_text_has_its_digest() -> None:
    key = make_key()
    assert key_id(key.text) == key.id
    assert same(digest_of(key.text), key.digest)
    assert not same(digest_of(key.text[:-1]), key.digest)
    assert make_key().text != key.text
    assert len(key.text) > 60


@pytest.mark.parametrize(
    "text", ["", "wg_", "wg_1_2", "xx_0123456789abcdef_y", "wg_0123456789abcde\x00_y", "wg_ünterwegs012345_y"]
)
def test_what_does_not_look_like_a_key_has_no_id(text: str) -> None:
    assert key_id(text) is None


def test_a_role_may_what_the_lesser_ones_may_and_no_more() -> None:
    for index, role in enumerate(ROLES):
        who = Principal("default", "a", role, "token")
        assert [who.may(other) for other in ROLES] == [position >= index for position in range(len(ROLES))]
