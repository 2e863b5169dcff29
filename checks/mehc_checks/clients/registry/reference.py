"""Image references, read as container runtimes read them (the distribution project's ``reference``)."""

import re
from dataclasses import dataclass
from urllib.parse import quote

_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NAME_LENGTH = 255
_HIGHEST_PORT = 65535

_ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?"
)
_DOCKER_HUB = "docker.io"
_DOCKER_HUB_HOST = "registry-1.docker.io"


class InvalidReference(ValueError):  # noqa: N818
    """A text that container runtimes reject as an image. ``str()`` says what is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An image by name. ``tag`` may be empty where only the repository is meant; ``digest`` wins over it."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """``host[:port]`` of the registry that serves it."""
        return _DOCKER_HUB_HOST if self.domain == _DOCKER_HUB else self.domain

    @property
    def name(self) -> str:
        """Without tag and digest, completed: ``docker.io/library/ubuntu``. What pull secrets are matched with."""
        return f"{self.domain}/{self.path}"

    @property
    def version(self) -> str:
        """What a manifest is asked for by."""
        return self.digest or self.tag

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def ecr_registry(host: str) -> tuple[str, str]:
    """Account and region of a private registry of Amazon ECR; both "" for any other host."""
    found = _ECR_HOST.fullmatch(host)
    return (found["account"], found["region"]) if found else ("", "")


def parse(text: str) -> Reference:
    """Read ``[domain/]path[:tag][@digest]``. Raises InvalidReference."""
    if "://" in text:
        raise InvalidReference("it begins with a URL scheme")
    name, at, digest = text.partition("@")
    tag, colon = "", ""
    last = name.rpartition("/")[2]
    if ":" in last:
        name, colon, tag = name.rpartition(":")
    domain, path = _split(name)
    port = domain.rpartition(":")[2] if not domain.endswith("]") else ""
    if not _DOMAIN.fullmatch(domain) or (port.isdecimal() and ":" in domain and int(port) > _HIGHEST_PORT):
        raise InvalidReference(f"{domain!r} is not a registry's address")
    if path != path.lower():
        raise InvalidReference("a repository must be in lower case")
    if not _PATH.fullmatch(path):
        raise InvalidReference(f"{path!r} is not a repository" if path else "it names no repository")
    if len(f"{domain}/{path}") > _NAME_LENGTH:
        raise InvalidReference(f"its name is longer than {_NAME_LENGTH} characters")
    if colon and not TAG.fullmatch(tag):
        raise InvalidReference(f"{tag!r} is not a tag")
    if at and not DIGEST.fullmatch(digest):
        raise InvalidReference(f"{digest!r} is not a digest")
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = slash and (set(first) & set(".:[") or first == "localhost" or first != first.lower())
    domain, path = (first, rest) if is_domain else (_DOCKER_HUB, name)
    if domain == "index.docker.io":
        domain = _DOCKER_HUB
    if domain == _DOCKER_HUB and path and "/" not in path:
        path = f"library/{path}"
    return domain, path


def path_of(repository: str, kind: str, name: str) -> str:
    """The path below ``/v2/`` of a manifest, a blob or the list of tags."""
    return f"{quote(repository)}/{kind}/{quote(name, safe=':')}"
