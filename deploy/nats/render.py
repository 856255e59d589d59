"""Writes users.conf from the access lists: `python -m deploy.nats.render`. A test says when it is out of date."""

from pathlib import Path

from shared.bus.access import users
from webguard.local.nats import render_users

USERS = Path(__file__).parent / "users.conf"


def password_variable(user: str) -> str:
    """Where nats-server and the service find a user's password."""
    return f"WEBGUARD_NATS_PASSWORD_{user.upper()}"


def render() -> str:
    allowed = users()
    head = "# Made by `python -m deploy.nats.render` from shared/bus/access.py.\n"
    return head + render_users(allowed, {user: f"${password_variable(user)}" for user in allowed})


if __name__ == "__main__":
    USERS.write_text(render())
