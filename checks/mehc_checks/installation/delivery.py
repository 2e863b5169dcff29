"""How the chart gets into the cluster, so that a remedy names the command that works there.

Reasons name the one of the normal case, ``helm upgrade``. Where Argo CD, Flux or plain manifests make the objects,
there is no release to upgrade, or the upgrade is reverted. ``Delivery.fit`` puts the right one in its place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_COMMAND: Final = r"helm upgrade(?! --install)(?: \S+ -n \S+)?"
_DO: Final = re.compile(rf"\b([Rr])un {_COMMAND}")
_NAMED: Final = re.compile(rf"\b{_COMMAND}")
_FLUX: Final = {
    "helm.toolkit.fluxcd.io": "flux reconcile helmrelease {name} -n {namespace} --force",
    "kustomize.toolkit.fluxcd.io": "flux reconcile kustomization {name} -n {namespace}",
}
"""What Flux does with what it labels, by the prefix of the labels."""
_ARGO: Final = "argocd.argoproj.io/tracking-id"
_ARGO_LABEL: Final = "app.kubernetes.io/instance"
_ARGO_MANAGER: Final = "argocd"
_HELM: Final = "meta.helm.sh/release-name"


@dataclass(frozen=True, slots=True)
class Delivery:
    """``do`` is the imperative that applies the chart again, in lower case; ``name`` is what that is called."""

    do: str
    name: str

    def fit(self, text: str) -> str:
        """``text`` with this in the place of ``helm upgrade``."""
        text = _DO.sub(lambda run: self.do[0].upper() + self.do[1:] if run[1] == "R" else self.do, text)
        return _NAMED.sub(lambda _: self.name, text)


HELM: Final = Delivery("run helm upgrade", "helm upgrade")
MANIFESTS: Final = Delivery("apply the manifests again", "kubectl apply")


def delivery_of(gateway: Mapping[str, Any] | None, *, release: bool) -> Delivery:
    """By the marks on the gateway's Deployment; ``release`` is whether a Helm release was found."""
    metadata = (gateway or {}).get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for prefix, command in _FLUX.items():
        if name := labels.get(f"{prefix}/name"):
            command = command.format(name=name, namespace=labels.get(f"{prefix}/namespace", "flux-system"))
            return Delivery(f"run {command}", "Flux reconciliation")
    if application := _argo(metadata, labels, annotations):
        return Delivery(f"run argocd app sync {application}", "Argo CD sync")
    if release or not gateway or _HELM in annotations:
        return HELM
    return MANIFESTS


def _argo(metadata: Mapping[str, Any], labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    """The Argo CD application, "" for none. One of another namespace is "namespace_name" in what tracks it."""
    if tracked := annotations.get(_ARGO, "").partition(":")[0]:
        return tracked.replace("_", "/", 1)
    managers = (str(entry.get("manager", "")) for entry in metadata.get("managedFields") or ())
    if any(manager.startswith(_ARGO_MANAGER) for manager in managers):
        return labels.get(_ARGO_LABEL, "").replace("_", "/", 1)
    return ""
