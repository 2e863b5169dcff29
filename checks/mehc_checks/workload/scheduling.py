"""What the scheduler says of a pod that it cannot place: how many nodes each predicate refuses.

Sources: kube-scheduler's ``framework/types.go`` (``FitError.Error``) and the ``ErrReason`` constants of its plugins,
from Kubernetes 1.18 to 1.36.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import EndpointReasons as R

_AVAILABLE = re.compile(r"^0/(?P<total>\d+) nodes are available: ?(?P<rest>.*)$", re.DOTALL)
_END = re.compile(r"\.? *(?:preemption: |no new claims to deallocate|still not schedulable|$)")
_PART = re.compile(r",\s+(?=\d+ )")
_TAINT = re.compile(r"taint \{(?P<key>[^:}]+)(?:: (?P<value>[^}]*))?\}")
_STATE_TAINT = re.compile(r"node\.(?:cloudprovider\.)?kubernetes\.io/")

_PREDICATES: Final = (
    (re.compile(r"^Insufficient (?:nvidia|amd|habana)\.(?:com|ai)/"), R.GPU_INSUFFICIENT),
    (re.compile(r"^(?:Insufficient |Too many pods)"), R.RESOURCES_INSUFFICIENT),
    (re.compile(r"didn't match (?:Pod's )?node (?:affinity/selector|selector|affinity)"), R.LABEL_UNMATCHED),
    (re.compile(r"were unschedulable|were not ready|(?:not-ready|unreachable)"), R.NODES_UNUSABLE),
    (re.compile(r"untolerated taint|that the pod didn't tolerate"), R.TAINT_UNTOLERATED),
    (
        re.compile(r"volume|[Pp]ersistent[Vv]olume[Cc]laim|StorageClass|storageclass"),
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
    """The cause that one predicate's words stand for."""
    if (found := _TAINT.search(what)) and _STATE_TAINT.match(found["key"]):
        return R.NODES_UNUSABLE
    return next((reason for words, reason in _PREDICATES if words.search(what)), R.UNSCHEDULABLE)


def _decisive(refused: Mapping[str, int]) -> Reason:
    """The predicate to mend: the last of the scheduler's filters that a node gets to, for that node came closest."""
    found = {predicate(what) for what in refused}
    return next((reason for reason in _CLOSEST_FIRST if reason in found), R.UNSCHEDULABLE)


_CLOSEST_FIRST: Final = (
    R.VOLUME_UNBOUND,
    R.GPU_INSUFFICIENT,
    R.RESOURCES_INSUFFICIENT,
    R.UNSCHEDULABLE,
    R.LABEL_UNMATCHED,
    R.TAINT_UNTOLERATED,
    R.NODES_UNUSABLE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected:
    """The nodes that carry the labels of a nodeSelector, and how many of them are ready and not cordoned.

    ``taints`` are of those, as ``key=value:effect``: newer schedulers say that taints refuse, and not which ones.
    """

    nodes: int
    usable: int
    taints: tuple[str, ...] = ()


def decide(verdict: Verdict, selected: Selected | None) -> Reason:
    """The cause, with what the words alone leave open decided by the nodes ``selected``.

    The scheduler asks for cordons, then taints, then labels, and names for each node the first that refuses it: so
    words about a taint say nothing of the node's labels, and may be about nodes that nobody means. What comes after
    (resources, volumes) is only said of nodes with the right labels. Where ``selected`` is unknown, taints of the
    control plane and of a node's state count as other nodes' affairs.
    """
    found = {predicate(what) for what in verdict.refused}
    if verdict.reason not in (R.LABEL_UNMATCHED, R.TAINT_UNTOLERATED, R.NODES_UNUSABLE):
        return verdict.reason
    if selected is not None:
        if not selected.nodes:
            return R.LABEL_UNMATCHED
        if not selected.usable:
            return R.NODES_UNUSABLE
        return R.TAINT_UNTOLERATED if R.TAINT_UNTOLERATED in found else verdict.reason
    if R.TAINT_UNTOLERATED in found and R.LABEL_UNMATCHED in found:
        own = any(not taint.startswith("node-role.kubernetes.io/") for taint in verdict.taints)
        return R.TAINT_UNTOLERATED if own else R.LABEL_UNMATCHED
    return verdict.reason


def _taint(found: re.Match[str]) -> str:
    value = found["value"]
    return f"{found['key']}={value}" if value else found["key"]


def _without_nodes(text: str) -> Verdict:
    if text.startswith("no nodes available"):
        return Verdict(total=0, reason=R.NODES_UNUSABLE)
    lowered = text.lower()
    if "persistentvolumeclaim" in lowered or "unbound immediate" in lowered:
        return Verdict(reason=R.VOLUME_UNBOUND)
    return Verdict()
