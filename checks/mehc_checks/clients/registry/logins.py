"""What is known of credentials that a registry does not accept, or that there are none of."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from mehc_checks.clients.registry.keyring import Keyring, Login
from mehc_checks.clients.registry.reasons import RegistryReasons as R

OF_LOGIN: Final = frozenset({R.NO_PULL_CREDENTIALS, R.PULL_DENIED, R.REPOSITORY_MISSING})
"""What a registry answers to a client without credentials."""
OF_TOKEN: Final = frozenset({R.PULL_DENIED, R.PULL_CREDENTIALS_REJECTED})
"""What it answers to a client whose password is a token that has expired."""
_SHOWN: Final = 3
"""Locations of a Secret that a message names."""


def expiring(logins: Iterable[Login], when: datetime) -> list[Login]:
    """Those of ``logins`` whose password is a token that has expired by ``when``."""
    return [login for login in logins if login.expires and login.expires <= when]


def token_words(login: Login) -> dict[str, Any]:
    """What messages say of the token of ``login``."""
    when = login.expires.astimezone(UTC) if login.expires else None
    return {"login": login.source, "secret": login.secret, "when": f"{when:%Y-%m-%dT%H:%MZ}"}


def offered(keyring: Keyring, who: str) -> str:
    """What ``who`` has in ``keyring`` instead of credentials for an image."""
    if not keyring.covers:
        return f"{who} has no pull secret that can be used"
    return "; ".join(f"Secret {name} covers only {_some(places)}" for name, places in keyring.covers.items())


def _some(places: tuple[str, ...]) -> str:
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return (", ".join(places[:_SHOWN]) or "nothing") + more
