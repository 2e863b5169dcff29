"""The real kube-scheduler's verdict on generated nodes and pods, beside ours."""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Self

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mehc_checks.clients.kubernetes.scheduling.filters import refusals, verdict
from mehc_checks.clients.kubernetes.scheduling.model import EMPTY, Interner, Node, read_node, read_pod
from mehc_checks.installation.nodes import Pods
from testbed.controlplane import ApiError, ControlPlane
from testbed.process import ComponentError

Manifest = dict[str, Any]

PODS: Final = 10
"""Of one round."""
RUNTIME_CLASS: Final = "weighty"
OVERHEAD: Final = {"cpu": "100m", "memory": "64Mi"}
_SPEED: Final = ("node-lifecycle", "speed", "k8s.amazonaws.com/accelerator")
_VALUES: Final = ("normal", "10", "9", "nvidia-ampere-a10")
_KEYS: Final = ("nvidia.com/gpu", "dedicated", "node.kubernetes.io/unschedulable")
_EFFECTS: Final = ("NoSchedule", "NoExecute", "PreferNoSchedule")
_CPU: Final = ("0", "1m", "100m", "0.5", "1", "1500m", "2", "4", "16")
_MEMORY: Final = ("0", "1", "64Mi", "100M", "512Mi", "1G", "1Gi", "1.5Gi", "1e9", "1E9", "2Gi", "24Gi")
_GPUS: Final = ("0", "1", "2", "4", "8")
_HUGE: Final = ("2Mi", "64Mi")


def labels() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(_SPEED), st.sampled_from(_VALUES), max_size=3)


def taints() -> st.SearchStrategy[list[dict[str, str]]]:
    taint = st.fixed_dictionaries(
        {
            "key": st.sampled_from(_KEYS[:2]),
            "value": st.sampled_from(("", "present")),
            "effect": st.sampled_from(_EFFECTS),
        }
    )
    return st.lists(taint, max_size=2, unique_by=lambda t: (t["key"], t["effect"]))


@st.composite
def nodes(draw: st.DrawFn) -> Manifest:
    """A node, without its name."""
    allocatable = {
        "cpu": draw(st.sampled_from(_CPU[5:])),
        "memory": draw(st.sampled_from(_MEMORY[8:])),
        "ephemeral-storage": draw(st.sampled_from(_MEMORY[6:])),
        "pods": draw(st.sampled_from(("1", "2", "110", "110"))),
    }
    if draw(st.booleans()):
        allocatable["nvidia.com/gpu"] = draw(st.sampled_from(_GPUS))
    if draw(st.integers(0, 3)) == 0:
        allocatable["nvidia.com/mig-3g.40gb"] = draw(st.sampled_from(_GPUS))
    if draw(st.integers(0, 3)) == 0:
        allocatable["hugepages-2Mi"] = draw(st.sampled_from(_HUGE))
    return {
        "metadata": {"labels": draw(labels())},
        "spec": {
            "taints": draw(taints()) if draw(st.booleans()) else [],
            "unschedulable": draw(st.integers(0, 11)) == 0,
        },
        "status": {"capacity": allocatable, "allocatable": allocatable},
    }


@st.composite
def expressions(draw: st.DrawFn) -> Manifest:
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")))
    expression: Manifest = {"key": draw(st.sampled_from(_SPEED)), "operator": operator}
    if operator in ("In", "NotIn"):
        expression["values"] = draw(st.lists(st.sampled_from(_VALUES), min_size=1, max_size=2, unique=True))
    elif operator in ("Gt", "Lt"):
        expression["values"] = [draw(st.sampled_from(("9", "10", "-1")))]
    return expression


@st.composite
def tolerations(draw: st.DrawFn) -> Manifest:
    toleration: Manifest = {"operator": draw(st.sampled_from(("Exists", "Equal")))}
    if toleration["operator"] == "Equal" or draw(st.integers(0, 5)):
        toleration["key"] = draw(st.sampled_from(_KEYS))
    if toleration["operator"] == "Equal":
        toleration["value"] = draw(st.sampled_from(("", "present")))
    if effect := draw(st.sampled_from(("", "NoSchedule", "NoExecute"))):
        toleration["effect"] = effect
    return toleration


@st.composite
def containers(draw: st.DrawFn, name: str) -> Manifest:
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    for resource, choices in (("cpu", _CPU), ("memory", _MEMORY), ("ephemeral-storage", _MEMORY)):
        match draw(st.integers(0, 3)):
            case 0:
                requests[resource] = draw(st.sampled_from(choices[:-1]))
            case 1:  # the API server makes it the request, too
                limits[resource] = draw(st.sampled_from(choices[:-1]))
    for resource in ("nvidia.com/gpu", "nvidia.com/mig-3g.40gb"):
        if draw(st.integers(0, 3)) == 0:
            limits[resource] = draw(st.sampled_from(_GPUS))
    if "cpu" in requests and draw(st.integers(0, 7)) == 0:
        limits["hugepages-2Mi"] = draw(st.sampled_from(_HUGE))
    return {"name": name, "image": "x", "resources": {"requests": requests, "limits": limits}}


@st.composite
def pods(draw: st.DrawFn) -> Manifest:
    """A pod, without its name."""
    spec: Manifest = {
        "nodeSelector": draw(labels()) if draw(st.integers(0, 2)) == 0 else {},
        "tolerations": draw(st.lists(tolerations(), max_size=2)),
        "containers": [draw(containers(f"c{index}")) for index in range(draw(st.integers(1, 2)))],
    }
    if draw(st.booleans()):
        spec["initContainers"] = []
        for index in range(draw(st.integers(1, 3))):
            container = draw(containers(f"i{index}"))
            if draw(st.booleans()):
                container["restartPolicy"] = "Always"
            spec["initContainers"].append(container)
    if draw(st.integers(0, 2)) == 0:
        terms = [
            {"matchExpressions": draw(st.lists(expressions(), max_size=2))}
            for _ in range(draw(st.integers(1, 2)))
        ]
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    if draw(st.integers(0, 4)) == 0:
        spec["runtimeClassName"] = RUNTIME_CLASS
    if draw(st.integers(0, 5)) == 0:  # at least what the containers ask for, or the pod is refused
        spec["resources"] = {"requests": {"cpu": "20", "memory": "40Gi"}}
        if draw(st.booleans()):
            del spec["resources"]["requests"]["memory"]
    return spec


@dataclass(frozen=True, slots=True)
class Round:
    """Nodes, and pods that come one after the other and stay where they fit."""

    nodes: list[Manifest]
    pods: list[Manifest]


def rounds(size: int = PODS) -> st.SearchStrategy[Round]:
    return st.builds(
        Round, st.lists(nodes(), min_size=1, max_size=5), st.lists(pods(), min_size=size, max_size=size)
    )


class Refused(Exception):  # noqa: N818 - an answer
    """The API server does not accept the generated pod: there is nothing to compare."""


class SchedulerOracle:
    """Etcd, API server and scheduler alone: no controller touches the nodes' taints."""

    def __init__(self) -> None:
        self._plane = ControlPlane()
        self._serial = count()
        self._threads = ThreadPoolExecutor(max_workers=4)
        self._pods = "/api/v1/namespaces/default/pods"
        self.compared: Counter[str] = Counter()

    def __enter__(self) -> Self:
        plane = self._plane
        try:
            for part in (plane.etcd, plane.apiserver, plane.scheduler):
                part.start()
            with contextlib.suppress(ApiError):
                plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
            plane.api("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
            plane.api(
                "POST",
                "/apis/node.k8s.io/v1/runtimeclasses",
                {
                    "metadata": {"name": RUNTIME_CLASS},
                    "handler": "weighty",
                    "overhead": {"podFixed": OVERHEAD},
                },
            )
        except BaseException:
            plane.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        self._plane.close()

    def compare(self, case: Round) -> None:
        """Raises AssertionError with the pod and both verdicts where they differ."""
        with self._nodes(case.nodes) as present:
            usage = Pods()
            for pod in case.pods:
                try:
                    self._compare(pod, present, usage)
                except Refused:
                    self.compared["refused"] += 1

    def compare_many(self, count: int, at: int) -> None:
        """Compare ``count`` rounds, the same ones for the same ``at``. Raises AssertionError."""

        @seed(at)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # a disagreement names pod and nodes; to shrink it would take minutes
            suppress_health_check=list(HealthCheck),
        )
        @given(rounds())
        def agree(case: Round) -> None:
            self.compare(case)

        agree()

    def _compare(self, spec: Manifest, present: Sequence[Node], usage: Pods) -> None:
        # A disagreement may be the scheduler's view lagging behind the nodes; a real one stays.
        for pause in (0.1, 0.4, 1.0, 0.0):
            created, placed, reasons, total = self._ask(spec)
            pod = read_pod({"spec": created["spec"] | {"nodeName": ""}})
            loaded = [(node, usage.usage(node.name)) for node in present]
            ours = verdict(pod, loaded)
            if placed:
                chosen = {node.name: (node, load) for node, load in loaded}.get(placed, (None, EMPTY))
                agreed = not ours and chosen[0] is not None and not refusals(pod, chosen[0], chosen[1])
            else:
                agreed = bool(ours) and ours == reasons and total == len(present)
            if agreed:
                self.compared["placed" if placed else "refused by all"] += 1
                self.compared.update(reasons.keys())
                if placed:
                    usage.put({**created, "spec": created["spec"] | {"nodeName": placed}})
                else:
                    self._delete(created)
                return
            self._delete(created)
            time.sleep(pause)
        raise AssertionError(
            f"scheduler: {placed or dict(reasons)} of {total}, ours: {dict(ours) or 'fits'}\n"
            f"pod: {spec}\nnodes: {present}\nusage: {[load for _, load in loaded]}"
        )

    def _ask(self, spec: Manifest) -> tuple[Manifest, str, Counter[str], int]:
        """The pod as created, the node it was bound to or "", and otherwise the reasons and the nodes counted."""
        name = f"p{next(self._serial)}"
        try:
            created: Manifest = self._plane.api(
                "POST", self._pods, {"metadata": {"name": name}, "spec": spec}
            )
        except ApiError as error:
            if error.code not in (400, 403, 422):
                raise
            raise Refused(str(error)) from None
        deadline = time.monotonic() + 20
        while True:
            pod = self._plane.api("GET", f"{self._pods}/{name}")
            if node := pod["spec"].get("nodeName"):
                return created, node, Counter(), 0
            for condition in pod["status"].get("conditions", ()):
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    return created, "", *parse(condition["message"])
            if time.monotonic() > deadline:
                raise ComponentError(f"the scheduler says nothing of pod {name}")
            time.sleep(0.004)

    @contextlib.contextmanager
    def _nodes(self, manifests: Sequence[Manifest]) -> Iterator[list[Node]]:
        interner, present = Interner(), []
        try:
            for manifest in manifests:
                name = f"n{next(self._serial)}"
                metadata = {"name": name, "labels": manifest["metadata"]["labels"]}
                self._plane.api("POST", "/api/v1/nodes", {**manifest, "metadata": metadata})
                # Admission adds the taint of a node that is not ready yet; nobody is here to remove it.
                taints = {"spec": {"taints": manifest["spec"]["taints"]}}
                body = self._plane.api(
                    "PATCH", f"/api/v1/nodes/{name}", taints, content_type="application/merge-patch+json"
                )
                present.append(read_node(body, interner))
            yield present
        finally:
            pods = self._plane.api("GET", self._pods)["items"]
            list(self._threads.map(self._delete, pods))
            paths = [f"/api/v1/nodes/{node.name}" for node in present]
            list(self._threads.map(lambda path: self._plane.api("DELETE", path), paths))

    def _delete(self, pod: Mapping[str, Any]) -> None:
        path = f"{self._pods}/{pod['metadata']['name']}?gracePeriodSeconds=0"
        with contextlib.suppress(ApiError):
            self._plane.api("DELETE", path)


def parse(message: str) -> tuple[Counter[str], int]:
    """Reasons with their counts, and the number of nodes, of the scheduler's message."""
    if message.startswith("no nodes available"):
        return Counter(), 0
    match = re.match(r"0/(\d+) nodes are available: (.*?)\. ?(?:no new claims|preemption|$)", message)
    if match is None:
        raise ValueError(f"the scheduler says something new: {message}")
    reasons: Counter[str] = Counter()
    for part in match[2].split(", "):
        number, _, reason = part.partition(" ")
        reasons[reason] += int(number)
    return reasons, int(match[1])
