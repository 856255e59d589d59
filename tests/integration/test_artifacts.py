"""Artifacts: one interface, the same promises from S3 and from JetStream's Object Store."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import httpx
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from shared.artifacts import ArtifactStore, ObjectStore, S3Store, open_store
from shared.artifacts.store import ArtifactMissing
from shared.bus.connection import connect
from shared.errors import Unavailable
from shared.settings import ArtifactSettings
from tests.servers import artifact_settings, bus_settings
from webguard.local.nats import NatsServer
from webguard.local.objectstore import ObjectStoreServer


@pytest.fixture(params=["s3", "object store"])
async def stores(
    request: pytest.FixtureRequest, fresh_nats: NatsServer, bus: Client
) -> AsyncIterator[tuple[ArtifactStore, ArtifactStore]]:
    """(the executors' store, the gateway's), each with the rights of its own service."""
    if request.param == "s3":
        server: ObjectStoreServer = request.getfixturevalue("object_store")
        writer, reader = (open_store(artifact_settings(server), bus) for _ in range(2))
        yield writer, reader
        await writer.close()
        await reader.close()
        return
    connections = [await connect(bus_settings(fresh_nats, user), user) for user in ("executors", "gateway")]
    yield open_store(ArtifactSettings(), connections[0]), open_store(ArtifactSettings(), connections[1])
    for connection in connections:
        await connection.close()


def key() -> str:
    return f"default/{token_hex(8)}/a case-1/1-1/file.bin"


async def read(store: ArtifactStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.get(name)])


@pytest.mark.parametrize("size", [0, 1_000, 12_000_000])
async def test_what_one_service_stores_another_reads(
    stores: tuple[ArtifactStore, ArtifactStore], tmp_path: Path, size: int
) -> None:
    content = (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]
    file = tmp_path / "file.bin"
    file.write_bytes(content)
    name = key()
    await stores[0].put(name, file, "application/octet-stream")
    assert await read(stores[1], name) == content


async def test_a_second_put_takes_the_place_of_the_first(
    stores: tuple[ArtifactStore, ArtifactStore], tmp_path: Path
) -> None:
    file, name = tmp_path / "file.txt", key()
    for text in ("first, and longer", "second"):
        file.write_text(text)
        await stores[0].put(name, file, "text/plain")
    assert await read(stores[1], name) == b"second"


async def test_what_is_not_there_or_was_deleted_is_missing(
    stores: tuple[ArtifactStore, ArtifactStore], tmp_path: Path
) -> None:
    file, name = tmp_path / "file.txt", key()
    with pytest.raises(ArtifactMissing):
        await read(stores[1], name)
    file.write_text("here")
    await stores[0].put(name, file, "text/plain")
    await stores[0].delete(name)
    await stores[0].delete(name)
    with pytest.raises(ArtifactMissing):
        await read(stores[1], name)


async def test_a_link_works_without_credentials_and_for_its_file_alone(
    object_store: ObjectStoreServer, tmp_path: Path
) -> None:
    store, file, name = S3Store(artifact_settings(object_store)), tmp_path / "page.html", key()
    try:
        file.write_text("<p>hello")
        await store.put(name, file, "text/html")
        link = await store.presign(name, 'a "page".html')
        assert link is not None
        async with httpx.AsyncClient() as anybody:
            answer = await anybody.get(link)
            assert (answer.status_code, answer.text) == (200, "<p>hello")
            assert answer.headers["content-type"].startswith("text/html")
            assert '"a-page-.html"' in answer.headers["content-disposition"]
            assert (await anybody.get(link.partition("?")[0])).status_code == 403
            assert (await anybody.get(link.replace("file.bin", "other.bin"))).status_code == 403
    finally:
        await store.close()


async def test_the_object_store_has_no_links(bus: Client) -> None:
    assert await ObjectStore(bus).presign(key(), "file.bin") is None


async def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("x")
    settings = ArtifactSettings(s3_url="http://127.0.0.1:9", s3_access_key="a", s3_secret_key=SecretStr("b"))
    store = S3Store(settings)
    try:
        with pytest.raises(Unavailable, match="did not take"):
            await store.put(key(), file, "text/plain")
        with pytest.raises(Unavailable, match="did not give"):
            await read(store, key())
    finally:
        await store.close()
