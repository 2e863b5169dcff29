"""Record what a real kubelet and runtime say of each staged state: `make corpus`, or in tests/:

python -m testbed.recording [FOLDER]

It writes tests/endpoints/corpus.yaml. FOLDER has the programs of another containerd than Debian's: containerd,
containerd-shim-runc-v2 and ctr, built from their Go modules. What another version said before stays.
"""

import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from mehc_checks.workload import mounts
from testbed import node as nodes
from testbed.controlplane import ControlPlane
from testbed.installation import Tree
from testbed.node.archives import BUSYBOX_IMAGE, busybox
from testbed.postgres import Postgres
from testbed.realstates import states
from testbed.ward import staged

CORPUS: Final = Path(__file__).parents[1] / "endpoints" / "corpus.yaml"
HEAD: Final = """\
# Recorded from a real kubelet and its runtime by `make corpus`; do not edit. Ports, and what is drawn at random, are
# replaced. What was read elsewhere is in reported.yaml.
"""
SECONDS: Final = 240
"""Until every state has been told of; kubelets wait before they pull or start again."""
PULLING: Final = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
TOLD_ELSEWHERE: Final = frozenset(
    {
        "KilledByProbe",
        "PostStartHookFailed",
        "PullSecretMissing",
        "ReadinessFailing",
        "ForwarderNotReady",
        "InitContainerRunning",
        "NotScheduled",
    }
)
"""Causes that the recorded text alone does not name: an Event or a reason beside it does."""
BY_WORDS: Final = {"gpu": "GpusInsufficient", "slow": "ConnectionTimeout"}
"""By state, what its words say: the nodes decide more, and the kubelet gives up a pull in the end."""
CONTAINERS: Final = ("main", "fetch")
"""Those that states are about."""
_RANDOM: Final = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:5000"),
    (re.compile(r"(launch-endpoint-id-end-[a-z-]+?)-[a-z0-9]{6,10}-[a-z0-9]{5}(?![a-z0-9])"), r"\1-x"),
    (re.compile(r"endpoints-[0-9a-f]{6}(?![0-9a-z])"), "endpoints"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+:\d+->"), "10.0.0.2:40000->"),
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "uid"),
    (re.compile(r"\b(?<!sha256:)[0-9a-f]{64}\b"), "sandbox"),
    (re.compile(r"/tmp/[\w.-]+/"), "/var/lib/"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "2026-11-27T00:00:00Z"),
)


def main(folder: str = "") -> None:
    """With the containerd in ``folder``, or Debian's."""
    if folder:
        nodes._PATH = f"{Path(folder).resolve()}:{nodes._PATH}"
        os.environ["PATH"] = f"{Path(folder).resolve()}:{os.environ['PATH']}"
    flags = {"kubelet-preferred-address-types": "InternalIP"}
    with (
        ControlPlane(apiserver_flags=flags) as plane,
        Postgres() as postgres,
        nodes.Node(plane, gpus=2) as node,
    ):
        node.load(busybox(BUSYBOX_IMAGE))
        info = plane.api("GET", f"/api/v1/nodes/{node.node}")["status"]["nodeInfo"]
        runtime = info["containerRuntimeVersion"].replace("://", " ").removesuffix("+unknown")
        source = f"{runtime}, kubelet {info['kubeletVersion']}"
        causes = {name: state.cause for name, state in states(defaultdict(str)).items() if state.cause}
        found: dict[str, dict[str, Tree]] = {}
        with staged(node, postgres) as ward:
            deadline = time.monotonic() + SECONDS
            while time.monotonic() < deadline:
                for kind, name, entry in told(plane, ward.namespace, causes):
                    found.setdefault(kind, {}).setdefault(name, {"source": f"{source}: {name}", **entry})
                time.sleep(2)
    write(found, runtime)


def told(plane: ControlPlane, namespace: str, causes: Mapping[str, str]) -> Iterator[tuple[str, str, Tree]]:
    """Kind, state and text of what is said at the moment."""
    root = f"/api/v1/namespaces/{namespace}"
    events = plane.api("GET", f"{root}/events")["items"]
    for pod in plane.api("GET", f"{root}/pods")["items"]:
        name = pod["metadata"].get("labels", {}).get("endpoint_name", "")
        if (cause := causes.get(name)) and cause not in TOLD_ELSEWHERE:
            for kind, entry in _of_pod(pod, events):
                yield kind, name, {**entry, "cause": BY_WORDS.get(name, cause)}
    for item in plane.api("GET", f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"]:
        name = item["metadata"].get("labels", {}).get("endpoint_name", "")
        for condition in item["status"].get("conditions", ()):
            if name in causes and condition["type"] == "ReplicaFailure":
                yield "create", name, {"text": stable(condition["message"]), "cause": causes[name]}


def _of_pod(pod: Tree, events: list[Any]) -> Iterator[tuple[str, Tree]]:
    status, name = pod["status"], pod["metadata"]["name"]
    if status.get("phase") == "Failed" and status.get("reason"):
        yield "ended", {"reason": status["reason"], "text": stable(status.get("message", ""))}
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield "schedule", {"text": stable(condition["message"])}
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        if container["name"] not in CONTAINERS:
            continue
        waiting = container["state"].get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in PULLING and message:
            yield "pull", {"text": stable(message), "image": stable(container["image"])}
        elif reason not in ("", "ContainerCreating", "PodInitializing"):
            yield "state", {"state": _state(container)}
    for event in events:
        if event["involvedObject"].get("name") != name:
            continue
        text = stable(event["message"])
        if event["reason"] in mounts.EVENTS and not mounts.read_mount(text).vague:
            yield "mount", {"text": text}
        elif event["reason"] in mounts.SANDBOX_EVENTS:
            yield "sandbox", {"text": text}


def _state(container: Tree) -> Tree:
    """A container's status without what changes from one run to the next."""
    kept = {"restartCount": container["restartCount"]}
    for key in ("state", "lastState"):
        for kind, about in (container.get(key) or {}).items():
            words = {word: about[word] for word in ("reason", "message", "exitCode") if word in about}
            kept[key] = {kind: {k: stable(v) if isinstance(v, str) else v for k, v in words.items()}}
    return kept


def stable(text: str) -> str:
    """``text`` without what is drawn at random, on one line."""
    for pattern, instead in _RANDOM:
        text = pattern.sub(instead, text)
    return text.strip()


def write(found: Mapping[str, Mapping[str, Tree]], runtime: str) -> None:
    """Replace what this version of the runtime, "containerd 1.6.20", said before."""
    version = ".".join(runtime.split(".")[:2])
    old = yaml.safe_load(CORPUS.read_text()) if CORPUS.exists() else {}
    document = {
        kind: [
            *(each for each in (old or {}).get(kind, ()) if not each["source"].startswith(f"{version}.")),
            *(found.get(kind, {})[name] for name in sorted(found.get(kind, {}))),
        ]
        for kind in sorted({*(old or {}), *found})
    }
    for entries in document.values():
        entries.sort(key=lambda entry: entry["source"])
    CORPUS.write_text(HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000))


if __name__ == "__main__":
    main(*sys.argv[1:2])
