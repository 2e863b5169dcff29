"""A pull by a node itself: the one witness of the nodes' own identity, proxy and mirrors."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from mehc_checks.checks.image.facts import NodePull, NodePullState
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.deadline import within
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.gpu import gpu_tolerations

PULL_TROUBLES: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
"""Waiting reasons of a container whose image does not come (kubelet, pkg/kubelet/images/types.go)."""

POD_NAME: Final = "mehc-pull-probe"
"""Fixed, so that the API server itself refuses a second probe beside the first."""
_LIFE: Final = timedelta(minutes=2)
"""The kubelet ends a probe that nobody deleted, and the next pass takes it away."""
_POLL_SECONDS: Final = 0.3
_NOT_SCHEDULED_YET: Final = "no scheduler has looked at the pod yet"
_PULLED: Final = frozenset(
    {"CreateContainerError", "CreateContainerConfigError", "RunContainerError", "CrashLoopBackOff"}
)
"""Waiting reasons that a container can have only when its image has been pulled."""


async def pull_on_node(context: Context, image: str, account: str) -> NodePull:
    """Have a GPU node pull ``image`` as the ServiceAccount ``account``, for as long as the check may take.

    The pod is deleted again whatever happens. Raises CannotEvaluate when the endpoint namespace is not proven to
    be this installation's, or when the API refuses.
    """
    await context.prove_endpoint_namespace()
    namespace = context.endpoint_namespace
    pods, path = object_path("pods", namespace), object_path("pods", namespace, POD_NAME)
    creation = asyncio.ensure_future(context.cluster.create(pods, _manifest(context, image, account)))
    try:
        created = await asyncio.shield(creation)
        if isinstance(created, str):
            return await _not_created(context, path, created)
        return await _watched(context, path)
    finally:
        await _surely(_deleted(context, path, creation))


async def _not_created(context: Context, path: str, refusal: str) -> NodePull:
    """Why there is no pod. One that outlived its time is taken away for the next pass."""
    if refusal != "AlreadyExists":
        return NodePull(state=NodePullState.NOT_RUN, detail=f"the cluster refuses the pod: {refusal}")
    other = await context.cluster.get(path)
    metadata = (other or {}).get("metadata", {})
    if metadata and _age(metadata, context.clock()) > _LIFE and "deletionTimestamp" not in metadata:
        await context.cluster.delete(path, uid=metadata["uid"])
        return NodePull(state=NodePullState.NOT_RUN, detail="a probe that was left over has been deleted")
    return NodePull(state=NodePullState.NOT_RUN, detail="another probe is under way")


async def _watched(context: Context, path: str) -> NodePull:
    pull = NodePull(state=NodePullState.NOT_RUN, detail=_NOT_SCHEDULED_YET)
    try:
        async with within(context.network_timeout):
            while pull.state is NodePullState.UNDER_WAY or pull.detail == _NOT_SCHEDULED_YET:
                await asyncio.sleep(_POLL_SECONDS)
                pull = read_pull(await context.cluster.get(path) or {})
    except TimeoutError:
        pass
    return pull


def read_pull(pod: Mapping[str, Any]) -> NodePull:
    """What a probe's pod shows so far."""
    status = pod.get("status") or {}
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    if not node:
        return NodePull(state=NodePullState.NOT_RUN, detail=_unscheduled(status.get("conditions") or ()))
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting in PULL_TROUBLES:
            return NodePull(state=NodePullState.FAILED, detail=waiting, node=node)
        if "running" in state or "terminated" in state or waiting in _PULLED:
            return NodePull(state=NodePullState.PULLED, node=node)
    if status.get("phase") == "Failed":
        reason = str(status.get("reason") or "no reason given")
        return NodePull(state=NodePullState.NOT_RUN, detail=f"the node refuses the pod: {reason}", node=node)
    return NodePull(state=NodePullState.UNDER_WAY, node=node)


def _unscheduled(conditions: Sequence[Mapping[str, Any]]) -> str:
    for condition in conditions:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return (
                f"no GPU node takes the pod: {str(condition.get('message', '')).partition(' preemption:')[0]}"
            )
    return _NOT_SCHEDULED_YET


def _age(metadata: Mapping[str, Any], now: datetime) -> timedelta:
    return now - datetime.fromisoformat(str(metadata["creationTimestamp"]))


async def _deleted(context: Context, path: str, creation: asyncio.Future[Mapping[str, Any] | str]) -> None:
    """Delete what ``creation`` made, which may still be under way when the check is cancelled."""
    try:
        created = await creation
    except CannotEvaluate:
        return
    if not isinstance(created, str):
        await context.cluster.delete(path, uid=created["metadata"]["uid"])


async def _surely(deletion: Coroutine[Any, Any, None]) -> None:
    """Await ``deletion`` to its end, also when the check is being cancelled."""
    task = asyncio.ensure_future(deletion)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _manifest(context: Context, image: str, account: str) -> dict[str, Any]:
    """A pod that an endpoint's pod differs from only in what it runs: nothing, with no rights and no GPU."""
    selector = context.values.get("nodeSelector")
    tolerations = [
        {"key": t.key, "operator": t.operator, "effect": t.effect} for t in gpu_tolerations(context.values)
    ]
    terms = [{"matchExpressions": [{"key": ACCELERATOR_LABEL, "operator": "Exists"}]}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": POD_NAME,
            "labels": {"app.kubernetes.io/managed-by": "mehc", "app.kubernetes.io/component": "pull-probe"},
            "annotations": {"sidecar.istio.io/inject": "false"},
        },
        "spec": {
            "serviceAccountName": account or "default",
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(_LIFE.total_seconds()),
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": dict(selector) if isinstance(selector, Mapping) else {},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
                }
            },
            "tolerations": tolerations,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "pull",
                    "image": image,
                    "imagePullPolicy": "Always",
                    "command": ["true"],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "16Mi"},
                        "limits": {"cpu": "100m", "memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
