"""Where the rows come from: a file over HTTP, or an SQL query."""

import sqlite3
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

import httpx
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.skill import CheckFailed, Context, DefinitionError, NetworkError

Format = Literal["csv", "json", "ndjson", "parquet"]
_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}


class Source(BaseModel):
    """A file by `url`, or the rows of a `query` on a `connection`."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(None, pattern=r"^(https?://|\$\{)", examples=["https://example.com/orders.csv"])
    format: Format | None = Field(None, description="default: by the ending of the URL's path")
    separator: str = Field(",", min_length=1, max_length=1, description="of a CSV file")
    headers: dict[str, str] = Field(default_factory=dict, description="sent with the request")
    max_bytes: int = Field(500_000_000, ge=1)
    query: str | None = Field(None, description="SQL that only reads")
    connection: str | None = Field(None, description="sqlite:///path or postgresql://…, best as ${secrets.NAME}")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.query is None):
            raise ValueError("give `url`, or `query` and `connection`")
        if self.query is not None and self.connection is None:
            raise ValueError("a query needs a `connection`")
        return self


async def load(ctx: Context, source: Source) -> tuple[pl.DataFrame, int]:
    """The rows, and the bytes they came in (0 for a query)."""
    if source.url is None:
        return await _query(ctx, source), 0
    path = await _download(ctx, source, source.url)
    try:
        return _read(path, _format(source), source.separator), path.stat().st_size
    except (pl.exceptions.PolarsError, ValueError, OSError) as error:
        raise CheckFailed(f"the file cannot be read as {_format(source)}: {error}") from error


def _format(source: Source) -> Format:
    ending = Path(urlsplit(source.url or "").path).suffix.lower()
    found = source.format or _ENDINGS.get(ending)
    if found is None:
        raise DefinitionError(f"source.format: say csv, json, ndjson or parquet; {ending!r} does not tell")
    return found


def _read(path: Path, kind: Format, separator: str) -> pl.DataFrame:
    if kind == "csv":
        return pl.read_csv(path, separator=separator, try_parse_dates=True, infer_schema_length=10_000)
    if kind == "json":
        return pl.read_json(path, infer_schema_length=10_000)
    if kind == "ndjson":
        return pl.read_ndjson(path, infer_schema_length=10_000)
    return pl.read_parquet(path)


async def _download(ctx: Context, source: Source, url: str) -> Path:
    path = ctx.scratch / f"source-{len(list(ctx.scratch.iterdir()))}"
    client = ctx.http(follow_redirects=True, timeout=httpx.Timeout(max(ctx.remaining(), 0.001)))
    bare = urlsplit(url)._replace(query="", fragment="").geturl()
    size = 0
    try:
        async with client.stream("GET", url, headers=source.headers) as response:
            if response.status_code >= 400:
                raise CheckFailed(f"{bare} answered {response.status_code}")
            with path.open("wb") as file:
                async for piece in response.aiter_bytes():
                    size += len(piece)
                    if size > source.max_bytes:
                        raise CheckFailed(f"the file is larger than max_bytes ({source.max_bytes})")
                    file.write(piece)
    except httpx.TransportError as error:
        raise NetworkError(f"{bare}: {error or type(error).__name__}") from error
    return path


async def _query(ctx: Context, source: Source) -> pl.DataFrame:
    connection, query = source.connection or "", source.query or ""
    parts = urlsplit(connection)
    if parts.scheme == "sqlite":
        return _sqlite(unquote(parts.path), query)
    if parts.scheme in ("postgresql", "postgres"):
        await ctx.target(f"http://{parts.hostname or '127.0.0.1'}:{parts.port or 5432}")
        return await _postgres(ctx, connection, query)
    raise DefinitionError("source.connection: begins with sqlite:/// or postgresql://")


def _sqlite(path: str, query: str) -> pl.DataFrame:
    if not Path(path).is_file():
        raise DefinitionError(f"source.connection: there is no file {path}")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            cursor = database.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return pl.DataFrame(cursor.fetchall(), schema=names, orient="row", infer_schema_length=None)
    except sqlite3.Error as error:
        raise DefinitionError(f"source.query: {error}") from error


async def _postgres(ctx: Context, connection: str, query: str) -> pl.DataFrame:
    import asyncpg

    try:
        database = await asyncpg.connect(connection, timeout=min(15, max(ctx.remaining(), 0.1)))
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        raise NetworkError(f"the database does not answer: {type(error).__name__}") from error
    try:
        async with database.transaction(readonly=True):
            statement = await database.prepare(query)
            names = [attribute.name for attribute in statement.get_attributes()]
            rows = [tuple(row.values()) for row in await statement.fetch()]
    except asyncpg.PostgresError as error:
        raise DefinitionError(f"source.query: {error}") from error
    finally:
        await database.close()
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
