"""`python -m services.recorder`: records events in PostgreSQL. `migrate` brings the schema up to date."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from services.recorder.migrate import migrate
from services.recorder.service import Recorder
from services.recorder.store import Store
from shared.bus.consume import BatchConsumer
from shared.bus.topology import EVENTS_RECORDER
from shared.service import App, run
from shared.settings import DatabaseSettings, RedisSettings, Settings


@asynccontextmanager
async def start(app: App) -> AsyncIterator[None]:
    store = await Store.connect(DatabaseSettings())
    settings = RedisSettings()
    password = settings.redis_password.get_secret_value() if settings.redis_password else None
    redis = Redis.from_url(settings.redis_url, password=password, socket_timeout=2, socket_connect_timeout=2)
    recorder = Recorder(app, store, redis)

    async def database_answers() -> str | None:
        await store.ping()
        return None

    app.checks["database"] = database_answers
    consumer = BatchConsumer(app.nc, [EVENTS_RECORDER], recorder.handle, app.dead, observer=app.metrics)
    app.spawn(recorder.keep_partitions(), "partitions")
    main = app.spawn(consumer.run(), "record")
    yield
    consumer.stop()
    await main
    await redis.aclose()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.recorder", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    migration = commands.add_parser("migrate", help="bring the schema to a revision")
    migration.add_argument("--revision", default="head", help="default: head; `base` empties the database")
    arguments = parser.parse_args()
    if arguments.command == "migrate":
        migrate(DatabaseSettings(), arguments.revision)
    else:
        run("recorder", Settings(), start)


if __name__ == "__main__":
    main()
