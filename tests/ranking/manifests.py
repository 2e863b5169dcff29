"""What an installation has in the cluster besides what its chart makes, and in which state it is."""

import json
from base64 import b64encode
from typing import Any

from demo.stage import A10, TOLERATIONS
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.scaling import resource_name
from testbed.installation import Tree


def placed(manifest: Tree, namespace: str) -> Tree:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def autoscaler(endpoint_id: str) -> Tree:
    """The HorizontalPodAutoscaler that the builder makes for an endpoint with min_workers above 0."""
    name = resource_name(endpoint_id)
    target = {"type": "AverageValue", "averageValue": "1"}
    pods = {"metric": {"name": "request-concurrency-average"}, "target": target}
    return {
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "Pods", "pods": pods}],
        },
    }


def balloon() -> Tree:
    """Of the chart, for nodes with an A10."""
    name = f"balloon-{A10}"
    pod = {
        "nodeSelector": {ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
        "tolerations": TOLERATIONS,
        "containers": [{"name": "main", "image": "balloon"}],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def webhook(namespace: str, address: str) -> Tree:
    """An admission webhook for pods of ``namespace`` at ``address``, where nothing listens."""
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "policy.example.com",
                "clientConfig": {"url": f"https://{address}/"},
                "rules": [pods],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


def pull_secret(name: str, registry: str, password: str) -> Tree:
    login = b64encode(f"puller:{password}".encode()).decode()
    return {
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {registry: {"auth": login}}})},
    }


def migration_job(name: str) -> Tree:
    """Its pod finds no node: it is failed by hand, or KWOK would let it succeed."""
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"no-such": "label"},
        "containers": [{"name": "m", "image": "m"}],
    }
    return {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}


def is_up(workload: Tree) -> bool:
    """A Deployment, StatefulSet or DaemonSet with all the pods that it requests, of its latest template."""
    status = workload["status"]
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    if "desiredNumberScheduled" in status:
        return bool(status["numberReady"] == status["desiredNumberScheduled"])
    wanted = int(workload["spec"]["replicas"])
    return all(
        int(status.get(name) or 0) == wanted for name in ("replicas", "readyReplicas", "updatedReplicas")
    )


def is_refused(workload: Tree) -> bool:
    """Whether the API server takes no pod of it."""
    conditions = workload["status"].get("conditions", ())
    return any(each["type"] == "ReplicaFailure" and each["status"] == "True" for each in conditions)


def is_held(pod: Tree) -> bool:
    """Whether something is known to keep it: no node, or a container that waits."""
    status: dict[str, Any] = pod["status"]
    unplaced = any(
        each["type"] == "PodScheduled" and each["status"] == "False" for each in status.get("conditions", ())
    )
    return unplaced or any("waiting" in each.get("state", {}) for each in status.get("containerStatuses", ()))
