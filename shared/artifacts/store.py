"""One interface, two stores."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from shared.bus.topology import ARTIFACTS_BUCKET
from shared.errors import Unavailable, WebGuardError
from shared.settings import ArtifactSettings

PRESIGNED_SECONDS = 7 * 24 * 3600
CHUNK_BYTES = 256 * 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class ArtifactMissing(WebGuardError):
    """No file under this key: it never was there, or its time is over."""


class ArtifactStore(Protocol):
    """Files by key. Keys begin with the tenant."""

    async def put(self, key: str, path: Path, content_type: str) -> None:
        """Store a file, in place of one that is there.

        Raises:
            Unavailable: the store did not take it.
        """

    def get(self, key: str) -> AsyncIterator[bytes]:
        """A file in pieces.

        Raises:
            ArtifactMissing: there is none.
        """

    async def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no error.

        Raises:
            Unavailable: the store did not do it.
        """

    async def presign(self, key: str, file_name: str, seconds: int = PRESIGNED_SECONDS) -> str | None:
        """A link that works for a while without more credentials; None where the store has no such links.

        The link is made without asking the store: it does not say that the file is there.
        """

    async def close(self) -> None: ...


def artifact_key(tenant: str, execution_id: UUID, case: str, attempt: int, epoch: int, name: str) -> str:
    """`<tenant>/<execution>/<case>/<attempt>-<epoch>/<name>`, every part safe in a URL and a subject."""
    case_part = _UNSAFE.sub("-", case).strip("-.")[:60] or "case"
    # Two case names may become one part; their files must not meet.
    digest = hashlib.blake2b(case.encode(), digest_size=4).hexdigest()
    return f"{tenant}/{execution_id}/{case_part}-{digest}/{attempt}-{epoch}/{_UNSAFE.sub('-', name) or 'file'}"


class S3Store:
    """Any S3 endpoint, with one client for the process."""

    def __init__(self, settings: ArtifactSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._starting = asyncio.Lock()

    async def _s3(self) -> Any:
        async with self._starting:
            return self._client or await self._start()

    async def _start(self) -> Any:
        s = self._settings
        secret = s.s3_secret_key.get_secret_value() if s.s3_secret_key else None
        self._client = await self._stack.enter_async_context(
            get_session().create_client(
                "s3",
                endpoint_url=s.s3_url,
                region_name=s.s3_region,
                aws_access_key_id=s.s3_access_key,
                aws_secret_access_key=secret,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    connect_timeout=5,
                    read_timeout=30,
                    retries={"max_attempts": 3},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        )
        return self._client

    async def put(self, key: str, path: Path, content_type: str) -> None:
        s3 = await self._s3()
        try:
            with path.open("rb") as body:
                await s3.put_object(Bucket=self._settings.s3_bucket, Key=key, Body=body, ContentType=content_type)
        except (BotoCoreError, ClientError, OSError) as error:
            raise Unavailable(f"S3 did not take {key}: {type(error).__name__}: {error}") from error

    async def get(self, key: str) -> AsyncIterator[bytes]:
        s3 = await self._s3()
        try:
            answer = await s3.get_object(Bucket=self._settings.s3_bucket, Key=key)
        except s3.exceptions.NoSuchKey as error:
            raise ArtifactMissing(f"there is no file {key}") from error
        except (BotoCoreError, ClientError, OSError) as error:
            raise Unavailable(f"S3 did not give {key}: {type(error).__name__}") from error
        async with answer["Body"] as body:
            async for piece in body.iter_chunks(CHUNK_BYTES):
                yield piece[0] if isinstance(piece, tuple) else piece

    async def delete(self, key: str) -> None:
        s3 = await self._s3()
        try:
            await s3.delete_object(Bucket=self._settings.s3_bucket, Key=key)
        except (BotoCoreError, ClientError, OSError) as error:
            raise Unavailable(f"S3 did not delete {key}: {type(error).__name__}") from error

    async def presign(self, key: str, file_name: str, seconds: int = PRESIGNED_SECONDS) -> str | None:
        s3 = await self._s3()
        named = f'inline; filename="{_UNSAFE.sub("-", file_name)}"'
        params = {"Bucket": self._settings.s3_bucket, "Key": key, "ResponseContentDisposition": named}
        url: str = await s3.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
        return url

    async def close(self) -> None:
        await self._stack.aclose()


class ObjectStore:
    """JetStream's Object Store: good for files of a few MB; no links of its own."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def put(self, key: str, path: Path, content_type: str) -> None:
        try:
            bucket = await self._nc.jetstream().object_store(ARTIFACTS_BUCKET)
            with path.open("rb") as file:
                await bucket.put(key, file)
        except Exception as error:
            raise Unavailable(f"the object store did not take {key}: {type(error).__name__}: {error}") from error

    async def get(self, key: str) -> AsyncIterator[bytes]:
        try:
            bucket = await self._nc.jetstream().object_store(ARTIFACTS_BUCKET)
            with tempfile.TemporaryFile() as file:
                # Into a file: without one nats-py joins the pieces one by one, which is quadratic.
                await bucket.get(key, writeinto=file)
                file.seek(0)
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except NotFoundError as error:
            raise ArtifactMissing(f"there is no file {key}") from error
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"the object store did not give {key}: {type(error).__name__}") from error

    async def delete(self, key: str) -> None:
        try:
            bucket = await self._nc.jetstream().object_store(ARTIFACTS_BUCKET)
            await bucket.delete(key)
        except NotFoundError:
            return
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"the object store did not delete {key}: {type(error).__name__}") from error

    async def presign(self, key: str, file_name: str, seconds: int = PRESIGNED_SECONDS) -> str | None:
        return None

    async def close(self) -> None:
        return None


def open_store(settings: ArtifactSettings, nc: Client) -> ArtifactStore:
    """The store that the settings name."""
    return S3Store(settings) if settings.s3_url else ObjectStore(nc)
