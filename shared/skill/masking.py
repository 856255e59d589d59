"""Secrets never leave a case: not in a message, a step, a log line, a text artifact or a saved value."""

from typing import Any
from urllib.parse import quote

# Shorter ones would mask half of every text; they are refused as secrets when they are stored.
SHORTEST = 4
MASK = "***"


class Masker:
    """Replaces each secret it knows, plain or URL-encoded, by ***."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
        for form in {secret, quote(secret, safe="")}:
            if len(form) >= SHORTEST and form not in self._secrets:
                self._secrets.append(form)
        self._secrets.sort(key=len, reverse=True)

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
