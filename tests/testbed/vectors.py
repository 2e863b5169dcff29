"""The platform's answers as data (``tests/platform/vectors``), and the values that a vector means."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.values import Layer, Values
from testbed.installation import Tree, overlaid

VECTORS: Final = Path(__file__).parents[1] / "platform" / "vectors"
Vector = dict[str, Any]


def vectors(name: str) -> list[Vector]:
    """The cases of one file."""
    found: list[Vector] = json.loads((VECTORS / f"{name}.json").read_text())
    return found


def base(name: str) -> Tree:
    """The values of ``base_<name>.yaml``."""
    return copy.deepcopy(_base(name))


@cache
def _base(name: str) -> Tree:
    found: Tree = yaml.load((VECTORS / f"base_{name}.yaml").read_text(), yaml.CSafeLoader)
    return found


def tree(given: Vector) -> Tree:
    """The values file that the input of a vector describes."""
    values = base(given["base"]) if "base" in given else copy.deepcopy(given["values"])
    values = overlaid(values, given.get("overlay", {}))
    for path in given.get("remove", ()):
        change(values, path.split("."), "delete")
    if "path" in given:
        change(values, given["path"], given["change"], given.get("value"))
    return values


def change(values: Any, path: list[Any], what: str, value: Any = None) -> None:
    """Delete or set the value at ``path``, in place."""
    *above, last = path
    for key in above:
        values = values.setdefault(key, {}) if isinstance(values, dict) else values[key]
    if what == "set":
        values[last] = value
    elif isinstance(values, list):
        del values[last]
    else:
        values.pop(last, None)


def values(given: Vector) -> Values:
    """The same over the chart's defaults."""
    return WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=tree(given))])
