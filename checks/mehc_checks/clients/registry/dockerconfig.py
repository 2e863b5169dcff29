"""Pull secrets, read as the kubelet reads them: files of Docker's client.

Source of the rules: Kubernetes, ``pkg/credentialprovider`` (``config.go``).
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.errors import Problem

DOCKER_CONFIG_JSON: Final = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")
DOCKER_CFG: Final = ("kubernetes.io/dockercfg", ".dockercfg")

_BASE64_PADDED = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_BASE64_RAW = re.compile(r"[A-Za-z0-9+/]*")


class Secret(Protocol):
    """What is read of a pull secret: ``data`` is decoded."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def data(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerConfig:
    """A pull secret. ``entries``: location to user name and password, both "" where an entry has none.

    ``instead``: what the file has in place of passwords, which only Docker's own client can use; "" where nothing.
    """

    entries: Mapping[str, tuple[str, str]]
    instead: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether no entry has a password."""
        return not any(password for _, password in self.entries.values())


def docker_config(secret: Secret) -> DockerConfig | None:
    """What ``secret`` has; None where it is of another type, or lacks its key.

    Raises Problem (PULL_SECRET_MALFORMED).
    """
    for kind, key in (DOCKER_CONFIG_JSON, DOCKER_CFG):
        text = secret.data.get(key, "")
        if secret.type == kind and text:
            try:
                content = json.loads(text, parse_constant=_no_constant)
                auths = _auths(content) if kind == DOCKER_CONFIG_JSON[0] else content
                entries = {location: _login(entry) for location, entry in _map(auths).items()}
            except (ValueError, TypeError, RecursionError) as error:
                what = "is not JSON" if isinstance(error, json.JSONDecodeError) else f"has an error: {error}"
                raise Problem(
                    R.PULL_SECRET_MALFORMED, secret=secret.name, detail=f"key {key} {what}"
                ) from None
            return DockerConfig(entries=entries, instead=", ".join(_instead(content, auths)))
    return None


def _instead(content: Any, auths: Any) -> Iterator[str]:
    """The keys of Docker's client that the kubelet ignores."""
    keys = {str(key).lower(): value for key, value in content.items()} if isinstance(content, dict) else {}
    if isinstance(keys.get("credsstore"), str) and keys["credsstore"]:
        yield "credsStore"
    if isinstance(keys.get("credhelpers"), dict) and keys["credhelpers"]:
        yield "credHelpers"
    if any(isinstance(entry, dict) and entry.get("identitytoken") for entry in _map(auths).values()):
        yield "identitytoken"


def _auths(value: Any) -> Any:
    fields = _fields(value, auths=dict, httpheaders=dict)
    if not all(isinstance(header, str | None) for header in fields["httpheaders"].values()):
        raise TypeError("field httpheaders has the wrong type")
    return fields["auths"]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _map(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("expected a map of registries")
    return value


def _fields(value: Any, **kinds: type) -> dict[str, Any]:
    """The named fields of a JSON object as Go's decoder reads them: names without regard to case, null is absent."""
    found: dict[str, Any] = {name: kind() for name, kind in kinds.items()}
    if value is None:
        return found
    if not isinstance(value, dict):
        raise TypeError("expected a JSON object")
    for key, item in value.items():
        name = key.lower()
        if name not in kinds or item is None:
            continue
        if not isinstance(item, kinds[name]):
            raise TypeError(f"field {name} has the wrong type")
        found[name] = item
    return found


def _login(entry: Any) -> tuple[str, str]:
    fields = _fields(entry, username=str, password=str, email=str, auth=str)
    if not fields["auth"]:
        return fields["username"], fields["password"]
    username, colon, password = _base64(fields["auth"]).partition(":")
    if not colon:
        raise ValueError("field auth is not base64 of username:password")
    return username, password


def _base64(text: str) -> str:
    padded = text.strip().endswith("=")
    text = text.replace("\r", "").replace("\n", "")
    grammar = _BASE64_PADDED if padded else _BASE64_RAW
    if not grammar.fullmatch(text) or (padded and len(text) % 4) or len(text) % 4 == 1:
        raise ValueError("field auth is not base64")
    return base64.b64decode(text + "=" * (-len(text) % 4)).decode(errors="replace")
