"""Why a node cannot give a pod its volumes or its network.

Sources: kubelet's ``volumemanager`` and ``operationexecutor`` (Events FailedMount, FailedAttachVolume), and
``kuberuntime_sandbox.go`` (FailedCreatePodSandBox), Kubernetes 1.20 to 1.36 with containerd and CRI-O.
"""

import re
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import EndpointReasons as R

EVENTS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
SANDBOX_EVENTS: Final = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why, in words that name the volume and what it needs. ``vague`` is a timeout that names no cause."""

    reason: Reason
    message: str
    vague: bool = False


_VOLUME = re.compile(r'for volume "(?P<volume>[^"]+)"')
_MISSING = re.compile(
    r'(?P<kind>config ?map|secret|persistentvolumeclaim) "(?P<name>[^"]+)" not found', re.IGNORECASE
)
_KEY = re.compile(r"references non-existent (?P<kind>config|secret) key: (?P<key>\S+)")
_UNREGISTERED = re.compile(r'object "[^"]+"/"(?P<name>[^"]+)" not registered')
_TIMED_OUT = re.compile(
    r"[Uu]nable to attach or mount volumes: unmounted volumes=\[(?P<volumes>[^\]]*)\]|"
    r"failed to sync (?:config ?map|secret) cache"
)
_HELD = re.compile(r"Multi-Attach error")
_KINDS: Final = {
    "configmap": "ConfigMap",
    "secret": "Secret",
    "persistentvolumeclaim": "PersistentVolumeClaim",
}


def read_mount(message: str) -> Trouble:
    """Name what an Event of ``EVENTS`` says."""
    text = " ".join(message.split())
    volume = found["volume"] if (found := _VOLUME.search(text)) else ""
    where = f"volume {volume}: " if volume else ""
    if match := _MISSING.search(text):
        kind = _KINDS[match["kind"].replace(" ", "").lower()]
        reason = R.VOLUME_UNBOUND if kind == "PersistentVolumeClaim" else R.VOLUME_SOURCE_MISSING
        return Trouble(reason=reason, message=f"{where}{kind} {match['name']} does not exist")
    if match := _KEY.search(text):
        kind = "ConfigMap" if match["kind"] == "config" else "Secret"
        return Trouble(reason=R.VOLUME_SOURCE_MISSING, message=f"{where}its {kind} has no key {match['key']}")
    if match := _UNREGISTERED.search(text):
        return Trouble(
            reason=R.VOLUME_SOURCE_MISSING,
            message=f"{where}the kubelet does not know {match['name']}",
            vague=True,
        )
    if match := _TIMED_OUT.search(text):
        volumes = f" {match['volumes']}" if match["volumes"] else ""
        return Trouble(
            reason=R.MOUNT_FAILED, message=f"volumes{volumes} were not mounted in time", vague=True
        )
    if _HELD.search(text):
        return Trouble(reason=R.MOUNT_FAILED, message=f"{where}another node still holds it")
    return Trouble(reason=R.MOUNT_FAILED, message=shortened(f"{where}{_cause(text)}"))


def read_sandbox(message: str) -> Trouble:
    """Name what an Event of ``SANDBOX_EVENTS`` says."""
    text = " ".join(message.split())
    if re.search(
        r"failed to assign an IP address|no (?:available )?IP addresses|no more IPs|range is full", text
    ):
        said = "the network plugin has no free address"
    elif re.search(r"cni|network (?:plugin|is not ready)|setup network", text, re.IGNORECASE):
        said = f"the network plugin fails: {shortened(_cause(text), 140)}"
    elif "no runtime for" in text or "RuntimeHandler" in text:
        said = "the node has no such runtime class"
    else:
        said = shortened(_cause(text))
    return Trouble(reason=R.SANDBOX_FAILED, message=said)


def _cause(text: str) -> str:
    """The last part of a chain of Go errors that still is a sentence."""
    parts = [part for part in re.split(r": (?=\S)", text) if part]
    while len(parts) > 1 and len(" ".join(parts)) > 120:
        parts.pop(0)
    return ": ".join(parts)
