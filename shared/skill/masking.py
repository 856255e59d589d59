"""Secrets never leave a case: not in a message, a step, a log line, a text artifact or a saved value."""

import json
import re
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

# Shorter ones would mask half of every text; they are refused as secrets when they are stored.
SHORTEST = 4
MASK = "***"


class Masker:
    """Replaces each secret it knows, plain or as `_forms` says, by ***."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
        for form in _forms(secret):
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


def _forms(secret: str) -> set[str]:
    """How a secret looks in a URL, a form, HTML, a regular expression, and in JSON or JSON inside JSON."""
    forms = {secret, quote(secret, safe=""), quote_plus(secret), escape(secret), re.escape(secret)}
    for _ in range(2):
        forms |= {json.dumps(form, ensure_ascii=ascii_only)[1:-1] for form in forms for ascii_only in (True, False)}
    return forms
