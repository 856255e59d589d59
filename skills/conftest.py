"""Servers for the tests of skills: the platform's own fixtures."""

from tests.conftest import fresh_database, postgres_server

__all__ = ["fresh_database", "postgres_server"]
