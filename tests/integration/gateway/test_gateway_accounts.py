"""Accounts on real servers: logging in, keys, the first admin, the schema up and down."""

import asyncio
import base64
import json
import stat
from secrets import token_hex
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from argon2 import PasswordHasher

from services.gateway.auth import make_key
from services.gateway.migrate import migrate
from tests.integration.gateway.conftest import Tenant
from tests.integration.gateway.stage import Stage
from tests.servers import database_of

PASSWORD = "correct horse battery staple"


async def add_user(owner: Any, tenant: Tenant, name: str, role: str = "viewer") -> None:
    hashed = await asyncio.to_thread(PasswordHasher().hash, PASSWORD)
    insert = "insert into accounts.users (id, tenant_id, name, password_hash, role) values ($1, $2, $3, $4, $5)"
    await owner.execute(insert, uuid4(), tenant.id, name, hashed, role)


async def log_in(tenant: Tenant, name: str, password: str = PASSWORD, of: str | None = None) -> httpx.Response:
    body = {"username": name, "password": password, "tenant": of or tenant.name}
    return await tenant.api.post("/auth/login", json=body, headers={"X-API-Key": ""})


async def test_a_name_and_a_password_give_a_token_of_that_user(tenant: Tenant, owner: Any) -> None:
    await add_user(owner, tenant, "mia", "editor")
    answer = (await log_in(tenant, "mia")).json()
    assert (answer["token_type"], answer["expires_in"]) == ("bearer", 1800)
    headers = {"Authorization": f"Bearer {answer['access_token']}", "X-API-Key": ""}
    me = (await tenant.api.get("/me", headers=headers)).json()
    assert me == {"name": "mia", "tenant": tenant.name, "role": "editor", "via": "token"}


async def test_a_wrong_password_user_or_tenant_get_the_same_answer(tenant: Tenant, other: Tenant, owner: Any) -> None:
    await add_user(owner, tenant, "mia")
    answers = [
        await log_in(tenant, "mia", "wrong"),
        await log_in(tenant, "nobody"),
        await log_in(tenant, "mia", of=other.name),
        await log_in(tenant, "mia", of="nowhere"),
        await log_in(tenant, "mi\x00a"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1


async def test_many_wrong_passwords_lock_that_user_for_a_while_and_no_other(tenant: Tenant, owner: Any) -> None:
    await add_user(owner, tenant, "mia")
    await add_user(owner, tenant, "ben")
    for _ in range(10):
        assert (await log_in(tenant, "mia", "wrong")).status_code == 401
    locked = await log_in(tenant, "mia")
    assert (locked.status_code, locked.headers["retry-after"]) == (429, "900")
    assert (await log_in(tenant, "ben")).status_code == 200


async def test_a_key_works_in_either_header_and_its_use_is_noted(tenant: Tenant, owner: Any) -> None:
    key = tenant.keys["viewer"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}", "X-API-Key": ""}):
        me = (await tenant.api.get("/me", headers=headers)).json()
        assert (me["tenant"], me["role"], me["via"]) == (tenant.name, "viewer", "api key")
    used = "select last_used_at is not null from accounts.api_keys where id = $1"
    assert await owner.fetchval(used, key.split("_")[1])
    kept = await owner.fetchval("select key_hash from accounts.api_keys where id = $1", key.split("_")[1])
    assert key.split("_", 2)[2] not in kept


async def test_credentials_that_are_not_ours_are_refused(tenant: Tenant) -> None:
    good = tenant.keys["admin"]
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode()
    for text in (good[:-1], good + "x", make_key().text, "wg_", f"{none}.e30.", "x", "wg_é"):
        value = text.encode()
        for headers in ({b"X-API-Key": value}, {b"Authorization": b"Bearer " + value, b"X-API-Key": b""}):
            answer = await tenant.api.get("/me", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"


async def test_the_first_admin_is_made_once_and_can_do_both(gateway: Stage) -> None:
    file, again = (gateway.folder / f"{name}-{token_hex(4)}.json" for name in ("first", "again"))
    for out, word in ((file, "wrote"), (again, "already")):
        command = ("services.gateway", "bootstrap", "--out", str(out))
        assert word in await asyncio.to_thread(gateway.run, *command, role="gateway")
    assert not again.exists()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = json.loads(file.read_text())
    assert (first["tenant"], first["username"]) == ("default", "admin")
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/v1") as api:
        login = await api.post("/auth/login", json={"username": first["username"], "password": first["password"]})
        assert login.status_code == 200
        me = await api.get("/me", headers={"X-API-Key": first["api_key"]})
        assert me.json()["role"] == "admin"


async def test_the_schema_goes_up_and_down_and_up(servers: Stage) -> None:
    with database_of(servers.database.server) as database:

        async def tables() -> int:
            connection = await asyncpg.connect(database.dsn)
            try:
                count = "select count(*) from information_schema.tables where table_schema = 'accounts'"
                return int(await connection.fetchval(count))
            finally:
                await connection.close()

        for revision, expected in (("head", 3), ("base", 0), ("head", 3), ("head", 3)):
            await asyncio.to_thread(migrate, database.settings, revision)
            assert await tables() == expected
