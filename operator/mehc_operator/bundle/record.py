"""A cluster that notes what is read of it: the objects of a bundle are those that the checks themselves have read."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kubernetes.aio import client

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import parts
from mehc_checks.clients.kubernetes.texts import JSON, parsed
from mehc_checks.core.redact import of_secret
from mehc_operator.bundle.scrub import Scrub, lean

MOST_OF_A_KIND: Final = 300
"""Objects of one collection that are kept."""


class RecordingCluster(KubernetesCluster):
    """``objects`` has what was read, by path; ``scrub`` learns each secret as it comes."""

    def __init__(self, api: client.ApiClient, scrub: Scrub) -> None:
        super().__init__(api)
        self._scrub = scrub
        self.objects: dict[str, dict[str, Any]] = {}
        """Lean, by the API path of each."""
        self.left_out: dict[str, int] = {}
        """How many objects of a collection were read and are not kept."""

    async def text(self, path: str, query: Mapping[str, str], accept: str) -> bytes | None:
        answer = await super().text(path, query, accept)
        if answer is not None and parts(path)[2]:
            self._note(path, parsed(answer), whole=accept == JSON)
        return answer

    def _note(self, path: str, answer: Mapping[str, Any], *, whole: bool) -> None:
        listed = answer.get("items")
        if not isinstance(listed, list):
            self._keep(path, answer, whole=whole)
            return
        kind = str(answer.get("kind", "")).removesuffix("List")
        kept = sum(_collection(each) == path for each in self.objects)
        for item in listed:
            metadata = item.get("metadata") or {}
            place = _place(path, metadata.get("namespace"), metadata.get("name", ""))
            if kept >= MOST_OF_A_KIND and place not in self.objects:
                self.left_out[path] = self.left_out.get(path, 0) + 1
                continue
            kept += place not in self.objects
            self._keep(place, {"kind": kind, **item}, whole=whole)

    def _keep(self, path: str, manifest: Mapping[str, Any], *, whole: bool) -> None:
        if manifest.get("kind") == "Secret":
            data = manifest.get("data") or {}
            decoded = {key: _decoded(value) for key, value in data.items()}
            self._scrub.add(of_secret(decoded))
        else:
            self._scrub.learn(manifest)
        if whole or path not in self.objects:  # metadata alone replaces no object
            self.objects[path] = lean(manifest)

    def pods(self, namespace: str) -> Iterator[Mapping[str, Any]]:
        """The pods of ``namespace`` that were read whole."""
        for path, each in list(self.objects.items()):
            group, where, resource, name = parts(path)
            if (group, where, resource) == ("", namespace, "pods") and name and "spec" in each:
                yield each


def _collection(path: str) -> str:
    return path.rpartition("/")[0]


def _place(path: str, namespace: str | None, name: str) -> str:
    """The path of an object in the collection at ``path``, which may be that of all namespaces."""
    if namespace and not parts(path)[1]:
        head, _, resource = path.rpartition("/")
        path = f"{head}/namespaces/{namespace}/{resource}"
    return f"{path}/{name}"


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except ValueError:
        return value
