"""Alembic without an ini file: `python -m services.gateway migrate [--revision head]`. Schema `accounts` alone."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, make_url

from shared.settings import DatabaseSettings

MIGRATIONS = Path(__file__).parent / "migrations"


def database_url(settings: DatabaseSettings) -> URL:
    """The URL for SQLAlchemy, with the password that the setting keeps apart."""
    url = make_url(settings.database_url).set(drivername="postgresql+asyncpg")
    if settings.database_user:
        url = url.set(username=settings.database_user)
    if settings.database_password:
        url = url.set(password=settings.database_password.get_secret_value())
    return url


def migrate(settings: DatabaseSettings, revision: str = "head") -> None:
    """Bring the schema to a revision, up or down; `base` leaves it empty."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = database_url(settings)
    step = command.downgrade if revision == "base" or revision.startswith("-") else command.upgrade
    step(config, revision)
