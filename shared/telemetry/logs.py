"""JSON logs, a line each: a constant sentence, data in fields."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_FIELDS = "{asctime}{levelname}{name}{message}"


def configure(level: str, service: str, instance: str) -> None:
    """Send every logger's records to standard error as JSON, with the service and the instance in each."""
    formatter = JsonFormatter(
        _FIELDS,
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        static_fields={"service": service, "instance": instance},
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("uvicorn.access", "httpx", "httpcore", "botocore", "aiobotocore", "faststream"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
