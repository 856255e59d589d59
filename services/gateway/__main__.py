"""`python -m services.gateway`: the REST API. `migrate` brings its schema up to date, `bootstrap` makes the first
admin and API key."""

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from pydantic import ValidationError

from services.gateway import accounts
from services.gateway.access import Gateway
from services.gateway.app import make_api
from services.gateway.cache import Cache
from services.gateway.database import Database
from services.gateway.executions import Executions
from services.gateway.migrate import migrate
from services.gateway.settings import GatewaySettings
from services.gateway.suites import Suites
from shared.artifacts import open_store
from shared.errors import WebGuardError
from shared.service import App, run
from shared.settings import ArtifactSettings, DatabaseSettings, RedisSettings

log = logging.getLogger(__name__)


@asynccontextmanager
async def start(app: App, api: FastAPI, settings: GatewaySettings) -> AsyncIterator[None]:
    database = await Database.connect(DatabaseSettings())
    if await database.bypasses_rows():
        log.warning("the database role bypasses row-level security; connect as webguard_gateway")
    cache = Cache(RedisSettings(), app.metrics)
    store = open_store(ArtifactSettings(), app.nc)
    suites = Suites(app, database)
    api.state.gateway = Gateway(
        app=app,
        settings=settings,
        database=database,
        cache=cache,
        accounts=accounts.Accounts(database, cache, settings.login_tries),
        suites=suites,
        executions=Executions(app, database, cache),
        store=store,
    )

    async def database_answers() -> str | None:
        await database.ping()
        return None

    app.checks["database"] = database_answers
    app.spawn(suites.reconcile(), "reconcile")
    yield
    await store.close()
    await cache.close()
    await database.close()


def serve() -> None:
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        sys.exit("\n".join(f"WEBGUARD_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()))
    api = make_api()
    run("gateway", settings, partial(start, api=api, settings=settings), api)


async def bootstrap(out: Path) -> bool:
    database = await Database.connect(DatabaseSettings())
    try:
        return await accounts.bootstrap(database, out)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    migration = commands.add_parser("migrate", help="bring the schema to a revision")
    migration.add_argument("--revision", default="head", help="default: head; `base` empties the schema")
    first = commands.add_parser("bootstrap", help="make the first admin and API key, once")
    first.add_argument("--out", type=Path, required=True, help="file for the password and the key, mode 0600")
    arguments = parser.parse_args()
    if arguments.command == "migrate":
        migrate(DatabaseSettings(), arguments.revision)
    elif arguments.command == "bootstrap":
        try:
            made = asyncio.run(bootstrap(arguments.out))
        except (WebGuardError, OSError) as error:
            sys.exit(f"bootstrap: {error}")
        print(f"wrote {arguments.out}" if made else "there is an admin already; nothing was made")
    else:
        serve()


if __name__ == "__main__":
    main()
