"""Why a node cannot give a pod its volumes or its network.

Sources: kubelet's ``volumemanager`` and ``operationexecutor`` (Events FailedMount, FailedAttachVolume), and
``kuberuntime_sandbox.go`` (FailedCreatePodSandBox), Kubernetes 1.20 to 1.36 with containerd and CRI-O.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from mehc_checks.core.text import shortened
from mehc_checks.workload import pulls, runtime
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

EVENTS: Final = frozenset({"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
SANDBOX_EVENTS: Final = frozenset({"FailedCreatePodSandBox", "NetworkNotReady"})

_VOLUME = re.compile(r'for (?P<volume>volume "(?P<name>[^"]+)")')
_MISSING = re.compile(
    r'(?P<kind>config ?map|secret|persistentvolumeclaim|serviceaccount)s? "(?P<name>[^"]+)" not found',
    re.IGNORECASE,
)
_KEY = re.compile(r"references non-existent (?P<kind>config|secret) key: (?P<key>\S+)")
_UNREGISTERED = re.compile(r'object "[^"]+"/"(?P<name>[^"]+)" not registered')
_TIMED_OUT = re.compile(
    r"[Uu]nable to attach or mount volumes: unmounted volumes=\[(?P<volumes>[^\]]*)\]|"
    r"failed to sync (?:config ?map|secret) cache"
)
_HANDLER = re.compile(r'no runtime for "(?P<handler>[^"]+)"|RuntimeHandler "(?P<crio>[^"]+)" not')
_UNBOUND = re.compile(r"error processing PVC (?P<what>.+)")
_IMAGE = re.compile(
    r'failed to get sandbox image "(?P<image>[^"]+)": (?P<why>.+)|'
    r"[Ii]nitializing source docker://(?P<named>\S+): (?P<said>.+)"
)
"""Of the sandbox itself, which the runtime's configuration names."""
_KINDS: Final = {
    "configmap": "ConfigMap",
    "config": "ConfigMap",
    "secret": "Secret",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "serviceaccount": "ServiceAccount",
}


def read_mount(message: str, sources: Mapping[str, str] = MappingProxyType({})) -> Trouble:
    """Name what an Event of ``EVENTS`` says. ``sources`` has by volume what it is made of: "ConfigMap a"."""
    text = " ".join(message.split())
    found = _VOLUME.search(text)
    volume, name = (found["volume"], found["name"]) if found else ("a volume", "")
    if match := _MISSING.search(text):
        missing = f"{_KINDS[match['kind'].replace(' ', '').lower()]} {match['name']}"
        if missing.startswith("PersistentVolumeClaim"):
            return Trouble(reason=R.VOLUME_UNBOUND, words={"detail": shortened(text, 140)})
        return _missing(volume, missing)
    if match := _UNBOUND.search(text):
        return Trouble(reason=R.VOLUME_UNBOUND, words={"detail": shortened(match["what"], 140)})
    if match := _KEY.search(text):
        source = sources.get(name, f"its {_KINDS[match['kind']]}")
        return _missing(volume, f"key {match['key']} of {source}")
    if match := _UNREGISTERED.search(text):
        return _missing(volume, match["name"], vague=True)
    if match := _TIMED_OUT.search(text):
        volumes = f"volumes {match['volumes']}" if match["volumes"] else volume
        words = {"volume": volumes, "detail": _cause(text)}
        return Trouble(reason=R.MOUNT_FAILED, words=words, vague=True)
    return Trouble(reason=R.MOUNT_FAILED, words={"volume": volume, "detail": shortened(_cause(text), 160)})


def _missing(volume: str, missing: str, *, vague: bool = False) -> Trouble:
    return Trouble(reason=R.VOLUME_SOURCE_MISSING, words={"volume": volume, "object": missing}, vague=vague)


def read_sandbox(message: str) -> Trouble:
    """Name what an Event of ``SANDBOX_EVENTS`` says."""
    text = " ".join(message.split())
    if match := _HANDLER.search(text):
        handler = match["handler"] or match["crio"]
        return Trouble(reason=R.RUNTIME_HANDLER_MISSING, words={"handler": handler})
    if found := runtime.fault(text):
        return found
    if match := _IMAGE.search(text):
        pulled = pulls.read(match["why"] or match["said"], match["image"] or match["named"])
        if pulled.reason is not R.IMAGE_PULL_FAILED:
            return replace(pulled, explained_by=())
    return Trouble(reason=R.SANDBOX_FAILED, words={"detail": shortened(_cause(text), 160)})


def _cause(text: str) -> str:
    """The last part of a chain of Go errors that still is a sentence."""
    parts = [part for part in re.split(r": (?=\S)", text) if part]
    while len(parts) > 1 and len(" ".join(parts)) > 120:
        parts.pop(0)
    return ": ".join(parts)
