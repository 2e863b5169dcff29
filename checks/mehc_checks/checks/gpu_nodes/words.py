"""How nodes, taints and resources are put into messages."""

from collections.abc import Iterable

from mehc_checks.checks.gpu_nodes.coverage import Coverage
from mehc_checks.clients.kubernetes.scheduling.filters import INSUFFICIENT, shortages
from mehc_checks.clients.kubernetes.scheduling.quantity import show
from mehc_checks.core.text import counted
from mehc_checks.installation.nodes import Pool
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL, product_of

_SHOWN = 5


def nodes(count: int, accelerator: str = "") -> str:
    """ "1 node", "2 nvidia-ampere-a10 nodes"."""
    return counted(count, f"{accelerator} node" if accelerator else "node")


def verb(count: int, singular: str, plural: str) -> str:
    """ "1 is", "2 are"."""
    return f"{count} {singular if count == 1 else plural}"


def names_of(pools: Iterable[Pool]) -> str:
    return some(sorted(node.name for pool in pools for node in pool.members))


def one_of(pools: Iterable[Pool]) -> str:
    """The first node by name, for commands."""
    return min((node.name for pool in pools for node in pool.members), default="NODE")


def with_products(pools: Iterable[Pool]) -> str:
    """The nodes, each with the product name of its GPUs: "gpu-1 (NVIDIA-A10G)"."""
    named = (
        f"{node.name} ({product})" if (product := product_of(node.label)) else node.name
        for pool in pools
        for node in pool.members
    )
    return some(sorted(named))


def some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def lacking(coverage: Coverage) -> tuple[str, str]:
    """Which labels of the selector the nodes of the accelerator lack, and the first of these labels."""
    total, parts, labels = sum(map(len, coverage.labelled)), [], []
    for key, value in coverage.demand.pod.node_selector.items():
        missing = sum(len(pool) for pool in coverage.labelled if pool.node.label(key) != value)
        if key != ACCELERATOR_LABEL and missing:
            parts.append(f"{verb(missing, 'lacks', 'lack')} {key}={value}")
            labels.append(f"{key}={value}")
    which = nodes(total, coverage.demand.accelerator or "schedulable")
    return f"of {which}, {' and '.join(parts)}", labels[0] if labels else ""


def too_large(coverage: Coverage) -> str:
    """Which resources do not suffice, against the most that any node has of each."""
    requests = coverage.demand.pod.requests
    short = dict.fromkeys(
        why.removeprefix(INSUFFICIENT)
        for pool in coverage.equipped
        for why in shortages(requests, pool.node.allocatable)
        if why.startswith(INSUFFICIENT)
    )
    parts = []
    for name in short:
        most = max(pool.node.allocatable.get(name, 0) for pool in coverage.equipped)
        parts.append(f"{name}: {show(name, requests[name])} requested, {show(name, most)} at most")
    return "; ".join(parts) or "no pod may run there"
