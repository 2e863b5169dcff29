"""The steps of a pull, except for the layers' content."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from mehc_checks.clients.registry.client import Registry
from mehc_checks.clients.registry.completed import Completed, Key, Whole
from mehc_checks.clients.registry.exchange import NOT_FOUND, Answer
from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.manifest import (
    ACCEPTED,
    INDEXES,
    DocumentCache,
    dicts,
    digest_like,
    digest_of,
    invalid,
    kind_of,
    moment_of,
    platform_of,
    read,
    size_of,
    tags_of,
)
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.reference import DIGEST, Reference, path_of
from mehc_checks.core.errors import Problem
from mehc_checks.core.text import byte_count, nearest

_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_TAGS_BYTES: Final = 1024 * 1024
_MOST_LAYERS: Final = 256
_NEAR_TAGS: Final = 5
_SHOWN_DIGEST: Final = 19
_ACCEPT: Final = {"Accept": ", ".join(ACCEPTED)}
_FIRST_BYTE: Final = {"Range": "bytes=0-0"}
_NO_HEAD: Final = frozenset({400, 401, 403, 405, 501})
"""What stores answer to HEAD of an address that is signed for GET."""
_CACHE = DocumentCache(documents=64, largest=64 * 1024)


class Pull:
    """One walk through manifest, variants, configuration and layers, noting what is found. Raises Problem."""

    def __init__(
        self,
        registry: Registry,
        reference: Reference,
        found: Inspection,
        completed: Completed | None = None,
    ) -> None:
        self._registry = registry
        self._completed = completed or Completed()
        self._reference = reference
        self._image = str(reference)
        self._found = found

    async def run(self, architectures: Sequence[str] | None) -> None:
        """All steps for each of ``architectures``; None ends after the manifest."""
        if not self._reference.version:
            await self._repository()
            return
        digest, kind, document = await self._fetch(self._reference.version)
        self._found.digest = digest
        if architectures is None:
            return
        if kind not in INDEXES:
            whole = await self._complete(digest, document)
            self._found.size = whole.size
            self._found.platforms = (whole.platform,)
            self._single(whole.platform, architectures)
            return
        for number, item in enumerate(self._variants(document, architectures)):
            whole = await self._complete(*await self._child(item))
            if number == 0:
                self._found.size = whole.size

    async def _repository(self) -> None:
        answer = await self._tags()
        if answer.status == NOT_FOUND:
            await self._insist_on_registry(answer)
            raise self._missing_repository()

    async def _tags(self) -> Answer:
        path = path_of(self._reference.path, "tags", "list")
        return await self._registry.request("GET", path, limit=_TAGS_BYTES)

    async def _fetch(self, version: str) -> tuple[str, str, Mapping[str, Any]]:
        """Digest, media type and content of a manifest. HEAD first, as runtimes do: it costs no pull."""
        path = path_of(self._reference.path, "manifests", version)
        head = await self._registry.request("HEAD", path, headers=_ACCEPT)
        if head.status == NOT_FOUND:
            await self._insist_on_registry(head)
            raise await self._missing(version)
        digest = head.headers.get("Docker-Content-Digest", "")
        cached = _CACHE.get(digest) if head.status == HTTPStatus.OK and DIGEST.fullmatch(digest) else None
        if cached is not None:
            return digest, kind_of(head.media_type, cached, self._image), read(cached, self._image)
        answer = await self._registry.request("GET", path, headers=_ACCEPT, limit=_MANIFEST_BYTES)
        if answer.status != HTTPStatus.OK:
            await self._insist_on_registry(answer)
            if answer.status == NOT_FOUND:
                raise await self._missing(version)
            raise self._registry.not_a_registry(f"it returned HTTP {answer.status} for a manifest")
        if answer.media_type == "text/html":
            raise self._registry.not_a_registry("it returned a web page")
        kind = kind_of(answer.media_type, answer.body, self._image)
        digest = self._verified(answer, version)
        _CACHE.put(digest, answer.body)
        return digest, kind, read(answer.body, self._image)

    def _verified(self, answer: Answer, version: str) -> str:
        digest = digest_like("", answer.body)
        claimed = (
            version if version.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", "")
        )
        if not answer.complete or (claimed.startswith("sha256:") and claimed != digest):
            raise invalid(self._image, "its manifest does not match its digest")
        return digest

    async def _insist_on_registry(self, answer: Answer) -> None:
        """Raise if a "not found" comes from something that is no registry."""
        if not answer.codes and not await self._registry.is_registry():
            page = answer.media_type == "text/html"
            raise self._registry.not_a_registry(
                "it returned a web page" if page else f"it returned HTTP {answer.status}"
            )

    async def _missing(self, version: str) -> Problem:
        """Tell a missing repository from a missing tag by the list of tags, where that may be read."""
        try:
            answer = await self._tags()
        except Problem:
            answer = None
        if answer is not None and answer.status == NOT_FOUND:
            return self._missing_repository()
        tags = tags_of(answer.body) if answer is not None and answer.status == HTTPStatus.OK else []
        if answer is not None and answer.status == HTTPStatus.OK and not tags:
            return self._missing_repository(" with tags")
        near = nearest(version, tags, most=_NEAR_TAGS, cutoff=0.3)
        others = near or tags[-_NEAR_TAGS:]
        self._found.near_tags = tuple(others)
        return Problem(
            R.TAG_MISSING,
            host=self._reference.host,
            repository=self._reference.path,
            tag=version,
            near=f"; {'nearest' if near else 'it has'} {', '.join(others)}" if others else "",
        )

    def _missing_repository(self, detail: str = "") -> Problem:
        words = {"host": self._reference.host, "repository": self._reference.path}
        return Problem(R.REPOSITORY_MISSING, detail=detail, **words)

    def _variants(self, index: Mapping[str, Any], architectures: Sequence[str]) -> list[Mapping[str, Any]]:
        """The index's entries for the nodes' architectures, one each."""
        offered = [(platform_of(entry.get("platform")), entry) for entry in dicts(index.get("manifests"))]
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

    def _no_variant(self, architecture: str) -> Problem:
        has = ", ".join(self._found.platforms) or "nothing that names its platform"
        built = f"linux/{architecture}"
        return Problem(
            R.IMAGE_PLATFORM_MISSING, image=self._image, architecture=built, detail=f"it has {has}"
        )

    async def _child(self, entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Digest and content of a manifest that the index names."""
        digest = digest_of(entry, self._image)
        try:
            _, _, document = await self._fetch(digest)
        except Problem as problem:
            if problem.reason not in (R.TAG_MISSING, R.REPOSITORY_MISSING):
                raise
            raise Problem(
                R.INDEX_INCOMPLETE,
                image=self._image,
                platform=platform_of(entry.get("platform")),
                digest=digest[:_SHOWN_DIGEST],
            ) from None
        return digest, document

    async def _complete(self, digest: str, manifest: Mapping[str, Any]) -> Whole:
        """Of a single image, all of whose parts the registry has; of the largest it still sends the first byte."""
        config = manifest.get("config")
        layers = [layer for layer in dicts(manifest.get("layers")) if not layer.get("urls")]
        if not isinstance(config, dict) or len(layers) > _MOST_LAYERS:
            raise invalid(self._image, "its manifest names no configuration")
        parts = list({digest_of(part, self._image): part for part in [config, *layers]}.values())
        key = Key.of(self._reference.host, self._reference.path, digest, self._registry.login)
        whole = self._completed.recall(key)
        if whole is None:
            await self._require(parts)
        try:
            await self._download(max(parts, key=size_of))
        except Problem:
            self._completed.drop(key)
            raise
        if whole is None:
            content = await self._config(digest_of(config, self._image))
            created, platform = moment_of(content.get("created")), platform_of(content)
            whole = Whole(sum(map(size_of, parts)), platform, created)
            self._completed.keep(key, whole)
        self._found.created = whole.created
        return whole

    async def _require(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Raises Problem (BLOBS_MISSING) for what the registry does not have of ``parts``."""
        present = await asyncio.gather(*(self._has(digest_of(part, self._image)) for part in parts))
        missing = [part for part, there in zip(parts, present, strict=True) if not there]
        if missing:
            self._found.size = sum(map(size_of, parts))
            raise self._blobs_missing(missing, len(parts))

    async def _has(self, digest: str) -> bool:
        try:
            answer = await self._registry.request("HEAD", path_of(self._reference.path, "blobs", digest))
        except Problem as problem:
            if problem.reason is R.LAYER_STORE_ERROR and problem.words["code"] in _NO_HEAD:
                return True  # the registry has led to it
            raise
        return answer.status != NOT_FOUND

    async def _download(self, part: Mapping[str, Any]) -> None:
        """The first byte of a blob: many registries answer HEAD themselves, and lead GET to a store elsewhere."""
        path = path_of(self._reference.path, "blobs", digest_of(part, self._image))
        answer = await self._registry.request("GET", path, headers=_FIRST_BYTE, limit=1)
        if answer.status == NOT_FOUND:
            raise self._blobs_missing([part], 1)

    def _blobs_missing(self, missing: Sequence[Mapping[str, Any]], parts: int) -> Problem:
        return Problem(
            R.BLOBS_MISSING,
            image=self._image,
            missing=f"{len(missing)} of {parts} blobs ({byte_count(sum(map(size_of, missing)))})",
            digest=digest_of(missing[0], self._image)[:_SHOWN_DIGEST],
        )

    async def _config(self, digest: str) -> Mapping[str, Any]:
        """The image's configuration; fetched once."""
        document = _CACHE.get(digest)
        if document is None:
            path = path_of(self._reference.path, "blobs", digest)
            answer = await self._registry.request("GET", path, limit=_MANIFEST_BYTES)
            if answer.status != HTTPStatus.OK or not answer.complete:
                return {}
            document = answer.body
            if digest != digest_like(digest, document):
                raise invalid(self._image, f"the content of blob {digest[:_SHOWN_DIGEST]}… does not match")
            _CACHE.put(digest, document)
        return read(document, self._image)
