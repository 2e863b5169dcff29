"""What the operator itself asks of the Kubernetes API, and the RBAC rules that follow from this and from the checks."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import Check
from mehc_operator.models import GROUP, PLURAL

Rule = dict[str, Any]
"""A rule as a Role has it."""

_SCOPES: Final = ("own", "endpoints", "cluster")

_UNPROVED: Final = "what only these show that workloads use is not read: NotVerified"
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
    *(
        Permission(group=group, resource=resource, verbs=(verb,), scope="own", lost=_UNPROVED)
        for group, resource, verb in (("apps", "deployments", "get"), ("batch", "jobs", "list"))
    ),
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


def rules(checks: Iterable[Check]) -> dict[str, list[Rule]]:
    """RBAC rules by scope ("own", "endpoints" and "operator" namespaces, the whole "cluster"), or by their switch.

    "everywhere" has those of all scopes but "operator", for an operator that watches the whole cluster.
    """
    verbs: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for permission in (*OWN_PERMISSIONS, *(p for check in checks for p in check.permissions)):
        places = [permission.switch or permission.scope]
        if permission.scope in _SCOPES and not permission.switch:
            places.append("everywhere")
        for where in places:
            verbs[where, permission.group, permission.resource].update(permission.all_verbs)
    lists: dict[str, list[Rule]] = {where: [] for where in (*_SCOPES, "everywhere", "operator")}
    for (where, group, resource), allowed in sorted(verbs.items()):
        entry = {"apiGroups": [group], "resources": [resource], "verbs": sorted(allowed)}
        lists.setdefault(where, []).append(entry)
    return lists
