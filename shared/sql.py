"""SQL kept as SQL: queries by name from a file."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load_queries(path: Path) -> dict[str, str]:
    """Name → query, from a file with a line `-- name: …` before each."""
    parts = _NAME.split(path.read_text())
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
