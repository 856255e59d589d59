"""Alembic's entry: one connection, one transaction for all steps, as the role that owns the schema."""

import asyncio
from pathlib import Path

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

# Alembic writes its version table before the first step, so the schema has to be there.
SCHEMA = (Path(context.config.get_main_option("script_location") or ".") / "schema.sql").read_text()


def _run(connection: Connection) -> None:
    for statement in SCHEMA.split("-- next"):
        connection.exec_driver_sql(statement)
    context.configure(
        connection=connection,
        version_table="gateway_version",
        version_table_schema="accounts",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = create_async_engine(context.config.attributes["url"], poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_main())
