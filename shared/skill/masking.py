"""Secrets never leave a case: not in a message, a step, a log line, a text artifact or a saved value."""

import json
from typing import Any
from urllib.parse import quote, quote_plus

# Shorter ones would mask half of every text; they are refused as secrets when they are stored.
SHORTEST = 4
MASK = "***"


class Masker:
    """Replaces each secret it knows, plain, URL-encoded or inside JSON, by ***."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
        escaped = json.dumps(secret, ensure_ascii=False)[1:-1]
        twice = json.dumps(escaped, ensure_ascii=False)[1:-1]  # JSON in a string of a HAR
        for form in {secret, quote(secret, safe=""), quote_plus(secret), escaped, twice}:
            if len(form) >= SHORTEST and form not in self._secrets:
                self._secrets.append(form)
        self._secrets.sort(key=len, reverse=True)

    @property
    def knows_any(self) -> bool:
        return bool(self._secrets)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def json(self, value: Any) -> Any:
        """The same for every string in a JSON value, keys too."""
        if not self._secrets:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.json(key): self.json(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.json(item) for item in value]
        return value
