"""Prints .env.example with a fresh secret for every empty one: `python deploy/compose/make_env.py > …/.env`."""

import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent / ".env.example"


def filled(example: str) -> str:
    # Begins with a letter: nats-server takes what looks like a number for one.
    lines = [f"{line}w{secrets.token_hex(24)}" if line.endswith("=") else line for line in example.splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(filled(EXAMPLE.read_text()))
