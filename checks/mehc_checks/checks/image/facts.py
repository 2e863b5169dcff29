"""What VllmImagePullable judges, and its parameters."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.keyring import Keyring, Login
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.installation.imageparameters import ImageParameters
from mehc_checks.modelengine.images import Image
from mehc_checks.modelengine.registries import Registries


class NodePullState(StrEnum):
    """How a pull by a node went."""

    PULLED = "Pulled"
    FAILED = "Failed"
    UNDER_WAY = "UnderWay"
    NOT_RUN = "NotRun"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePull:
    """``detail`` is the kubelet's reason of a failed pull, or why no node pulled; ``node`` is "" until one is known."""

    state: NodePullState
    detail: str = ""
    node: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullSecrets:
    """The pull secrets of the inference ServiceAccount ``account``; "" and nothing else without a cluster.

    ``keyring`` has those that can be used. ``malformed`` is the Secret that fails every pull; ``unknown`` why the
    secrets could not be read.
    """

    account: str = ""
    namespace: str = ""
    account_missing: bool = False
    missing: tuple[str, ...] = ()
    keyring: Keyring = field(default_factory=lambda: Keyring(()))
    malformed: Problem | None = None
    unknown: CannotEvaluate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeView:
    """What the cluster says about pulls. Images are as pods name them."""

    pulled: frozenset[str] = frozenset()
    stuck: Mapping[str, str] = field(default_factory=dict)
    """Image → the waiting reason of a container in an endpoint pod."""
    denied: Set[str] = frozenset()
    """Those of ``stuck`` for which the registry wants other credentials."""
    cache_stuck: Mapping[str, Set[str]] = field(default_factory=dict)
    """Image → the DaemonSets of the image cache that wait for it."""
    unknown: CannotEvaluate | None = None

    def after(self, image: str, pull: NodePull | None) -> "NodeView":
        """With the result of a pull of ``image`` that was asked for: it counts as the rest does, and is newer."""
        if pull is None or pull.state not in (NodePullState.PULLED, NodePullState.FAILED):
            return self
        stuck = {name: reason for name, reason in self.stuck.items() if name != image}
        if pull.state is NodePullState.PULLED:
            return replace(self, pulled=self.pulled | {image}, stuck=stuck)
        return replace(self, pulled=self.pulled - {image}, stuck={**stuck, image: pull.detail})


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """One repository and what its registry shows of it."""

    image: Image
    inspection: Inspection
    offered: tuple[Login, ...] = ()
    """The pull secrets' logins that the kubelet tries."""
    node_identity: bool = False
    """Nodes of this cloud may pull by an identity of their own that this process cannot have."""
    denied: str = ""
    """This process's own login, where the registry denies it: "a token of the operator's Azure identity"."""

    @property
    def host(self) -> str:
        """The registry, as the reference names it."""
        return self.inspection.reference.partition("/")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """Everything that the check judges; vLLM's image is the first of ``probed``."""

    probed: tuple[Probed, ...]
    registries: Registries
    secrets: PullSecrets
    nodes: NodeView
    architectures: tuple[str, ...]
    parameters: ImageParameters
    framework_map_missing: bool
    now: datetime
    existence: Problem | None = None
    """What keeps the gateway from finding vLLM's image."""
    prefetched: tuple[str, ...] = ()
    """The images that the cacher has nodes prefetch whatever the values say."""
    node_pull: NodePull | None = None
    """How the pull of vLLM's image went that a node was made to do; None where none was asked for."""
