"""What the operator itself asks of the Kubernetes API; the chart's RBAC rules are generated from this."""

from mehc_checks.core.permission import Permission
from mehc_operator.models import GROUP, PLURAL

OWN_PERMISSIONS = (
    Permission(group=GROUP, resource=PLURAL, verbs=("list", "watch"), scope="own"),
    Permission(
        group=GROUP, resource=f"{PLURAL}/status", verbs=("patch",), scope="own", lost="no status is written"
    ),
    Permission(
        resource="events",
        verbs=("create", "patch"),
        scope="own",
        lost="changes of conditions are not announced; the status has the same",
    ),
    Permission(resource="secrets", scope="own", lost="spec.valuesFrom cannot name Secrets"),
    Permission(resource="configmaps", scope="own", lost="spec.valuesFrom cannot name ConfigMaps"),
    Permission(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("get", "create", "update"),
        scope="operator",
        lost="no replica becomes leader, and nothing is probed",
    ),
    Permission(
        group="apiextensions.k8s.io",
        resource="customresourcedefinitions",
        verbs=("list", "watch"),
        scope="cluster",
        lost="a CRD that is installed after the operator is noticed after a restart",
    ),
)
