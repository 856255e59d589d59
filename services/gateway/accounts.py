"""Accounts: who may log in, which keys are good, and the first of both."""

import asyncio
import json
import os
import secrets
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.gateway.auth import BadCredentials, Principal, digest_of, key_id, make_key, same
from services.gateway.cache import Cache
from services.gateway.database import Database
from services.gateway.problems import Refusal

FIRST_TENANT = "default"
FIRST_USER = "admin"
_NO_DIGEST = "0" * 64


class Accounts:
    """Checks credentials. Takes as long for a name that does not exist as for one that does."""

    def __init__(self, database: Database, cache: Cache, max_tries: int) -> None:
        self._database = database
        self._cache = cache
        self._max_tries = max_tries
        self._hasher = PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    async def log_in(self, tenant: str, username: str, password: str) -> Principal:
        """
        Raises:
            BadCredentials: no such user, or not this password.
            Refusal: too many wrong passwords of late.
        """
        if await self._cache.wrong_passwords(tenant, username) >= self._max_tries:
            raise Refusal(429, "too many wrong passwords; wait a quarter of an hour", headers={"Retry-After": "900"})
        row = None if "\x00" in tenant + username else await self._database.row("login", tenant, username)
        right = await asyncio.to_thread(self._verify, row["password_hash"] if row else self._nobody, password)
        if row is None or not right:
            await self._cache.count_wrong_password(tenant, username)
            raise BadCredentials("unknown user or wrong password")
        if self._hasher.check_needs_rehash(row["password_hash"]):
            fresh = await asyncio.to_thread(self._hasher.hash, password)
            await self._database.rows("rehash", row["id"], fresh)
        return Principal(row["tenant"], row["name"], row["role"], "token")

    async def of_key(self, text: str, now: datetime) -> Principal:
        """
        Raises:
            BadCredentials: it is no key, or not one of ours.
        """
        identity = key_id(text)
        row = await self._database.row("api_key", identity) if identity else None
        if not same(digest_of(text), row["key_hash"] if row else _NO_DIGEST) or row is None:
            raise BadCredentials("the API key is not valid")
        if row["last_used_at"] is None or (now - row["last_used_at"]).total_seconds() > 60:
            await self._database.rows("api_key_used", row["id"], now)
        return Principal(row["tenant"], row["name"], row["role"], "api key")

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False


async def bootstrap(database: Database, out: Path) -> bool:
    """Make the first tenant, its admin and a key, and write them to a file that only we may read.

    Returns:
        False: there is an admin already; nothing was made or written.
    """
    password, key = secrets.token_urlsafe(18), make_key()
    async with database.transaction() as transaction:
        await transaction.value("bootstrap_lock")
        if await transaction.value("admin_exists"):
            return False
        tenant = await transaction.value("add_tenant", uuid4(), FIRST_TENANT)
        hashed = PasswordHasher().hash(password)
        await transaction.value("add_user", uuid4(), tenant, FIRST_USER, hashed, "admin")
        await transaction.value("add_api_key", key.id, tenant, FIRST_USER, key.digest, "admin")
        # Before the commit: an admin whose password nobody has would be for ever.
        made = {"tenant": FIRST_TENANT, "username": FIRST_USER, "password": password, "api_key": key.text}
        _write_private(out, json.dumps(made, indent=2) + "\n")
    return True


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
