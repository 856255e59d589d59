"""The servers that `webguard up` starts: their data survives a kill, a wrong password opens nothing."""

import asyncio
import inspect
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import nats
import nats.errors
import psutil
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from pydantic import SecretStr
from redis.asyncio import from_url
from redis.exceptions import AuthenticationError

from shared.artifacts.store import ArtifactMissing, S3Store
from shared.bus.access import Access
from shared.errors import Unavailable
from tests.servers import Database, artifact_settings, bus_settings, server_folder
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer
from webguard.local.postgres import PostgresServer
from webguard.local.process import Child, StartFailed, accepts, free_port
from webguard.local.redis import RedisServer

ROOT = Path(__file__).parents[2]


async def until(true: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 15) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds
    while True:
        answer = true()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def kill(child: Child | None) -> None:
    assert child is not None
    child.send(signal.SIGKILL)
    child.stop()


async def client(server: NatsServer, user: str = "admin", password: str | None = None) -> Client:
    async def quiet(_: Exception) -> None: ...

    return await nats.connect(
        server.url,
        user=user,
        password=password or server.passwords[user],
        allow_reconnect=False,
        error_cb=quiet,
        inbox_prefix=f"_INBOX_{user}",
    )


async def test_nats_keeps_what_it_acknowledged_through_a_kill() -> None:
    with server_folder("nats") as folder:
        server = NatsServer(folder)
        server.start()
        try:
            nc = await client(server)
            await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
            for n in range(20):
                await nc.jetstream().publish("s", str(n).encode())
            await nc.close()
            kill(server.child)
            again = NatsServer(folder)
            again.start()
            nc = await client(again)
            assert (await nc.jetstream().stream_info("S")).state.messages == 20
            await nc.close()
            again.stop()
            assert not accepts(again.port)
        finally:
            server.stop()


async def test_nats_refuses_a_wrong_password_and_what_a_user_may_not_publish(nats_server: NatsServer) -> None:
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await client(nats_server, password="wrong")
    nc = await client(nats_server, user="scheduler")
    violations: list[str] = []

    async def note(error: Exception) -> None:
        violations.append(str(error))

    nc._error_cb = note
    await nc.publish("wg.acme.event.execution.finished.x", b"forged")
    await nc.flush()
    await until(lambda: any("permissions violation" in text for text in violations))
    await nc.close()


async def test_nats_takes_new_users_without_a_restart(fresh_nats: NatsServer) -> None:
    admin = await client(fresh_nats)
    fresh_nats.reload({"admin": Access((">",), (">",)), "guest": Access(("x",), ("_INBOX_guest.>",))})

    async def guest_enters() -> bool:
        try:
            await (await client(fresh_nats, user="guest")).close()
        except nats.errors.Error:
            return False
        return True

    await until(guest_enters)
    await admin.flush()  # not disconnected
    await admin.close()


async def test_postgres_keeps_committed_rows_through_a_kill() -> None:
    with server_folder("postgres") as folder:
        server = PostgresServer(folder)
        server.start()
        try:
            server.execute("create table t (n int); insert into t select generate_series(1, 100)")
            kill(server.child)
            again = PostgresServer(folder)
            again.start()
            assert again.execute("select count(*) from t").strip() == "100"
            again.stop()
            assert not accepts(again.port)
        finally:
            server.stop()


async def test_postgres_refuses_a_wrong_password(fresh_database: Database) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(fresh_database.dsn_as("webguard", "wrong"))
    connection = await asyncpg.connect(fresh_database.dsn)
    assert await connection.fetchval("select current_setting('server_encoding')") == "UTF8"
    assert await connection.fetchval("select count(*) from pg_hba_file_rules where auth_method = 'trust'") == 0
    await connection.close()


def test_postgres_never_runs_as_root(postgres_server: PostgresServer) -> None:
    """A private folder is reached through a user namespace, where root of this machine is an ordinary user."""
    assert postgres_server.child is not None
    if os.geteuid() == 0:
        assert psutil.Process(postgres_server.child.pid).username() == "nobody"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root is told apart")
def test_postgres_of_root_starts_in_a_private_folder(tmp_path: Path) -> None:
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    long = private / ("d" * 90)  # longer than a socket's path may be
    long.mkdir()
    server = PostgresServer(long)
    server.start()
    try:
        assert server.execute("select 1").strip() == "1"
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    finally:
        server.stop()


async def test_redis_keeps_a_key_through_a_kill() -> None:
    with server_folder("redis") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            r = from_url(server.url, password=server.password)
            await r.incrby("n", 7)
            # everysec: on disk within about a second
            await until(lambda: b"incrby" in b"".join(p.read_bytes() for p in folder.rglob("*.aof")).lower())
            await r.aclose()
            kill(server.child)
            again = RedisServer(folder)
            again.start()
            r = from_url(again.url, password=again.password)
            assert await r.get("n") == b"7"
            await r.aclose()
            again.stop()
            assert not accepts(again.port)
        finally:
            server.stop()


async def test_redis_refuses_without_the_password(redis_server: RedisServer) -> None:
    r = from_url(redis_server.url)
    with pytest.raises(AuthenticationError):
        await r.get("n")
    await r.aclose()


async def test_the_object_store_keeps_files_through_a_kill(tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    page.write_bytes(b"\x89PNG" * 1000)
    with server_folder("s3") as folder:
        server = ObjectStoreServer(folder)
        server.start()
        try:
            store = S3Store(artifact_settings(server))
            await store.put("acme/page.png", page, "image/png")
            await store.close()
            kill(server.child)
            again = ObjectStoreServer(folder)
            again.start()
            store = S3Store(artifact_settings(again))
            assert b"".join([piece async for piece in store.get("acme/page.png")]) == page.read_bytes()
            await store.close()
            again.stop()
            assert not accepts(again.port)
        finally:
            server.stop()


async def test_the_object_store_refuses_a_wrong_key(object_store: ObjectStoreServer, tmp_path: Path) -> None:
    settings = artifact_settings(object_store).model_copy(update={"s3_secret_key": SecretStr("wrong")})
    page = tmp_path / "page.png"
    page.write_bytes(b"x")
    store = S3Store(settings)
    with pytest.raises(Unavailable, match="not take acme/stolen"):
        await store.put("acme/stolen.png", page, "image/png")
    await store.close()
    store = S3Store(artifact_settings(object_store))
    with pytest.raises(ArtifactMissing):
        [piece async for piece in store.get("acme/stolen.png")]
    await store.close()


def test_the_object_store_listens_on_loopback_only_and_its_inner_ports_take_nothing(
    object_store: ObjectStoreServer,
) -> None:
    """A page under test runs on this machine too: what needs no key must neither read nor write files."""
    assert object_store.child is not None
    sockets = psutil.Process(object_store.child.pid).net_connections("tcp")
    listening = {c.laddr for c in sockets if c.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    answers: dict[str, set[int]] = {}
    for path in ("/buckets/wg-artifacts/", "/1,0123456789", "/dir/assign", "/submit"):
        for address in listening:
            with suppress(httpx.RemoteProtocolError):  # gRPC
                url = f"http://127.0.0.1:{address.port}{path}"
                for answer in (httpx.get(url, timeout=5), httpx.post(url, content=b"x", timeout=5)):
                    answers.setdefault(path, set()).add(answer.status_code)
    assert not {code for codes in answers.values() for code in codes if code < 400}
    assert 401 in answers["/1,0123456789"]  # the volume server wants a signed token


def test_secrets_are_for_their_owner_alone(nats_server: NatsServer, redis_server: RedisServer) -> None:
    for server in (nats_server, redis_server):
        files = [path for path in server.folder.iterdir() if path.suffix in (".password", ".conf")]
        assert files
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_server_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    port = free_port()
    first = RedisServer(tmp_path / "one", port)
    first.start()
    try:
        with pytest.raises(StartFailed, match=r"(?i)address already in use"):
            RedisServer(tmp_path / "two", port).start()
    finally:
        first.stop()


NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]


def test_all_servers_start_for_an_ordinary_user() -> None:
    """Root becomes one in a user namespace, since user nobody may have no way into our virtual environment."""
    if os.geteuid() == 0 and (shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode):
        pytest.skip("root, and no user namespaces here")
    code = (
        "import json, os, sys; from pathlib import Path\n"
        "from webguard.local import nats, objectstore, postgres, redis\n"
        "folder = Path(sys.argv[1])\n"
        "servers = [nats.NatsServer(folder / 'n'), postgres.PostgresServer(folder / 'p'),\n"
        "           redis.RedisServer(folder / 'r'), objectstore.ObjectStoreServer(folder / 's')]\n"
        "for server in servers: server.start()\n"
        "print(json.dumps([os.geteuid() > 0, [server.healthy() for server in servers]]))\n"
        "for server in servers: server.stop()\n"
    )
    with server_folder("user") as folder:
        command = [*(NAMESPACE if os.geteuid() == 0 else []), sys.executable, "-c", code, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [True, [True] * 4]


async def test_children_do_not_outlive_a_launcher_that_was_killed() -> None:
    with server_folder("orphans") as folder:
        code = (
            "import sys, time; from pathlib import Path\n"
            "from webguard.local import nats, postgres\n"
            "servers = [nats.NatsServer(Path(sys.argv[1]) / 'n'), postgres.PostgresServer(Path(sys.argv[1]) / 'p')]\n"
            "for server in servers: server.start()\n"
            "print(*[server.child.pid for server in servers], flush=True)\n"
            "time.sleep(300)\n"
        )
        launcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, str(folder)), cwd=ROOT, stdout=subprocess.PIPE
        )
        assert launcher.stdout is not None
        children = [psutil.Process(int(pid)) for pid in (await launcher.stdout.readline()).split()]
        assert len(children) == 2
        launcher.kill()
        await launcher.wait()

        def gone() -> bool:
            return all(not c.is_running() or c.status() == psutil.STATUS_ZOMBIE for c in children)

        await until(gone)


async def test_provisioning_and_settings_fit_together(bus: Client, fresh_nats: NatsServer) -> None:
    assert bus_settings(fresh_nats).nats_user == "admin"
    assert (await bus.jetstream().stream_info("EVENTS")).config.subjects == ["wg.*.event.>"]
