"""`python -m services.gateway`: the HTTP API. `migrate` brings its schema up to date, `bootstrap` makes the admin."""

import argparse
import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from redis.asyncio import Redis

from services.gateway.app import make_api
from services.gateway.database import Database
from services.gateway.definitions import Definitions
from services.gateway.deps import Parts
from services.gateway.migrate import migrate
from services.gateway.requested import Requested
from services.gateway.settings import GatewaySettings
from shared.artifacts import open_store
from shared.errors import Unavailable, WebGuardError
from shared.service import App, run
from shared.settings import ArtifactSettings, DatabaseSettings, RedisSettings

log = logging.getLogger(__name__)

TENANT, USERNAME = "default", "admin"
SAY_AGAIN_SECONDS = 60.0


@asynccontextmanager
async def start(app: App, api: FastAPI, settings: GatewaySettings) -> AsyncIterator[None]:
    database = await Database.connect(DatabaseSettings())
    definitions = Definitions(app.nc, app.publisher, app.events, database)
    artifacts = open_store(ArtifactSettings(), app.nc)
    with_redis = RedisSettings()
    password = with_redis.redis_password.get_secret_value() if with_redis.redis_password else None
    redis = Redis.from_url(with_redis.redis_url, password=password, socket_timeout=2, socket_connect_timeout=2)
    api.state.parts = Parts(app, settings, database, definitions, artifacts, Requested(redis))

    async def database_answers() -> str | None:
        await database.ping()
        return None

    async def say_again() -> None:
        while True:
            try:
                said = await definitions.say_again()
                if said:
                    log.info("suites said again", extra={"count": said})
            except WebGuardError as error:
                log.warning("comparing suites failed, will be tried again", extra={"error": str(error)})
            await asyncio.sleep(SAY_AGAIN_SECONDS)

    app.checks["database"] = database_answers
    app.spawn(say_again(), "say again")
    yield
    await artifacts.close()
    await redis.aclose()
    await database.close()


async def bootstrap(out: Path) -> None:
    """Make the first admin and API key and write them to a file that only its owner may read; once."""
    database = await Database.connect(DatabaseSettings())
    password = secrets.token_urlsafe(16)
    try:
        key = await database.bootstrap(TENANT, USERNAME, password)
    finally:
        await database.close()
    if key is None:
        return
    made = {"tenant": TENANT, "username": USERNAME, "password": password, "api_key": key}
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    migration = commands.add_parser("migrate", help="bring the schema `accounts` to a revision")
    migration.add_argument("--revision", default="head")
    first = commands.add_parser("bootstrap", help="make the first admin and an API key, once")
    first.add_argument("--out", type=Path, required=True, help="file for the credentials, mode 0600")
    arguments = parser.parse_args()
    if arguments.command == "migrate":
        migrate(DatabaseSettings(), arguments.revision)
    elif arguments.command == "bootstrap":
        try:
            asyncio.run(bootstrap(arguments.out))
        except Unavailable as error:
            print(f"bootstrap: {error}", file=sys.stderr)
            return 3
    else:
        settings = GatewaySettings()
        api = make_api()
        run("gateway", settings, partial(start, api=api, settings=settings), api=api)
    return 0


if __name__ == "__main__":
    sys.exit(main())
