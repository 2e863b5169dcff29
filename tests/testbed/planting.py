"""Secrets that a test plants, each of its own, and where they come out again, in any form."""

import base64
import html
import json
import secrets
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "URL-quoted": lambda secret: quote(secret, safe=""),
    "URL-quoted in parts": lambda secret: quote(secret, safe="/:@"),
    "URL-quoted in small letters": lambda secret: quote(secret, safe="").replace("%2F", "%2f").lower(),
    "URL-quoted twice": lambda secret: quote(quote(secret)),
    "of a form": quote_plus,
    "JSON": json.dumps,
    "JSON that is not ASCII": lambda secret: json.dumps(secret, ensure_ascii=False),
    "JSON with slashes": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "Python": repr,
    "Python's bytes": lambda secret: repr(secret.encode()),
    "SQL": lambda secret: "'" + secret.replace("'", "''") + "'",
    "CSV": lambda secret: '"' + secret.replace('"', '""') + '"',
    "HTML": html.escape,
    "HTML by numbers": lambda secret: "".join(f"&#{ord(c)};" for c in secret),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 of a login": lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
    "base64 of an assignment": lambda secret: base64.b64encode(f"pw={secret}\n".encode()).decode(),
    "base64 of more": lambda secret: base64.b64encode(f"user:{secret}, and more".encode()).decode(),
    "base64 in a URL": lambda secret: quote(base64.b64encode(secret.encode()).decode(), safe=""),
    "a host": str.lower,
    "an address": lambda secret: f"redis://u:{secret}@host/0",
}
"""How a secret is written by one program or another."""
ODD = ("/", "@", ":", "%", "#", "?", "ü鍵", " ", "\"'\\", "%2F", "&=", "+")
"""What a password may have that a URL must quote."""


class Planting:
    """Makes secrets, and finds them. Each has a part that every form but base64 leaves as it is."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}

    def secret(self, slot: str, odd: str = "") -> str:
        """A new secret for ``slot``, with ``odd`` in its middle and at its end."""
        part = f"Pl4nt{secrets.token_hex(6)}"
        self._parts[f"{slot} {odd}".strip()] = part
        return f"a7{odd}{part}{odd}z9"

    def found(self, text: str) -> list[str]:
        """The slots whose secret can be read in ``text``."""
        lower = text.lower()
        return [
            slot
            for slot, part in self._parts.items()
            if part.lower() in lower or any(form in text for form in _in_base64(part))
        ]


def _in_base64(part: str) -> Iterator[str]:
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + part.encode()).decode()
        yield encoded[4 * -(-before // 3) : -4]
