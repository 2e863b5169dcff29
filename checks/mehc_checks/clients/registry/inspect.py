"""Whether an image can be pulled: the steps of a pull, except for the layers' content."""

import asyncio
import difflib
import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from mehc_checks.clients.registry.client import Access, Answer, Registry, path_of
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reference import DIGEST, TAG, Reference
from mehc_checks.clients.registry.trouble import RegistryFailure, Trouble

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1+"
_ACCEPTED: Final = (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, "*/*")
_INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
_MANIFESTS: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_TAGS_BYTES: Final = 1024 * 1024
_MOST_LAYERS: Final = 256
_NEAR_TAGS: Final = 5
_TRY_ANOTHER_LOGIN: Final = frozenset(
    {
        Trouble.CREDENTIALS_REJECTED,
        Trouble.DENIED,
        Trouble.UNAUTHENTICATED,
        Trouble.REPOSITORY_MISSING,
        Trouble.TAG_MISSING,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What the registry shows of an image. ``trouble`` is None when a node can pull it.

    ``size`` is what a node of the first wanted architecture downloads, in bytes. ``login`` says whose
    credentials were let in, or is empty for nobody's.
    """

    reference: str
    trouble: Trouble | None = None
    detail: str = ""
    login: str = ""
    digest: str = ""
    size: int = 0
    platforms: tuple[str, ...] = ()
    created: datetime | None = None
    near_tags: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class _Found:
    """What has come to light so far: kept when a later step fails."""

    digest: str = ""
    size: int = 0
    platforms: tuple[str, ...] = ()
    created: datetime | None = None
    near_tags: tuple[str, ...] = ()


class _Cache:
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


_CACHE = _Cache(documents=64, largest=64 * 1024)


async def inspect(
    reference: Reference,
    logins: Sequence[Login],
    *,
    access: Access,
    architectures: Sequence[str],
    timeout: float,
) -> Inspection:
    """Go through a pull of ``reference`` with each login in turn, as the kubelet does; anonymously with none.

    Without tag and digest only the repository is looked for. ``timeout`` is in seconds, for all logins together.
    """
    end = asyncio.get_running_loop().time() + timeout
    first: Inspection | None = None
    for login in logins or (None,):
        left = max(end - asyncio.get_running_loop().time(), 0.1)
        result = await _with_login(reference, login, access, architectures, left)
        if result.trouble is None:
            return result
        first = first or result
        if result.trouble not in _TRY_ANOTHER_LOGIN:
            break
    assert first is not None  # noqa: S101 - there is always one attempt
    return first


async def _with_login(
    reference: Reference, login: Login | None, access: Access, architectures: Sequence[str], timeout: float
) -> Inspection:
    found = _Found()
    trouble, detail = None, ""
    registry = Registry(reference.host, reference.path, login=login, access=access, timeout=timeout)
    try:
        async with registry:
            await _Pull(registry, reference, found).run(architectures)
    except RegistryFailure as failure:
        trouble, detail = failure.trouble, str(failure)
    return Inspection(
        reference=str(reference),
        trouble=trouble,
        detail=detail,
        login=login.source if login else "",
        digest=found.digest,
        size=found.size,
        platforms=found.platforms,
        created=found.created,
        near_tags=found.near_tags,
    )


class _Pull:
    """One walk through manifest, variants, configuration and layers. Raises RegistryFailure."""

    def __init__(self, registry: Registry, reference: Reference, found: _Found) -> None:
        self._registry = registry
        self._reference = reference
        self._found = found

    async def run(self, architectures: Sequence[str]) -> None:
        if not self._reference.version:
            await self._repository()
            return
        digest, kind, document = await self._fetch(self._reference.version)
        self._found.digest = digest
        wanted = self._variants(document, architectures) if kind in _INDEXES else [document]
        for number, item in enumerate(wanted):
            manifest = item if kind not in _INDEXES else await self._child(item)
            size, platform = await self._image(manifest)
            if number == 0:
                self._found.size = size
            if kind not in _INDEXES:
                self._found.platforms = (platform,)
                self._single(platform, architectures)

    async def _repository(self) -> None:
        answer = await self._registry.request(
            "GET", path_of(self._reference.path, "tags", "list"), limit=_TAGS_BYTES
        )
        if answer.status == HTTPStatus.NOT_FOUND:
            await self._insist_on_registry(answer)
            raise self._missing_repository()

    async def _fetch(self, version: str) -> tuple[str, str, Mapping[str, Any]]:
        """Digest, media type and content of a manifest. HEAD first, as runtimes do: it costs no pull."""
        path = path_of(self._reference.path, "manifests", version)
        head = await self._registry.request("HEAD", path, accept=_ACCEPTED)
        if head.status == HTTPStatus.NOT_FOUND:
            await self._insist_on_registry(head)
            raise await self._missing(version)
        digest = head.headers.get("Docker-Content-Digest", "")
        cached = _CACHE.get(digest) if head.status == HTTPStatus.OK and DIGEST.fullmatch(digest) else None
        if cached is not None:
            return digest, _kind(head.media_type, cached, self._registry.host), _json(cached)
        answer = await self._registry.request("GET", path, accept=_ACCEPTED, limit=_MANIFEST_BYTES)
        if answer.status != HTTPStatus.OK:
            await self._insist_on_registry(answer)
            if answer.status == HTTPStatus.NOT_FOUND:
                raise await self._missing(version)
            raise RegistryFailure(
                Trouble.NOT_A_REGISTRY,
                f"{answer.host} answers HTTP {answer.status} when asked for a manifest",
            )
        if answer.media_type == "text/html":
            raise self._no_registry(answer)
        kind = _kind(answer.media_type, answer.body, self._registry.host)
        digest = self._verified(answer, version)
        _CACHE.put(digest, answer.body)
        return digest, kind, _json(answer.body)

    def _verified(self, answer: Answer, version: str) -> str:
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        claimed = (
            version if version.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", "")
        )
        if not answer.complete or (claimed.startswith("sha256:") and claimed != digest):
            raise RegistryFailure(
                Trouble.MANIFEST_INVALID,
                f"{answer.host} sends a manifest of {self._reference.name} that does not fit its digest",
            )
        return digest

    async def _insist_on_registry(self, answer: Answer) -> None:
        """Raise if a "not found" comes from something that is no registry."""
        if not answer.codes and not await self._registry.is_registry():
            raise self._no_registry(answer)

    def _no_registry(self, answer: Answer) -> RegistryFailure:
        what = "with a web page" if answer.media_type == "text/html" else f"HTTP {answer.status}"
        return RegistryFailure(
            Trouble.NOT_A_REGISTRY,
            f"{answer.host} answers {what}: there is no image registry at that address",
        )

    async def _missing(self, version: str) -> RegistryFailure:
        """Tell a missing repository from a missing tag by the list of tags, where that may be read."""
        try:
            answer = await self._registry.request(
                "GET", path_of(self._reference.path, "tags", "list"), limit=_TAGS_BYTES
            )
        except RegistryFailure:
            answer = None
        if answer is not None and answer.status == HTTPStatus.NOT_FOUND:
            return self._missing_repository()
        tags = _tags(answer.body) if answer is not None and answer.status == HTTPStatus.OK else []
        if answer is not None and answer.status == HTTPStatus.OK and not tags:
            return self._missing_repository("has no tags at all")
        self._found.near_tags = tuple(difflib.get_close_matches(version, tags, _NEAR_TAGS, 0.3)) or tuple(
            tags[-_NEAR_TAGS:]
        )
        near = f"; there are {', '.join(self._found.near_tags)}" if self._found.near_tags else ""
        return RegistryFailure(
            Trouble.TAG_MISSING, f"repository {self._reference.name} has no tag {version}{near}"
        )

    def _missing_repository(self, how: str = "does not exist") -> RegistryFailure:
        return RegistryFailure(
            Trouble.REPOSITORY_MISSING, f"repository {self._reference.path} {how} in {self._reference.host}"
        )

    def _variants(self, index: Mapping[str, Any], architectures: Sequence[str]) -> list[Mapping[str, Any]]:
        """The index's entries for the nodes' architectures, one each."""
        offered = [(_platform(entry.get("platform")), entry) for entry in _dicts(index.get("manifests"))]
        self._found.platforms = tuple(
            dict.fromkeys(platform for platform, _ in offered if "unknown" not in platform)
        )
        chosen = []
        for architecture in architectures:
            fitting = [
                entry
                for platform, entry in offered
                if platform == f"linux/{architecture}" or platform.startswith(f"linux/{architecture}/")
            ]
            if not fitting:
                raise self._no_variant(architecture)
            chosen.append(fitting[0])
        return chosen

    def _single(self, platform: str, architectures: Sequence[str]) -> None:
        for architecture in architectures:
            if platform and not f"{platform}/".startswith(f"linux/{architecture}/"):
                raise self._no_variant(architecture)

    def _no_variant(self, architecture: str) -> RegistryFailure:
        has = ", ".join(self._found.platforms) or "nothing that names its platform"
        return RegistryFailure(
            Trouble.NO_VARIANT, f"{self._reference} has no variant for linux/{architecture}; it has {has}"
        )

    async def _child(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        digest = _digest(entry)
        platform = _platform(entry.get("platform"))
        try:
            _, _, document = await self._fetch(digest)
        except RegistryFailure as failure:
            if failure.trouble in (Trouble.TAG_MISSING, Trouble.REPOSITORY_MISSING):
                raise RegistryFailure(
                    Trouble.CHILD_MISSING,
                    f"{self._reference} is an index whose manifest for {platform} ({digest[:19]}…) is missing",
                ) from None
            raise
        return document

    async def _image(self, manifest: Mapping[str, Any]) -> tuple[int, str]:
        """Size in bytes and platform of a single image, all of whose parts the registry has."""
        config = manifest.get("config")
        layers = [layer for layer in _dicts(manifest.get("layers")) if not layer.get("urls")]
        if not isinstance(config, dict) or len(layers) > _MOST_LAYERS:
            raise RegistryFailure(
                Trouble.MANIFEST_INVALID, f"the manifest of {self._reference} names no configuration"
            )
        parts = list({_digest(part): part for part in [config, *layers]}.values())
        present = await asyncio.gather(*(self._has(_digest(part)) for part in parts))
        missing = [part for part, there in zip(parts, present, strict=True) if not there]
        size = sum(map(_size, parts))
        if missing:
            self._found.size = size
            raise RegistryFailure(
                Trouble.BLOBS_MISSING,
                f"{self._reference} is incomplete: {len(missing)} of its {len(parts)} blobs "
                f"({sum(map(_size, missing))} bytes) are missing, the first is {_digest(missing[0])[:19]}…",
            )
        content = await self._config(_digest(config))
        self._found.created = _when(content.get("created"))
        return size, _platform(content)

    async def _has(self, digest: str) -> bool:
        answer = await self._registry.request("HEAD", path_of(self._reference.path, "blobs", digest))
        return answer.status != HTTPStatus.NOT_FOUND

    async def _config(self, digest: str) -> Mapping[str, Any]:
        """The image's configuration; fetched once, which also shows that the registry's store can be reached."""
        document = _CACHE.get(digest)
        if document is None:
            path = path_of(self._reference.path, "blobs", digest)
            answer = await self._registry.request("GET", path, limit=_MANIFEST_BYTES)
            if answer.status != HTTPStatus.OK or not answer.complete:
                return {}
            document = answer.body
            if digest != _digest_like(digest, document):
                raise RegistryFailure(
                    Trouble.MANIFEST_INVALID,
                    f"{answer.host} sends a blob of {self._reference.name} that does not fit its digest",
                )
            _CACHE.put(digest, document)
        return _json(document)


def _kind(media_type: str, document: bytes, host: str) -> str:
    content = _json(document)
    if media_type.startswith(_SCHEMA_1) or content.get("schemaVersion") == 1:
        raise RegistryFailure(
            Trouble.SCHEMA_1, f"{host} serves the image in the obsolete schema 1 of Docker's manifests"
        )
    kind = media_type if media_type in _INDEXES | _MANIFESTS else content.get("mediaType")
    if kind in _INDEXES or kind in _MANIFESTS:
        return str(kind)
    raise RegistryFailure(Trouble.MANIFEST_INVALID, f"{host} serves something that is no image manifest")


def _json(document: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(document)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RegistryFailure(Trouble.MANIFEST_INVALID, "the registry serves a manifest that is not JSON")
    return content


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _digest(part: Mapping[str, Any]) -> str:
    digest = str(part.get("digest"))
    if not DIGEST.fullmatch(digest):
        raise RegistryFailure(Trouble.MANIFEST_INVALID, "a manifest names a part without a proper digest")
    return digest


def _digest_like(digest: str, document: bytes) -> str:
    """The digest of ``document`` by the algorithm of ``digest``; SHA-256 where that is none."""
    algorithm = "sha512" if digest.startswith("sha512:") else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, document).hexdigest()}"


def _size(part: Mapping[str, Any]) -> int:
    size = part.get("size")
    return size if isinstance(size, int) and size > 0 else 0


def _platform(value: Any) -> str:
    """``os/architecture[/variant]``, or "" where nothing of the kind is said."""
    if not isinstance(value, Mapping):
        return ""
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    words = [part for part in parts if isinstance(part, str) and TAG.fullmatch(part)]
    return "/".join(words)


def _tags(body: bytes) -> list[str]:
    try:
        tags = json.loads(body)["tags"] or []
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return (
        [tag for tag in tags if isinstance(tag, str) and TAG.fullmatch(tag)] if isinstance(tags, list) else []
    )


def _when(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
