"""What the cluster's nodes tell about pods that are not ready: which are lost, and which a nodeSelector chooses."""

from collections.abc import Callable, Mapping

from mehc_checks.clients.kubernetes.scheduling.model import Node
from mehc_checks.clients.kubernetes.scheduling.readiness import Unready
from mehc_checks.clients.kubernetes.scheduling.states import held
from mehc_checks.installation.nodes import Nodes
from mehc_checks.workload.scheduling import Selected


def lost(nodes: Nodes | None) -> Mapping[str, Unready]:
    """What keeps nodes from being Ready, by their names; none where nodes could not be read."""
    pools = nodes.pools(frozenset()) if nodes else ()
    return {node.name: node.unready for pool in pools for node in pool.members if node.unready}


def _hold(node: Node) -> str:
    """The key of a controller's taint by which ``node`` takes no pods, or empty."""
    return next((t.key for t in node.taints if t.effect != "PreferNoSchedule" and held(t)), "")


def selected(nodes: Nodes | None) -> Callable[[Mapping[str, str]], Selected | None]:
    """Counts the nodes that carry all the labels asked for; None where nodes could not be read."""

    def count(selector: Mapping[str, str]) -> Selected | None:
        if nodes is None:
            return None
        found = [
            pool
            for pool in nodes.pools(frozenset(selector))
            if all(pool.node.label(key) == value for key, value in selector.items())
        ]
        serving = [pool for pool in found if pool.node.ready and not pool.node.unschedulable]
        holds = [_hold(pool.node) for pool in serving]
        usable = [pool for pool, key in zip(serving, holds, strict=True) if not key]
        largest: dict[str, int] = {}
        for pool in found:
            for resource, most in pool.node.allocatable.items():
                largest[resource] = max(largest.get(resource, 0), most)
        return Selected(
            nodes=sum(map(len, found)),
            usable=sum(map(len, usable)),
            taints=tuple(sorted({str(taint) for pool in usable for taint in pool.node.taints})),
            holds=next(filter(None, holds), ""),
            largest=largest,
        )

    return count
