"""What the nodes of the cluster show of pulls, without being asked."""

import asyncio
import re
from collections import defaultdict
from typing import Final

from mehc_checks.checks.image.facts import NodeView
from mehc_checks.checks.image.pullprobe import PULL_TROUBLES
from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL

ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
DEFAULT_ARCHITECTURE: Final = "amd64"
IMAGE_CACHE_PREFIX: Final = "launch-image-cache-"

_DENIED = re.compile(
    r"\b40[13]\b|unauthorized|forbidden|denied|insufficient_scope|authorization failed|no basic auth|not authorized",
    re.IGNORECASE,
)
"""How runtimes say that the registry wants other credentials."""


async def node_view(context: Context) -> NodeView:
    """From the pods of the endpoint namespace and the Events of their pulls."""
    if isinstance(context.cluster, NoCluster):
        return NodeView()
    where = context.endpoint_namespace
    try:
        await context.prove_endpoint_namespace()
        pods, events = await asyncio.gather(
            context.reader.each(object_path("pods", where), _waiting_pod),
            context.reader.each(
                object_path("events", where), _pulled, fields="involvedObject.kind=Pod,reason=Pulled"
            ),
        )
    except CannotEvaluate as problem:
        return NodeView(unknown=problem)
    stuck: dict[str, str] = {}
    denied: set[str] = set()
    cache_stuck: dict[str, set[str]] = defaultdict(set)
    for owner, waiting in pods.items:
        for image, reason, message in waiting:
            if owner:
                cache_stuck[image].add(owner)
                continue
            stuck[image] = reason
            if _DENIED.search(message):
                denied.add(image)
    return NodeView(
        pulled=frozenset(events.items),
        stuck=stuck,
        denied=frozenset(denied),
        cache_stuck=cache_stuck,
        unknown=pods.cut or events.cut,
    )


async def gpu_architectures(context: Context) -> tuple[str, ...]:
    """The architectures of the GPU nodes; amd64 where there are none, or where they cannot be read."""
    if isinstance(context.cluster, NoCluster):
        return (DEFAULT_ARCHITECTURE,)
    try:
        nodes = await context.inventory.nodes()
    except CannotEvaluate:
        return (DEFAULT_ARCHITECTURE,)
    pools = nodes.pools(frozenset({ACCELERATOR_LABEL, ARCHITECTURE_LABEL}))
    found = {p.node.label(ARCHITECTURE_LABEL) for p in pools if p.node.label(ACCELERATOR_LABEL)}
    return tuple(sorted(filter(None, found))) or (DEFAULT_ARCHITECTURE,)


def _waiting_pod(pod: Manifest) -> tuple[str, list[tuple[str, str, str]]] | None:
    """The image-cache DaemonSet that owns the pod, or "", and what its containers wait for; None if for nothing."""
    waiting = _waiting(pod)
    return (_image_cache(pod), waiting) if waiting else None


def _waiting(pod: Manifest) -> list[tuple[str, str, str]]:
    """Image, reason and message of each container that waits for its image."""
    status, spec = pod.get("status", {}), pod.get("spec", {})
    named = {
        container["name"]: container.get("image", "")
        for kind in ("initContainers", "containers")
        for container in spec.get(kind) or []
    }
    return [
        (named.get(container["name"], ""), waiting["reason"], str(waiting.get("message", "")))
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in status.get(kind) or []
        if (waiting := container.get("state", {}).get("waiting") or {}).get("reason") in PULL_TROUBLES
    ]


def _image_cache(pod: Manifest) -> str:
    """The image-cache DaemonSet that owns the pod, or ""."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("kind") == "DaemonSet" and str(owner.get("name")).startswith(IMAGE_CACHE_PREFIX):
            return str(owner["name"])
    return ""


def _pulled(event: Manifest) -> str | None:
    """The image of an Event of a pull over the network by another pod than one of the image cache.

    "Already present on machine" proves nothing today, and pods of the image cache have another ServiceAccount: since
    Kubernetes 1.35 (KubeletEnsureSecretPulledImages) an image that they pulled is pulled again for other credentials.
    """
    if str((event.get("involvedObject") or {}).get("name")).startswith(IMAGE_CACHE_PREFIX):
        return None
    words = str(event.get("message", "")).split('"')
    return words[1] if words[0] == "Successfully pulled image " and len(words) > 2 else None
