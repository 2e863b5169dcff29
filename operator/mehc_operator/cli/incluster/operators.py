"""The operator that is installed in the cluster, found by the labels that its chart gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import Forbidden

LABEL: Final = "app.kubernetes.io/part-of=model-engine-health-check"
CONTAINER: Final = "operator"
_USUAL: Final = "mehc"
"""The namespace that the documentation installs it in."""
_WATCH: Final = "--namespace="


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """A Deployment of the operator that watches the namespace in question, and its pods that are ready."""

    namespace: str
    name: str
    template: Mapping[str, Any]
    """The pod template's spec."""
    labels: Mapping[str, str]
    """The pod template's labels."""
    ready: tuple[str, ...]

    @property
    def container(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = next(
            each for each in self.template["containers"] if each["name"] == CONTAINER
        )
        return found

    @property
    def image(self) -> str:
        return str(self.container["image"])


async def operator_of(cluster: KubernetesCluster, namespace: str) -> Operator | None:
    """The operator that watches ``namespace``, one with ready pods before others; None as far as we may look."""
    found = [await _with_pods(cluster, each) for each in await _deployments(cluster, namespace)]
    return max(found, key=lambda each: bool(each.ready), default=None)


async def _deployments(cluster: KubernetesCluster, namespace: str) -> list[Mapping[str, Any]]:
    paths = [
        "/apis/apps/v1/deployments",
        *(object_path("deployments", place, group="apps") for place in dict.fromkeys((namespace, _USUAL))),
    ]
    for path in paths:
        try:
            found = (await cluster.get(path, labelSelector=LABEL) or {}).get("items") or []
        except Forbidden:
            continue
        if watching := [each for each in found if _watches(each, namespace)]:
            return watching
        if path == paths[0]:
            return []
    return []


def _watches(deployment: Mapping[str, Any], namespace: str) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    container = next((each for each in containers if each["name"] == CONTAINER), None)
    if container is None:
        return False
    named = [word.removeprefix(_WATCH) for word in container.get("args") or () if word.startswith(_WATCH)]
    return not named or namespace in named


async def _with_pods(cluster: KubernetesCluster, deployment: Mapping[str, Any]) -> Operator:
    namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
    labels = deployment["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = (await cluster.get(object_path("pods", namespace), labelSelector=selector) or {}).get(
        "items"
    ) or ()
    leader = await _leader(cluster, namespace, name)
    # The leader has work enough, and memory for that only.
    ready = sorted((each["metadata"]["name"] for each in pods if _is_ready(each)), key=leader.startswith)
    return Operator(
        namespace=namespace,
        name=name,
        template=deployment["spec"]["template"]["spec"],
        labels=deployment["spec"]["template"]["metadata"].get("labels") or {},
        ready=tuple(ready),
    )


async def _leader(cluster: KubernetesCluster, namespace: str, lease: str) -> str:
    """Who holds the Lease, "" as far as we may look."""
    try:
        found = await cluster.get(object_path("leases", namespace, lease, group="coordination.k8s.io"))
    except Forbidden:
        return ""
    return str(((found or {}).get("spec") or {}).get("holderIdentity") or "")


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return "deletionTimestamp" not in pod["metadata"] and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )
