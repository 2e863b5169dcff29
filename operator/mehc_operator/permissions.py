"""What the operator itself asks of the Kubernetes API; the chart's RBAC rules are generated from this."""

from mehc_checks.check import Permission
from mehc_operator.models import GROUP, PLURAL

OWN_PERMISSIONS = (
    Permission(group=GROUP, resource=PLURAL, verbs=("list", "watch"), scope="own"),
    Permission(group=GROUP, resource=f"{PLURAL}/status", verbs=("patch",), scope="own"),
    Permission(resource="events", verbs=("create",), scope="own"),
    Permission(
        group="coordination.k8s.io", resource="leases", verbs=("get", "create", "update"), scope="operator"
    ),
    Permission(resource="secrets", verbs=("get",), scope="own"),
    Permission(resource="configmaps", verbs=("get",), scope="own"),
    Permission(
        group="apiextensions.k8s.io",
        resource="customresourcedefinitions",
        verbs=("list", "watch"),
        scope="cluster",
    ),
)
