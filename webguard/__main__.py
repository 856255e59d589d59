"""`webguard`, also as `python -m webguard`."""

import sys

from webguard.cli.app import app


def main(arguments: list[str] | None = None) -> int:
    """Run a command; its exit code."""
    try:
        app(arguments, prog_name="webguard")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
