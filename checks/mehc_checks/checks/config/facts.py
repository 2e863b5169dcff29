"""What ConfigValid judges: the rules carried out over the values, and what discovery noticed on its way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mehc_checks.checks.config.rules.evaluate import Judged
from mehc_checks.core.permission import Permission
from mehc_checks.installation.installation import Difference, Installation
from mehc_checks.modelengine.values import Values
from mehc_checks.modelengine.versions import UNDETECTED, Platform

_SKIPPED: Final = "rules of ConfigValid that ask for them are skipped"
PERMISSIONS: Final = (
    Permission(
        resource="secrets",
        verbs=("list", "watch"),
        switch="helmReleases",
        lost="Helm releases are not found: values are those of the live objects and of the resource, and ConfigValid "
        "is Unknown; a changed Secret is noticed with the next probe run",
    ),
    Permission(resource="configmaps", lost="values are those of the release, not those that pods run with"),
    Permission(
        resource="configmaps",
        verbs=("list", "watch"),
        lost="a changed ConfigMap is noticed with the next probe run",
    ),
    Permission(
        resource="configmaps", scope="endpoints", lost="what differs between the namespaces is not seen"
    ),
    Permission(
        group="apps",
        resource="deployments",
        verbs=("get", "list"),
        lost="the gateway's environment is not read, and without a Helm release nothing is found",
    ),
    Permission(
        group="apps",
        resource="statefulsets",
        verbs=("list",),
        lost="without a Helm release it is not known which broker the autoscaler has",
    ),
    Permission(
        resource="pods", verbs=("list",), lost="pods that run with an older configuration are not noticed"
    ),
    Permission(resource="namespaces", scope="endpoints", lost=_SKIPPED),  # a Role may show its own namespace
    Permission(resource="namespaces", scope="cluster", watched=True, lost=_SKIPPED),  # istio-system
    Permission(resource="namespaces", lost=_SKIPPED),
    Permission(group="scheduling.k8s.io", resource="priorityclasses", scope="cluster", lost=_SKIPPED),
    Permission(resource="nodes", verbs=("list", "watch"), scope="cluster", lost=_SKIPPED),
    Permission(resource="serviceaccounts", scope="endpoints", lost=_SKIPPED),
    Permission(
        group="networking.istio.io", resource="gateways", scope="cluster", watched=True, lost=_SKIPPED
    ),
    Permission(
        group="autoscaling",
        resource="horizontalpodautoscalers",
        verbs=("list",),
        scope="endpoints",
        lost=_SKIPPED,
    ),
    Permission(group="keda.sh", resource="scaledobjects", verbs=("list",), scope="endpoints", lost=_SKIPPED),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stale:
    """Pods that began before their configuration was last written; no process of the platform reads it again.

    ``paths`` are the values that have changed since, empty where that is not known.
    """

    pods: tuple[str, ...]
    began: datetime
    changed: datetime
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigFacts:
    """``installation`` is None without a cluster. ``now`` is when this was gathered.

    ``frameworks`` are tags that the live ConfigMap has otherwise than the release.
    """

    values: Values
    installation: Installation | None
    judged: tuple[Judged, ...]
    stale: Stale | None
    frameworks: tuple[Difference, ...] = ()
    now: datetime

    @property
    def platform(self) -> Platform:
        """The version that is installed, else the known one."""
        return self.installation.platform if self.installation else UNDETECTED
