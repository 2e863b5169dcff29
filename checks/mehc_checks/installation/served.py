"""Which kinds the API server serves: watches that tell when that changes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.memory import DISCOVERY
from mehc_checks.clients.kubernetes.paths import parts
from mehc_checks.clients.kubernetes.watch import Watch
from mehc_checks.installation.following import Forget

CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APISERVICES: Final = "/apis/apiregistration.k8s.io/v1/apiservices"
_LATE: Final = 60.0
"""Seconds by which what the API server says of its kinds may be behind their CRDs and APIServices."""


class Served:
    """Watches of CRDs and APIServices for the life of the operator; both begin when they are first needed.

    ``allowed``: whether the operator may watch the whole cluster.
    """

    def __init__(self, cluster: KubernetesCluster, forget: Forget, *, allowed: bool = True) -> None:
        self._forget = forget
        self._allowed = allowed
        self._changed = 0.0
        self._crds = self._watch(cluster, CRDS)
        self._services = self._watch(cluster, APISERVICES)
        self._names: dict[str, _Names] = {}

    def _watch(self, cluster: KubernetesCluster, path: str) -> Watch["_Names"]:
        return Watch(
            cluster=cluster, path=path, make=lambda: self._empty(path), metadata_only=True, optional=True
        )

    def _empty(self, path: str) -> "_Names":
        self._names[path] = _Names(self)
        self.note()
        return self._names[path]

    def note(self) -> None:
        """Something has changed, or may have."""
        self._changed = time.monotonic()
        self._forget(DISCOVERY)

    def covering(self, path: str) -> "Served | None":
        """This for an answer about kinds that CRDs make, or nobody; None for what an APIService's own server says."""
        group, _, resource, _ = parts(path)
        if resource or not path.startswith("/apis") or not self._allowed:
            return None
        self._crds.start()
        self._services.start()
        crds, services = (self._names.get(each) for each in (CRDS, APISERVICES))
        if crds is None or services is None:
            return None
        made = any(name.partition(".")[2] == group for name in crds.names)
        served = any(name.partition(".")[2] == group for name in services.names)
        return self if not group or made or not served else None

    @property
    def is_listed(self) -> bool:
        listed = self._crds.is_listed and self._services.is_listed
        return listed and time.monotonic() - self._changed > _LATE

    @property
    def is_current(self) -> bool:
        return self._crds.is_current and self._services.is_current

    async def stop(self) -> None:
        """End both watches."""
        await self._crds.stop()
        await self._services.stop()
        self._names.clear()


@dataclass(slots=True)
class _Names:
    """``watching.Store`` of the names of what makes kinds: "scaledobjects.keda.sh", "v1alpha1.keda.sh"."""

    served: Served
    names: set[str] = field(default_factory=set)

    def put(self, manifest: Mapping[str, Any]) -> bool:
        self.names.add(manifest["metadata"]["name"])
        self.served.note()
        return True

    def remove(self, manifest: Mapping[str, Any]) -> None:
        self.names.discard(manifest["metadata"]["name"])
        self.served.note()
