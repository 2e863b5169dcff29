"""Reads the objects of an installation that has no Helm release, and what they show of its values."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Reader
from mehc_checks.core.errors import CannotEvaluate, Forbidden
from mehc_checks.modelengine import manifests, workloads
from mehc_checks.modelengine.images import FRAMEWORK_CONFIG_MAP
from mehc_checks.modelengine.manifests import Live, Shown
from mehc_checks.modelengine.names import PRIORITY_CLASSES
from mehc_checks.modelengine.scaling import REDIS_TRIGGER_AUTHENTICATION

Manifest = Mapping[str, Any]

_HARDWARE: Final = "-recommended-hardware-config"
_TEMPLATES: Final = "-service-template-config"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """``left_over`` are StatefulSets of Celery autoscalers for another broker than the present one."""

    shown: Shown
    left_over: tuple[str, ...] = ()


class Objects:
    """Those in ``namespace``; what cannot be read is noted in ``lost``, as (what is lost, why)."""

    def __init__(self, reader: Reader, namespace: str, lost: list[tuple[str, CannotEvaluate]]) -> None:
        self._reader = reader
        self._namespace = namespace
        self._lost = lost

    async def deployments(self) -> Sequence[Manifest] | None:
        """All of the namespace: balloons, and what Kustomize labels, do not have the chart's label. None: Forbidden."""
        return await self._all("the Deployments of the control plane", "deployments")

    async def of(
        self, name: str, gateway: Manifest | None, deployments: Sequence[Manifest], endpoints: str
    ) -> Found:
        """What the objects of the installation ``name`` show; ``endpoints`` is its endpoint namespace, "" for none."""
        own, aws = self._namespace, manifests.aws_config_map(gateway or {})
        hardware = name + _HARDWARE
        asked = {
            "scaler": object_path("horizontalpodautoscalers", own, name, group="autoscaling", version="v2"),
            "budget": object_path("poddisruptionbudgets", own, name, group="policy"),
            "service": object_path("services", own, name),
            "account": object_path("serviceaccounts", own, name),
            "hardware": object_path("configmaps", own, manifests.volume(gateway or {}, hardware)),
            "frameworks": object_path("configmaps", own, FRAMEWORK_CONFIG_MAP),
            "templates": object_path("configmaps", own, manifests.volume(gateway or {}, name + _TEMPLATES)),
            "priority": cluster_path("priorityclasses", PRIORITY_CLASSES[1], group="scheduling.k8s.io"),
        }
        if endpoints:
            asked["authentication"] = object_path(
                "triggerauthentications",
                endpoints,
                REDIS_TRIGGER_AUTHENTICATION,
                group="keda.sh",
                version="v1alpha1",
            )
        stateful, objects, places = await asyncio.gather(
            self._all("which broker the autoscaler has", "statefulsets"),
            self._objects(asked),
            self._having(aws, [place for place in dict.fromkeys((own, endpoints)) if place]),
        )
        autoscalers = None
        if stateful is not None:
            autoscalers = [
                each for each in stateful if each["metadata"]["name"].startswith(workloads.AUTOSCALER)
            ]
        shown = manifests.shown(
            Live(
                name=name,
                deployments=deployments,
                autoscalers=autoscalers,
                objects=objects,
                aws_namespaces=places,
            )
        )
        names = sorted(each["metadata"]["name"] for each in autoscalers or ())
        kept = f"{workloads.AUTOSCALER}{shown.values.get('celeryBrokerType')}"
        left_over = tuple(each for each in names if each != kept) if kept in names else ()
        return Found(shown=shown, left_over=left_over)

    async def _objects(self, asked: Mapping[str, str]) -> dict[str, Manifest | None]:
        """Those that may be read, by what they are for."""
        found = await asyncio.gather(*(self._readable(self._reader.get(path)) for path in asked.values()))
        return {key: item for key, (readable, item) in zip(asked, found, strict=True) if readable}

    async def _having(self, config_map: str, places: Sequence[str]) -> list[str] | None:
        """Those of the namespaces ``places`` that have ``config_map``; None where one of them may not be asked."""
        if not config_map:
            return None
        paths = [object_path("configmaps", place, config_map) for place in places]
        found = await asyncio.gather(*(self._readable(self._reader.exists(path)) for path in paths))
        if not all(readable for readable, _ in found):
            return None
        return [place for place, (_, exists) in zip(places, found, strict=True) if exists]

    async def _readable(self, asked: Awaitable[Any]) -> tuple[bool, Any]:
        """Values are shown as far as the account may read; the rules that need others are not judged."""
        try:
            return True, await asked
        except Forbidden:
            return False, None

    async def _all(self, what: str, resource: str) -> Sequence[Manifest] | None:
        try:
            found = await self._reader.all(object_path(resource, self._namespace, group="apps"))
        except Forbidden as refused:
            self._lost.append((what, refused))
            return None
        if found.cut:
            self._lost.append((what, found.cut))
        return found.items
