"""Which entries of pull secrets apply to an image, by the kubelet's rules.

Source of the rules: Kubernetes, ``pkg/credentialprovider`` (``BasicDockerKeyring``) and
``pkg/credentialprovider/secrets`` (``MakeDockerKeyring``), which parse with Go's ``net/url``.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from mehc_checks.clients.registry.dockerconfig import Secret, docker_config
from mehc_checks.clients.registry.tokens import expiry

_DEFAULT_REGISTRY = b"index.docker.io"
_USERINFO = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST_BYTES = re.compile(rb"(?:[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\xff]|%25|%[89a-fA-F][0-9a-fA-F])*")
_PORT = re.compile(rb"(?::[0-9]*)?")
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_LONGEST_NAME = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A user name and password to try. ``source`` names them: "user ci of Secret regcred, entry ghcr.io".

    ``secret`` is the Secret that has them, "" where none has; ``expires`` is None where the password does not say.
    """

    username: str
    password: str = field(repr=False)
    source: str = ""
    secret: str = ""

    @property
    def expires(self) -> datetime | None:
        return expiry(self.password)


class Keyring:
    """The entries of several pull secrets, in the order in which a pod names them."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        """Raises Problem (PULL_SECRET_MALFORMED)."""
        self._logins: defaultdict[bytes, list[Login]] = defaultdict(list)
        self.ignored: list[str] = []
        """Secrets of other types, or without their key."""
        self.covers: dict[str, tuple[str, ...]] = {}
        """By Secret, the locations of its entries."""
        self.empty: dict[str, str] = {}
        """Secrets without any password, and what they have instead."""
        for secret in secrets:
            config = docker_config(secret)
            if config is None:
                self.ignored.append(secret.name)
                continue
            if config.is_empty:
                self.empty[secret.name] = config.instead
            self.covers[secret.name] = tuple(map(_shown, sorted(config.entries)))
            for location, (username, password) in sorted(config.entries.items()):
                key = _key(location)
                if key is not None:
                    source = f"{_user(username)}Secret {secret.name}, entry {_shown(location)}"
                    self._logins[key].append(
                        Login(username=username, password=password, source=source, secret=secret.name)
                    )

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


def _shown(location: str) -> str:
    """``location`` without the login that may stand before the host."""
    return location.rpartition("@")[2]


def _user(name: str) -> str:
    return f"user {name} of " if name and len(name) <= _LONGEST_NAME and name.isprintable() else ""


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
