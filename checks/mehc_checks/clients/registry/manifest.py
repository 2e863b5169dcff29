"""Manifests, indexes and configurations, read without trust in who serves them."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.reference import DIGEST, TAG
from mehc_checks.core.errors import Problem

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED: Final = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, "*/*")
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
_MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"


class DocumentCache:
    """Documents by their digest: they cannot change, and some registries count and limit every GET of one."""

    def __init__(self, documents: int, largest: int) -> None:
        self._documents: OrderedDict[str, bytes] = OrderedDict()
        self._most = documents
        self._largest = largest

    def get(self, digest: str) -> bytes | None:
        if digest in self._documents:
            self._documents.move_to_end(digest)
        return self._documents.get(digest)

    def put(self, digest: str, document: bytes) -> None:
        if len(document) <= self._largest:
            self._documents[digest] = document
            while len(self._documents) > self._most:
                self._documents.popitem(last=False)


def invalid(image: str, detail: str) -> Problem:
    """The problem that ``image`` is not one."""
    return Problem(R.MANIFEST_INVALID, image=image, detail=detail)


def kind_of(media_type: str, document: bytes, image: str) -> str:
    """The media type of a manifest or index. Raises Problem for anything else."""
    content = read(document, image)
    if media_type.startswith(_SCHEMA_1) or content.get("schemaVersion") == 1:
        raise Problem(R.SCHEMA_1, image=image)
    kind = media_type if media_type in INDEXES | _MANIFESTS else content.get("mediaType")
    if kind in INDEXES or kind in _MANIFESTS:
        return str(kind)
    raise invalid(image, "the registry serves something else than an image manifest")


def read(document: bytes, image: str) -> Mapping[str, Any]:
    """The JSON object that ``document`` is. Raises Problem."""
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise invalid(image, "the registry serves a manifest that is not JSON")
    return content


def dicts(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list, or none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def digest_of(part: Mapping[str, Any], image: str) -> str:
    """The digest by which a manifest names ``part``. Raises Problem."""
    digest = str(part.get("digest"))
    if not DIGEST.fullmatch(digest):
        raise invalid(image, "its manifest names a part without a proper digest")
    return digest


def digest_like(digest: str, document: bytes) -> str:
    """The digest of ``document`` by the algorithm of ``digest``; SHA-256 where that is none."""
    algorithm = "sha512" if digest.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, document).hexdigest()}"


def size_of(part: Mapping[str, Any]) -> int:
    """The bytes that a manifest says ``part`` has; 0 where it says nothing sensible."""
    size = part.get("size")
    return size if isinstance(size, int) and size > 0 else 0


def platform_of(value: Any) -> str:
    """``os/architecture[/variant]``, or "" where nothing of the kind is said."""
    if not isinstance(value, Mapping):
        return ""
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    words = [part for part in parts if isinstance(part, str) and TAG.fullmatch(part)]
    return "/".join(words)


def tags_of(body: bytes) -> list[str]:
    """The tags in an answer to ``tags/list``."""
    try:
        tags = json.loads(body)["tags"] or []
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return (
        [tag for tag in tags if isinstance(tag, str) and TAG.fullmatch(tag)] if isinstance(tags, list) else []
    )


def moment_of(text: Any) -> datetime | None:
    """A time as configurations have it, in UTC where it says no zone."""
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
