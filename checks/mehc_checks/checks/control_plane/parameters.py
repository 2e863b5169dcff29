"""Parameters and permissions of ControlPlaneReady."""

from typing import Final

from pydantic import Field

from mehc_checks.core.parameters import Parameters
from mehc_checks.core.permission import Permission


class GatewayParameters(Parameters):
    """Parameters of ControlPlaneReady."""

    gateway_url: str = Field(
        "",
        description="Where to ask the gateway, such as http://127.0.0.1:8080 behind kubectl port-forward; by default "
        "its Service, asked only from inside the cluster.",
    )


PERMISSIONS: Final = (
    Permission(group="apps", resource="deployments", verbs=("get", "list"), followed=True),
    Permission(group="apps", resource="replicasets", verbs=("list",), followed=True),
    Permission(group="apps", resource="statefulsets", verbs=("get",), followed=True),
    Permission(resource="pods", verbs=("list",), followed=True),
    Permission(resource="events", verbs=("list",), followed=True),
    Permission(resource="configmaps"),
    Permission(resource="secrets"),
    Permission(resource="serviceaccounts", followed=True),
    Permission(resource="services", followed=True),
    Permission(group="batch", resource="jobs", verbs=("list",), followed=True),
    Permission(group="autoscaling", resource="horizontalpodautoscalers", followed=True),
    Permission(group="policy", resource="poddisruptionbudgets", followed=True),
    Permission(group="scheduling.k8s.io", resource="priorityclasses", scope="cluster", followed=True),
    Permission(group="rbac.authorization.k8s.io", resource="clusterrolebindings", scope="cluster"),
    Permission(group="apps", resource="deployments", verbs=("list",), scope="endpoints", followed=True),
    Permission(resource="configmaps", scope="endpoints"),
    Permission(resource="nodes", verbs=("list", "watch"), scope="cluster"),
)
