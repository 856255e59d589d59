"""The projection: suites, cases, executions, results, metrics, artifacts, skills.

Revision ID: 0001
Revises:
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

SQL = Path(__file__).parent


def _run(name: str) -> None:
    # asyncpg prepares one statement at a time; a line with two dashes and `next` parts them.
    for statement in (SQL / name).read_text().split("-- next"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)


def upgrade() -> None:
    _run("0001_up.sql")


def downgrade() -> None:
    _run("0001_down.sql")
