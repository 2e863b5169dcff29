"""The objects of a check in a Job of its own: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mehc_operator.cli.incluster.operators import CONTAINER, Operator
from mehc_operator.permissions import Rule

Manifest = dict[str, Any]

MANAGED: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "mehc-check"
CHECK: Final = "health.modelengine.io/check"
"""A label of the pod: the Job's name."""
RUN_BY: Final = "health.modelengine.io/run-by"
"""An annotation: the process whose check this is."""
UNTIL: Final = "health.modelengine.io/until"
"""An annotation: the second of the epoch after which it is a leftover."""
KEPT: Final = 60
"""Seconds that an ended Job stays if the command that made it was killed; what it owns goes with it."""
FILES: Final = "/etc/mehc/values/files.json"
MOST: Final = 1024**2 - 4096
"""Bytes of values files that a Secret can hold."""
_RBAC: Final = "rbac.authorization.k8s.io"
_READING: Final = frozenset({"get", "list"})
_RESOURCES: Final = {
    "requests": {"cpu": "100m", "memory": "192Mi"},
    "limits": {"cpu": "1", "memory": "512Mi"},
}
_POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_OF_OPERATOR: Final = (
    "imagePullSecrets",
    "priorityClassName",
    "nodeSelector",
    "tolerations",
    "affinity",
    "securityContext",
    "volumes",
)
"""What a Job's pod has as the operator's pods have it."""
_CHARTS: Final = ("app.kubernetes.io/", "helm.sh/")
_OF_CONTAINER: Final = ("env", "envFrom", "imagePullPolicy", "resources", "securityContext", "volumeMounts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A check in a Job: what runs, where, as whom. Every object is named ``name``.

    ``operator`` is whose pods' settings are taken over. ``account`` is "" for a ServiceAccount of its own.
    """

    name: str
    namespace: str
    image: str
    words: Sequence[str]
    seconds: int
    run_by: str
    until: int
    account: str = ""
    operator: Operator | None = None
    pull_secrets: Sequence[str] = ()
    files: bytes = b""

    @property
    def metadata(self) -> Manifest:
        """Of every object."""
        return {
            "name": self.name,
            "labels": {MANAGED: MANAGER, "app.kubernetes.io/name": "mehc-check"},
            "annotations": {RUN_BY: self.run_by, UNTIL: str(self.until)},
        }

    def job(self) -> Manifest:
        """Ends by itself, and is deleted by itself, with what it owns."""
        # Labels that a cloud's identity goes by, and none that a Service or a budget of the operator selects.
        taken = self.operator.labels if self.operator else {}
        labels = {key: value for key, value in taken.items() if not key.startswith(_CHARTS)}
        labels |= {**self.metadata["labels"], CHECK: self.name, "sidecar.istio.io/inject": "false"}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": self.metadata,
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": self.seconds,
                "ttlSecondsAfterFinished": KEPT,
                "template": {"metadata": {"labels": labels}, "spec": self._pod()},
            },
        }

    def _pod(self) -> Manifest:
        template = self.operator.template if self.operator else {}
        own = self.operator.container if self.operator else {}
        pod: Manifest = {key: template[key] for key in _OF_OPERATOR if key in template}
        container: Manifest = {key: own[key] for key in _OF_CONTAINER if key in own}
        if not self.operator:
            pod["securityContext"] = _POD_SECURITY
            container |= {"securityContext": _SECURITY, "resources": _RESOURCES}
        if self.pull_secrets:
            pod["imagePullSecrets"] = [{"name": each} for each in self.pull_secrets]
        if self.files:
            folder, _, key = FILES.rpartition("/")
            mount = {"name": "values", "mountPath": folder, "readOnly": True}
            secret = {"secretName": self.name, "items": [{"key": key, "path": key}]}
            container["volumeMounts"] = [*container.get("volumeMounts", ()), mount]
            pod["volumes"] = [*pod.get("volumes", ()), {"name": "values", "secret": secret}]
        container |= {"name": CONTAINER, "image": self.image, "args": list(self.words)}
        return {
            **pod,
            "restartPolicy": "Never",
            "serviceAccountName": self.account or self.name,
            "automountServiceAccountToken": True,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }

    def owned(self, job: Mapping[str, Any]) -> Manifest:
        """The metadata of what is deleted with ``job``."""
        reference = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": self.name,
            "uid": job["metadata"]["uid"],
        }
        return {**self.metadata, "ownerReferences": [reference]}

    def secret(self, metadata: Manifest) -> Manifest:
        """The values files."""
        key = FILES.rpartition("/")[2]
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "immutable": True,
            "stringData": {key: self.files.decode()},
        }

    def service_account(self, metadata: Manifest) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata,
            "automountServiceAccountToken": False,
        }

    def role(
        self, metadata: Manifest, rules: Iterable[Rule], *, kind: str = "Role"
    ) -> tuple[Manifest, Manifest]:
        """A Role, or a ClusterRole, and its binding."""
        role = {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}
        binding = {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": self.name},
            "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}],
        }
        return role, binding


def reading(rules: Iterable[Rule]) -> list[Rule]:
    """``rules`` of an operator without what a single check has no use for: to write, and to watch."""
    less = ({**rule, "verbs": [verb for verb in rule["verbs"] if verb in _READING]} for rule in rules)
    return [rule for rule in less if rule["verbs"]]
