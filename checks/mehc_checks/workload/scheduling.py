"""What the scheduler says of a pod that it cannot place: how many nodes each predicate refuses.

Sources: kube-scheduler's ``framework/types.go`` (``FitError.Error``), the ``ErrReason`` constants of its plugins, and
``framework/preemption``, from Kubernetes 1.18 to 1.36.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mehc_checks.clients.kubernetes.scheduling.model import Taint
from mehc_checks.clients.kubernetes.scheduling.quantity import show
from mehc_checks.clients.kubernetes.scheduling.states import held
from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import WorkloadReasons as R

_AVAILABLE = re.compile(r"^0/(?P<total>\d+) nodes are available: ?(?P<rest>.*)$", re.DOTALL)
_END = re.compile(r"\.? *(?:preemption: |no new claims to deallocate|still not schedulable|$)")
_PART = re.compile(r",\s+(?=\d+ )")
_TAINT = re.compile(r"taint \{(?P<key>[^:}]+)(?:: (?P<value>[^}]*))?\}")
_UNUSABLE: Final = frozenset(
    f"node.kubernetes.io/{state}" for state in ("unschedulable", "not-ready", "unreachable")
)
"""Taints that say of a node what its status says too."""
_INSUFFICIENT = re.compile(r"^Insufficient (?P<resource>\S+)")
_COUNTED: Final = {"Too many pods": "pods", "node(s) exceed max volume count": "volume attachments"}
"""What the scheduler does not name as a resource."""
_UNHELPFUL = re.compile(r"(?P<nodes>\d+) Preemption is not helpful")
_GPU = re.compile(r"^(?:nvidia|amd|habana)\.(?:com|ai)/")

_PREDICATES: Final = (
    (re.compile(r"^Insufficient (?:nvidia|amd|habana)\.(?:com|ai)/"), R.GPU_INSUFFICIENT),
    (
        re.compile(r"^(?:Insufficient |Too many pods|node\(s\) exceed max volume count)"),
        R.RESOURCES_INSUFFICIENT,
    ),
    (re.compile(r"didn't match (?:Pod's )?node (?:affinity/selector|selector|affinity)"), R.LABEL_UNMATCHED),
    (re.compile(r"were unschedulable|were not ready|(?:not-ready|unreachable)"), R.NODES_UNUSABLE),
    (re.compile(r"untolerated taint|that the pod didn't tolerate"), R.TAINT_UNTOLERATED),
    (re.compile(r"free ports for the requested pod ports"), R.PORTS_IN_USE),
    (
        re.compile(r"volume|enough free storage|[Pp]ersistent[Vv]olume[Cc]laim|StorageClass|storageclass"),
        R.VOLUME_UNBOUND,
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The scheduler's message, taken apart. ``refused`` is nodes by predicate; ``total`` None where it names none."""

    total: int | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    preemption: str = ""
    taints: tuple[str, ...] = ()
    reason: Reason = R.UNSCHEDULABLE

    @property
    def said(self) -> str:
        """The predicates, those that refuse most first; "" where none could be read."""
        ordered = sorted(self.refused.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {shortened(what, 120)}" for what, count in ordered)

    @property
    def insufficient(self) -> tuple[str, ...]:
        """The resources of which there is not enough, as the scheduler names them."""
        named = (_INSUFFICIENT.match(what) for what in sorted(self.refused))
        counted = (resource for words, resource in _COUNTED.items() if words in self.refused)
        return (*(match["resource"] for match in named if match), *counted)


def read(message: str) -> Verdict:
    """Take ``message`` apart. One that is not understood is a verdict without predicates, for another reason."""
    text = " ".join(message.split())
    match = _AVAILABLE.match(text)
    if match is None:
        return _without_nodes(text)
    rest = match["rest"]
    preemption = rest.partition("preemption: ")[2].rstrip(". ")
    body = rest
    if (end := _END.search(rest)) is not None:
        body = rest[: end.start()]
    refused: dict[str, int] = {}
    for part in _PART.split(body.rstrip(". ")):
        number, _, what = part.strip().partition(" ")
        if number.isdecimal() and what:
            refused[what] = refused.get(what, 0) + int(number)
        elif part.strip():  # a predicate of the pod alone, such as an unbound claim
            refused[part.strip()] = refused.get(part.strip(), 0) + int(match["total"])
    return Verdict(
        total=int(match["total"]),
        refused=refused,
        preemption=preemption,
        taints=tuple(dict.fromkeys(_taint(found) for found in _TAINT.finditer(body))),
        reason=_decisive(refused),
    )


def predicate(what: str) -> Reason:
    """The cause that one predicate's words mean."""
    if found := _TAINT.search(what):
        if found["key"] in _UNUSABLE:
            return R.NODES_UNUSABLE
        if held(Taint(found["key"], "", "NoSchedule")):
            return R.NODE_STATE_TAINT
    return next((reason for words, reason in _PREDICATES if words.search(what)), R.UNSCHEDULABLE)


def _decisive(refused: Mapping[str, int]) -> Reason:
    """The predicate to fix: the last of the scheduler's filters that a node gets to, for that node came closest."""
    found = {predicate(what) for what in refused}
    return next((reason for reason in _CLOSEST_FIRST if reason in found), R.UNSCHEDULABLE)


_CLOSEST_FIRST: Final = (
    R.VOLUME_UNBOUND,
    R.GPU_INSUFFICIENT,
    R.RESOURCES_INSUFFICIENT,
    R.PORTS_IN_USE,
    R.UNSCHEDULABLE,
    R.LABEL_UNMATCHED,
    R.TAINT_UNTOLERATED,
    R.NODE_STATE_TAINT,
    R.NODES_UNUSABLE,
)
_OTHERS: Final = (R.LABEL_UNMATCHED, R.NODE_STATE_TAINT, R.NODES_UNUSABLE)
_LEFT_OPEN: Final = (R.LABEL_UNMATCHED, R.TAINT_UNTOLERATED, R.NODE_STATE_TAINT, R.NODES_UNUSABLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """The nodes that carry the labels of a nodeSelector, and how many of them are ready, not cordoned and not held.

    ``taints`` are of those, as ``key=value:effect``: newer schedulers say that taints refuse, and not which ones.
    ``holds`` is the key of a controller's taint on one that is otherwise usable, or "".
    ``largest`` is the most that one of the nodes has of each resource, in the scheduler's units.
    """

    nodes: int
    usable: int
    taints: tuple[str, ...] = ()
    holds: str = ""
    largest: Mapping[str, int] = field(default_factory=dict)


def decide(verdict: Verdict, selected: Selected | None, requests: Mapping[str, int] | None = None) -> Reason:
    """The cause, with what the words alone leave open decided by the nodes ``selected`` and the pod's ``requests``.

    The scheduler asks for cordons, then taints, then labels, and names for each node the first that refuses it: so
    words about a taint say nothing of the node's labels, and may be about nodes that nobody means. What comes after
    (resources, volumes) is only said of nodes with the right labels. Where ``selected`` is unknown, taints of the
    control plane and of a node's state count as other nodes' affairs.
    """
    found = {predicate(what) for what in verdict.refused}
    if verdict.reason in (R.GPU_INSUFFICIENT, R.RESOURCES_INSUFFICIENT):
        return R.NODES_TOO_SMALL if too_small(verdict, selected, requests or {}) else verdict.reason
    if verdict.reason not in _LEFT_OPEN:
        return verdict.reason
    if selected is not None:
        if not selected.nodes:
            return R.LABEL_UNMATCHED
        if not selected.usable:
            return R.NODE_STATE_TAINT if selected.holds else R.NODES_UNUSABLE
        return R.TAINT_UNTOLERATED if R.TAINT_UNTOLERATED in found else verdict.reason
    others = [reason for reason in _OTHERS if reason in found]
    if R.TAINT_UNTOLERATED in found and others:
        return R.TAINT_UNTOLERATED if any(map(_is_own, verdict.taints)) else others[0]
    return verdict.reason


def _is_own(taint: str) -> bool:
    """Whether ``taint`` may be on nodes that are meant for the pod: no state, and not the control plane's."""
    key = taint.partition("=")[0]
    return not key.startswith("node-role.kubernetes.io/") and held(Taint(key, "", "NoSchedule")) is None


def hold(verdict: Verdict, selected: Selected | None) -> dict[str, str]:
    """What NodeStateTaint is told about the controller's taint, by the nodes or else by the scheduler's words."""
    keys = (selected.holds if selected else "", *(taint.partition("=")[0] for taint in verdict.taints))
    for key in keys:
        if state := held(Taint(key, "", "NoSchedule")):
            return {
                "nodes": "the nodes that fit",
                "states": f"they are {state.state}, by taint {key}",
                "demand": f" ({verdict.said})",
                "key": key,
                "owner": state.owner,
                "state": str(state.state),
            }
    return {}


def too_small(verdict: Verdict, selected: Selected | None, requests: Mapping[str, int]) -> tuple[str, ...]:
    """What no node has enough of even when it is empty, as "cpu: 64 requested, 16 at most".

    Nodes that have nothing of a GPU are not small: their device plugin is missing.
    """
    if selected is not None and selected.nodes:
        return tuple(
            f"{resource}: {show(resource, requests[resource])} requested, {show(resource, most)} at most"
            for resource in verdict.insufficient
            if (most := selected.largest.get(resource, 0)) and requests.get(resource, 0) > most
        )
    # To newer schedulers preemption is no help where the request exceeds what the node has at all.
    unhelpful = sum(int(found["nodes"]) for found in _UNHELPFUL.finditer(verdict.preemption))
    names = verdict.insufficient
    if unhelpful != verdict.total or any(map(_GPU.match, names)) or set(names) & set(_COUNTED.values()):
        return ()
    return names


def _taint(found: re.Match[str]) -> str:
    value = found["value"]
    return f"{found['key']}={value}" if value else found["key"]


def _without_nodes(text: str) -> Verdict:
    if text.startswith("no nodes available"):
        return Verdict(total=0, reason=R.NODES_UNUSABLE)
    lowered = text.lower()
    if (
        "persistentvolumeclaim" in lowered
        or 'plugin "volumebinding"' in lowered
        or "unbound immediate" in lowered
    ):
        return Verdict(reason=R.VOLUME_UNBOUND)
    return Verdict()
