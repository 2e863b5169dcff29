"""Why a pod ended, or is being ended: preempted, evicted, or not admitted by the kubelet of its node.

Sources: kubelet's ``lifecycle/predicate.go``, ``nodeshutdown``, ``cm/topologymanager`` and ``cm/devicemanager``; the
condition DisruptionTarget (Kubernetes 1.20 to 1.36).
"""

import re
from typing import Final

from mehc_checks.core.text import shortened
from mehc_checks.workload.objects import Event, Pod
from mehc_checks.workload.reasons import EVICTION_FIXES, KUBELET_FIXES
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

_PREEMPTING: Final = frozenset({"Preempting", "Preempted"})
_DISRUPTIONS: Final = {
    "PreemptionByScheduler": R.PREEMPTED,
    "DeletionByTaintManager": R.EVICTED,
    "EvictionByEvictionAPI": R.EVICTED,
    "TerminationByKubelet": R.EVICTED,
    "DeletionByPodGC": R.NODE_LOST,
}
_REJECTED = re.compile(r"^Pod was rejected: |^Pod (?=Allocate failed|Node didn't|Resources cannot)")
_REJECTIONS = re.compile(
    r"UnexpectedAdmissionError|OutOf\S+|NodeAffinity|NodeName|NodePorts|TaintToleration|TopologyAffinityError|"
    r"NodeShutdown|AppArmor|SysctlForbidden|PodOS\S+|InvalidNodeInfo|VolumeAttachmentLimitExceeded|"
    r"UnknownReason|UnexpectedPredicateFailureType|ResourceAllocationStateUnknown"
)
"""Reasons of failed pods that a kubelet did not admit. Source: ``lifecycle/predicate.go``."""


def is_rejected(pod: Pod) -> bool:
    """Whether the kubelet of its node did not admit ``pod``."""
    if pod.phase != "Failed" or pod.reason == "Evicted":
        return False
    return bool(_REJECTED.match(pod.message) or _REJECTIONS.fullmatch(pod.reason))


def rejection(pod: Pod, rejected: str = "the pod") -> Trouble:
    """The kubelet's words about one of the pods that it ``rejected``, "12 pods"."""
    told = f"{pod.reason}: {pod.message}"
    fix = next((fix for said, fix in KUBELET_FIXES if re.search(said, told)), "")
    words = {
        "rejected": rejected,
        "admission": shortened(pod.reason, 60) or "no reason given",
        "detail": shortened(_REJECTED.sub("", pod.message), 160).rstrip(".") or "no message",
        **({"fix": fix.format(node=pod.node or "NODE")} if fix else {}),
    }
    return Trouble(reason=R.REJECTED, words=words)


def eviction(pod: Pod, text: str) -> Trouble:
    """What ``text`` says of the eviction of ``pod``, and what it asks for."""
    words = {"detail": shortened(text, 160).rstrip(". ") or "the kubelet gives no reason"}
    for said, fix in EVICTION_FIXES:
        if found := re.search(said, text):
            node = pod.node or "NODE"
            return Trouble(
                reason=R.EVICTED, words={**words, "fix": fix.format(node=node, **found.groupdict())}
            )
    return Trouble(reason=R.EVICTED, words=words)


def read(pod: Pod, events: tuple[Event, ...]) -> Trouble | None:
    """Why ``pod`` ended or is being ended; None where it is not, or where its containers ended by themselves."""
    if not (pod.has_ended or pod.deleting):
        return None
    if is_rejected(pod):
        return rejection(pod)
    disruption = pod.conditions.get("DisruptionTarget")
    if disruption and disruption.status == "True" and disruption.reason in _DISRUPTIONS:
        reason, text = _DISRUPTIONS[disruption.reason], pod.message or disruption.message or disruption.reason
        return eviction(pod, text) if reason is R.EVICTED else Trouble(reason=reason)
    if pod.reason in _PREEMPTING or any(event.reason in _PREEMPTING for event in events):
        return Trouble(reason=R.PREEMPTED)
    if pod.reason in ("Evicted", "Terminated", "Shutdown"):
        return eviction(pod, pod.message)
    if pod.reason == "DeadlineExceeded":
        return Trouble(reason=R.DEADLINE_EXCEEDED)
    return None
