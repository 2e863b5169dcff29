"""Which entries of pull secrets apply to an image, by the kubelet's rules.

Source of the rules: Kubernetes, ``pkg/credentialprovider`` (``BasicDockerKeyring``) and
``pkg/credentialprovider/secrets`` (``MakeDockerKeyring``), which parse with Go's ``net/url``.
"""

import base64
import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Protocol

from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.errors import Problem

DOCKER_CONFIG_JSON: Final = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")
DOCKER_CFG: Final = ("kubernetes.io/dockercfg", ".dockercfg")

_DEFAULT_REGISTRY = b"index.docker.io"
_USERINFO = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST_BYTES = re.compile(rb"(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\xff]|%25|%[89a-fA-F][0-9a-fA-F])*")
_PORT = re.compile(rb"(?::[0-9]*)?")
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
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
class Login:
    """A user name and password to try. ``source`` says where they come from: "Secret regcred, entry ghcr.io"."""

    username: str
    password: str = field(repr=False)
    source: str = ""


class Keyring:
    """The entries of several pull secrets, in the order in which a pod names them."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """Raises Problem (PULL_SECRET_MALFORMED). ``ignored``: Secrets of other types, or without their key."""
        self._logins: defaultdict[bytes, list[Login]] = defaultdict(list)
        self.ignored: list[str] = []
        for secret in secrets:
            auths = _auths(secret)
            if auths is None:
                self.ignored.append(secret.name)
                continue
            for location, (username, password) in sorted(auths.items()):
                key = _key(location)
                if key is not None:
                    shown = location.rpartition("@")[2]  # a login may stand before the host
                    source = f"Secret {secret.name}, entry {shown}"
                    self._logins[key].append(Login(username=username, password=password, source=source))

    @property
    def logins(self) -> Iterator[Login]:
        """All of them, whatever image they are for."""
        return chain.from_iterable(self._logins.values())

    def lookup(self, image: str) -> list[Login]:
        """The logins to try for ``image`` (a reference without tag and digest), most specific entry first."""
        target = _parse(b"https://" + _bytes(image))
        found = []
        for key in sorted(self._logins, reverse=True):
            pattern = _parse(b"https://" + key)
            if pattern is not None and target is not None and _matches(pattern, target):
                found += self._logins[key]
        if not found and _is_default_registry(image):
            found = list(self._logins.get(_DEFAULT_REGISTRY, []))
        return found


def _auths(secret: Secret) -> Mapping[str, tuple[str, str]] | None:
    """Location → user name and password, or None for a Secret that is none of the two kinds."""
    for kind, key in (DOCKER_CONFIG_JSON, DOCKER_CFG):
        text = secret.data.get(key, "")
        if secret.type == kind and text:
            try:
                entries = json.loads(text, parse_constant=_no_constant)
                if kind == DOCKER_CONFIG_JSON[0]:
                    entries = _docker_config(entries)
                return {location: _login(entry) for location, entry in _map(entries).items()}
            except (ValueError, TypeError, RecursionError) as error:
                what = "is not JSON" if isinstance(error, json.JSONDecodeError) else f"has an error: {error}"
                raise Problem(
                    R.PULL_SECRET_MALFORMED, secret=secret.name, detail=f"key {key} {what}"
                ) from None
    return None


def _docker_config(value: Any) -> Any:
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


@dataclass(frozen=True, slots=True)
class _Url:
    host: bytes
    path: bytes


def _key(location: str) -> bytes | None:
    """The index key of an entry: host and path, the API version that Docker wrote taken off. None if no URL."""
    raw = _bytes(location)
    if not raw.startswith((b"https://", b"http://")):
        raw = b"https://" + raw
    url = _parse(raw)
    if url is None:
        return None
    path = url.path[3:] if url.path.startswith((b"/v2/", b"/v1/")) else url.path
    return url.host + (path if path != b"/" else b"")


def _parse(raw: bytes) -> _Url | None:
    """Host and decoded path of an http or https URL as Go's ``url.Parse`` sees them; None where it refuses."""
    if any(byte < 0x20 or byte == 0x7F for byte in raw):
        return None
    raw, _, fragment = raw.partition(b"#")
    rest = raw.partition(b"://")[2].partition(b"?")[0]
    authority, slash, path = rest.partition(b"/")
    userinfo, at, host = authority.rpartition(b"@")
    path = slash + path
    if at and (not _USERINFO.fullmatch(userinfo) or _BAD_ESCAPE.search(userinfo)):
        return None
    if _BAD_ESCAPE.search(path) or _BAD_ESCAPE.search(fragment) or not _is_host(host):
        return None
    return _Url(_unescape(host), _unescape(path))


def _is_host(host: bytes) -> bool:
    if not _HOST_BYTES.fullmatch(host):
        return False
    opened = host.rfind(b"[")
    if opened > 0:
        return False
    if opened == 0:
        closed = host.rfind(b"]")
        return closed > 0 and bool(_PORT.fullmatch(host[closed + 1 :])) and _is_ipv6(host[1:closed])
    colon = host.find(b":")
    return colon < 0 or bool(_PORT.fullmatch(host[colon:]))


def _is_ipv6(text: bytes) -> bool:
    try:
        ipaddress.IPv6Address(_unescape(text).decode())
    except ValueError:
        return False
    return True


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text)


def _matches(pattern: _Url, target: _Url) -> bool:
    """Equal ports, as many labels, each matching (``*`` within one label), and the path a prefix of the image's."""
    pattern_host, pattern_port = _split_port(pattern.host)
    target_host, target_port = _split_port(target.host)
    pattern_labels, target_labels = pattern_host.split(b"."), target_host.split(b".")
    return (
        pattern_port == target_port
        and len(pattern_labels) == len(target_labels)
        and target.path.startswith(pattern.path)
        and all(map(_label_matches, pattern_labels, target_labels))
    )


def _label_matches(pattern: bytes, label: bytes) -> bool:
    if b"[" in pattern:  # a class of one byte for Go, and no label of an IPv6 address is one byte in brackets
        return False
    return re.fullmatch(re.escape(pattern).replace(rb"\*", b".*"), label, re.DOTALL) is not None


def _split_port(host: bytes) -> tuple[bytes, bytes]:
    if host.startswith(b"["):
        name, _, rest = host[1:].partition(b"]")
        return (name, rest[1:]) if rest.startswith(b":") else (host, b"")
    if b"]" in host:
        return host, b""
    name, _, port = host.partition(b":")
    return name, port


def _is_default_registry(image: str) -> bool:
    first, slash, _ = image.partition("/")
    if not first:
        return False
    return not slash or first in ("docker.io", "index.docker.io") or not set(first) & {".", ":"}


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
