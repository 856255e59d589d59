"""`webguard`, also as `python -m webguard`."""

from webguard.cli.app import app


def main() -> None:
    app(prog_name="webguard")


if __name__ == "__main__":
    main()
