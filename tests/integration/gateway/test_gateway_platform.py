"""The platform over REST: files, skills, status, documentation, and what is said when a part of it is away."""

import asyncio
import hashlib
import signal
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from nats.aio.client import Client

from shared.artifacts import ArtifactStore, artifact_key, open_store
from shared.bus.connection import connect
from shared.bus.topology import REQUESTS
from shared.events import Artifact
from shared.settings import ArtifactSettings
from tests.integration.gateway.conftest import Bus, Tenant, definition, eventually, make_tenant
from tests.integration.gateway.stage import Stage, s3_environment, stage
from tests.integration.gateway.test_gateway_executions import ended, finished_case, started, stream, until_status
from tests.servers import artifact_settings, bus_settings
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import PostgresServer
from webguard.local.redis import RedisServer

PAGE = b"<script>alert(1)</script>" * 20_000


async def leave_file(
    tenant: Tenant, events: Bus, store: ArtifactStore, folder: Path, key: str | None = None
) -> tuple[UUID, dict[str, Any]]:
    """An execution whose only case left a page; with the file as the API lists it."""
    execution, file = uuid4(), folder / "page.html"
    file.write_bytes(PAGE)
    name = key or artifact_key(tenant.name, execution, "a", 1, 1, "page.html")
    await store.put(name, file, "text/html")
    left = Artifact(
        name="page.html",
        kind="screenshot",
        key=name,
        content_type="text/html",
        size=len(PAGE),
        sha256=hashlib.sha256(PAGE).hexdigest(),
    )
    case = finished_case(tenant, execution, "a", status="failed", artifacts=[left])
    await events.say(started(tenant, execution), case, ended(tenant, execution, "failed"))
    await until_status(tenant, execution, "failed")

    async def listed() -> Any:
        return (await tenant.api.get(f"/executions/{execution}/artifacts")).json()["items"]

    (item,) = await eventually(listed)
    return execution, item


async def test_a_file_of_the_object_store_is_streamed_and_cannot_run_as_our_page(
    tenant: Tenant, other: Tenant, events: Bus, tmp_path: Path
) -> None:
    store = open_store(ArtifactSettings(), events.nc)
    execution, item = await leave_file(tenant, events, store, tmp_path)
    assert (item["case"], item["attempt"], item["size"]) == ("a", 1, len(PAGE))
    (result,) = (await tenant.api.get(f"/executions/{execution}/results")).json()["items"]
    assert result["screenshot_url"] == item["url"] == result["artifacts"][0]["url"]
    path = item["url"].removeprefix("/api/v1")
    answer = await tenant.api.get(path)
    assert answer.content == PAGE
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await other.api.get(path)).status_code == 404
    assert (await tenant.api.get(f"/artifacts/{uuid4()}")).status_code == 404
    await store.delete(artifact_key(tenant.name, execution, "a", 1, 1, "page.html"))
    gone = await tenant.api.get(path)
    assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")


async def test_a_key_of_another_tenant_is_never_served(
    tenant: Tenant, other: Tenant, events: Bus, tmp_path: Path
) -> None:
    store = open_store(ArtifactSettings(), events.nc)
    _, item = await leave_file(tenant, events, store, tmp_path, key=f"{other.name}/{uuid4()}/a/1-1/page.html")
    assert (await tenant.api.get(item["url"].removeprefix("/api/v1"))).status_code == 404


async def test_a_file_in_s3_is_a_link_that_works_without_our_credentials(
    tenant: Tenant, gateway: Stage, events: Bus, object_store: ObjectStoreServer, tmp_path: Path
) -> None:
    store = open_store(artifact_settings(object_store), events.nc)
    _, item = await leave_file(tenant, events, store, tmp_path)
    await store.close()
    with gateway.service("gateway", s3_environment(object_store)) as url:
        async with httpx.AsyncClient(headers={"X-API-Key": tenant.keys["viewer"]}) as viewer:
            answer = await viewer.get(f"{url}{item['url']}")
    assert answer.status_code == 302
    assert answer.headers["referrer-policy"] == "no-referrer"
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.get(answer.headers["location"])).content == PAGE


async def test_skills_are_listed_with_their_params(tenant: Tenant) -> None:
    (skill,) = (await tenant.api.get("/skills")).json()
    assert (skill["name"], skill["kind"]) == ("http-check", "api")
    detail = (await tenant.api.get("/skills/http-check")).json()
    assert detail["params_schema"]["required"] == ["url"]
    assert (await tenant.api.get("/skills/none")).status_code == 404


async def test_status_names_every_live_service_and_what_waits(tenant: Tenant) -> None:
    status = (await tenant.api.get("/status")).json()
    assert {service["service"] for service in status["services"]} == {"gateway", "recorder"}
    assert set(status["streams"]) == {"REQUESTS", "LEDGER", "EVENTS", "TICKS", "DEAD"}
    assert "tasks-browser-high" in status["queues"]
    before = status["backlog"]["REQUESTS/dispatcher"]
    await tenant.api.post("/suites", json=definition())
    await tenant.api.post("/executions/trigger", json={"suite": "checkout"})

    async def waits() -> bool:
        now = (await tenant.api.get("/status")).json()
        # Other tests of this worker may have asked for executions too.
        return bool(now["backlog"]["REQUESTS/dispatcher"] > before and now["recorder_lag"] == 0 and now["suites"] == 1)

    await eventually(waits)


async def test_the_documentation_comes_from_here_alone(gateway: Stage) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, follow_redirects=True) as anybody:
        page = await anybody.get("/")
        assert page.url.path == "/docs"
        assert "//" not in page.text.replace("http://www.w3.org", "").replace("<!--", "").replace("// ", "")
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
            assert (await anybody.get(f"/docs/assets/{asset}")).status_code == 200


async def test_requests_are_measured_by_route_and_not_by_path(tenant: Tenant, gateway: Stage) -> None:
    await tenant.api.get(f"/executions/{uuid4()}")
    await tenant.api.get(f"/nowhere/{token_hex(4)}")
    async with httpx.AsyncClient() as anybody:
        text = (await anybody.get(f"{gateway.url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("webguard_http_request_seconds_count")]
    assert any('route="/executions/{execution_id}",status="404"' in line for line in lines)
    assert not any("nowhere" in line for line in lines)


async def test_a_full_stream_is_429_and_a_server_that_is_away_503(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    """On servers of its own: they are filled, and stopped."""
    with stage(postgres_server, redis_server) as servers, servers.service("gateway") as url:
        connection = await asyncpg.connect(servers.database.dsn)
        await connection.execute(
            "insert into skills_registry (name, category, description, version, params_schema, created_at, offered_at)"
            " values ('http-check', 'api', '', '1', '{}', now(), now())"
        )
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as api:
            tenant = await make_tenant(connection, api, "crowded")
            await connection.close()
            api.headers["X-API-Key"] = tenant.keys["admin"]
            assert (await api.post("/suites", json=definition())).status_code == 201
            nc: Client = await connect(bus_settings(servers.nats), "test")
            config = (await nc.jetstream().stream_info(REQUESTS.name)).config
            config.max_bytes = 1
            await nc.jetstream().update_stream(config)
            full = await api.post("/executions/trigger", json={"suite": "checkout"})
            assert (full.status_code, full.headers["retry-after"]) == (429, "30")
            await nc.close()
            servers.nats.stop()
            away = await asyncio.gather(
                api.post("/executions/trigger", json={"suite": "checkout"}),
                api.get("/suites"),
                api.post("/suites", json=definition()),
                api.get("/status"),
            )
            for answer in away:
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert int(answer.headers["retry-after"]) > 0
            # What needs no bus goes on.
            assert (await api.get("/executions")).status_code == 200
            assert (await api.get(f"{url}/livez")).status_code == 200
            assert (await api.get(f"{url}/readyz")).status_code == 503
            servers.nats.start()

            async def ready() -> bool:
                return (await api.get("/suites")).status_code == 200

            await eventually(ready)


async def test_who_watches_goes_on_watching_when_nats_was_away(
    postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    """On servers of its own: NATS is killed."""
    with (
        stage(postgres_server, redis_server) as servers,
        servers.service("recorder"),
        servers.service("gateway") as url,
    ):
        connection = await asyncpg.connect(servers.database.dsn)
        async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as api:
            tenant = await make_tenant(connection, api, "watching")
            await connection.close()
            api.headers["X-API-Key"] = tenant.keys["viewer"]
            execution = uuid4()
            nc = await connect(bus_settings(servers.nats), "test")
            events = Bus(nc)
            await events.say(started(tenant, execution))
            await until_status(tenant, execution, "running")
            async with api.stream("GET", f"/executions/{execution}/events") as response:
                seen = stream(response)
                assert (await anext(seen)).name == "execution.started"
                assert servers.nats.child is not None
                servers.nats.child.stop(signal.SIGKILL)
                servers.nats.start()
                await nc.close()
                nc = await connect(bus_settings(servers.nats), "test")
                events = Bus(nc)
                await events.say(finished_case(tenant, execution, "a"), ended(tenant, execution))
                assert [event.name async for event in seen] == ["case.finished", "execution.finished"]
            await nc.close()
