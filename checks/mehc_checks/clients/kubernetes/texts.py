"""What the Kubernetes API answers to reads: the text of it, and the objects that are in there."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from mehc_checks.clients.kubernetes.paths import object_path

JSON: Final = "application/json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A Secret, decoded. Bytes that are not UTF-8 are decoded with replacement characters."""

    name: str
    namespace: str
    type: str
    data: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Secret({self.namespace}/{self.name})"


class Texts(ABC):
    """The reads of a Cluster, all of them by ``text``."""

    @abstractmethod
    async def text(self, path: str, query: Mapping[str, str], accept: str) -> bytes | None:
        """What a GET of ``path`` answers; None on 404. Raises what Cluster does."""

    async def secret(self, namespace: str, name: str) -> Secret | None:
        found = await self.get(object_path("secrets", namespace, name))
        if found is None:
            return None
        data = found.get("data") or {}
        return Secret(
            name=name,
            namespace=namespace,
            type=found.get("type", "Opaque"),
            data={key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()},
        )

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        found = await self.get(object_path("configmaps", namespace, name))
        return None if found is None else found.get("data") or {}

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        return await self._got(path, query, JSON)

    async def get_metadata(self, path: str) -> Mapping[str, Any] | None:
        return await self._got(path, {}, METADATA)

    async def list_metadata(self, path: str, **query: str) -> Mapping[str, Any] | None:
        return await self._got(path, query, METADATA_LIST)

    async def _got(self, path: str, query: Mapping[str, str], accept: str) -> Mapping[str, Any] | None:
        text = await self.text(path, query, accept)
        return None if text is None else parsed(text)


def is_missing(status: int, answer: Mapping[str, Any]) -> bool:
    """Whether the API server says that there is no such object; a proxy before it may answer 404 to anything."""
    return status == HTTPStatus.NOT_FOUND and answer.get("kind") == "Status"


def parsed(text: bytes) -> dict[str, Any]:
    """The JSON object in an answer; an empty one where there is none."""
    try:
        answer = json.loads(text) if text else {}
    except ValueError:
        answer = {}
    return answer if isinstance(answer, dict) else {}
