"""The one place through which every text leaves: secret values are replaced here."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "<redacted>"

_URL_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@]*:[^\s/]*@")
_URL_PASSWORD = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:]*:(?P<password>[^\s]*)@")
_SENSITIVE_KEY = re.compile(r"(?i)(^auth$|passw|token$|secret_?(access_?)?key|api_?key|credentials?$|_auth$)")
_MINIMUM_LENGTH = 3
"""Shorter values would mask ordinary words; such a password protects nothing anyway."""


class Redactor:
    """Knows the secret values of one pass and removes them from texts.

    Values are added when they are read, before anything is done with them; what was
    added is dropped with the object, so no secret outlives its pass.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, *values: str | None) -> None:
        """Remember ``values`` and the forms in which they travel: URL-quoted, URL-decoded, base64."""
        for value in values:
            if not value:
                continue
            for form in {
                value,
                value.strip(),
                unquote(value),
                quote(value, safe=""),
                quote_plus(value),
            } | _base64(value):
                if len(form) >= _MINIMUM_LENGTH:
                    self._values.add(form)
        self._pattern = None

    def text(self, text: str) -> str:
        """``text`` without secret values and without credentials in URLs."""
        if self._pattern is None and self._values:
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        return _URL_CREDENTIALS.sub(rf"\g<scheme>{MASK}@", text)

    def tree(self, value: Any) -> Any:
        """A copy of JSON-like ``value`` with every text redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value


def sensitive(values: Any) -> Iterator[str]:
    """The texts in JSON-like ``values`` that are secrets by the name of their key, or passwords in URLs.

    Not every value that came from a Secret: names of hosts and buckets are what findings must show.
    """
    if isinstance(values, Mapping):
        if isinstance(values.get("value"), str) and _SENSITIVE_KEY.search(str(values.get("name", ""))):
            yield values["value"]  # of an environment variable
        for key, value in values.items():
            if isinstance(value, str | int) and _SENSITIVE_KEY.search(str(key)):
                yield str(value)
            else:
                yield from sensitive(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from sensitive(value)
    elif isinstance(values, str) and (password := _URL_PASSWORD.match(values)):
        yield password["password"]


def _base64(value: str) -> set[str]:
    encoded = base64.b64encode(value.encode()).decode()
    return {encoded, encoded.rstrip("=")}
