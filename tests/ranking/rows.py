"""The table of installations as it is written in ``installations.yaml``."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from demo.stage import A10, hardware
from testbed.installation import Tree

ROWS: Final = Path(__file__).with_name("installations.yaml")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row."""

    name: str
    why: str
    first: str | None
    most: int = 0
    health: str = "Failing"
    remedy: str = ""
    cloud: str = "aws"
    lint: bool = False
    values: Tree = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    database: str | None = "$sound"
    gateway: int = 200
    pods: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    endpoints: list[Tree] = field(default_factory=list)
    install: str = "succeeds"
    upgrades: list[Tree] = field(default_factory=list)
    own: list[Tree] = field(default_factory=list)
    objects: list[Tree] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster: list[Tree] = field(default_factory=list)
    lacks: str = ""
    job: str = ""
    queue: int = 0
    pull_secret: str = ""
    caches: str = ""
    balloons: bool = False
    webhook: bool = False
    rotated: bool = False

    @property
    def namespace(self) -> str:
        return f"r-{self.name}"[:48].rstrip("-")

    @property
    def is_alone(self) -> bool:
        """Whether it changes what other rows share."""
        return bool(self.lacks or any(map(is_shared, self.cluster)))


def is_shared(change: Tree) -> bool:
    """Whether ``change`` is of the cluster, and not of the row's own namespaces."""
    return "$" not in str(change.get("delete", ""))


def rows() -> list[Row]:
    return [Row(**each) for each in yaml.safe_load(ROWS.read_text())]


def _table(accelerator: str, **more: Any) -> Tree:
    table: Tree = copy.deepcopy(hardware(accelerator)["recommendedHardware"])
    for entries in table.values():
        for entry in entries:
            entry.update(more)
    return table


HARDWARE: Final = {
    "$h100": _table("nvidia-hopper-h100"),
    "$wide": _table(A10, nodes_per_worker=2),
}
"""Tables of recommended hardware that rows name."""
