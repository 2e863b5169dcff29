"""The effective values of an installation: layers merged as Helm merges, each value with its origin."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class _Mark(StrEnum):
    ABSENT = "absent"


ABSENT: Final = _Mark.ABSENT
"""In a layer: the key is not there, whatever the layers below say. A null is a value of its own."""


class Part(StrEnum):
    """A part of the values that is either known whole, or known only as far as somebody gave it."""

    CHART = "chart"
    CONFIG = "config"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One source of values in the chart's shape. ``source`` is named in findings: "spec.values"."""

    source: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class _Origin:
    """Who set a value first; of a map also who set what is in it."""

    source: str
    below: dict[str, "_Origin"] = field(default_factory=dict)


class Values:
    """Effective values, read by dotted path in the chart's shape: ``config.values.infra.redis_host``."""

    def __init__(self, tree: Mapping[str, Any], origins: Mapping[str, _Origin]) -> None:
        self._tree = tree
        self._origins = origins

    @classmethod
    def merged(cls, layers: Iterable[Layer]) -> "Values":
        """Merge ``layers`` as Helm does: the first has a chart's defaults, later ones win over it and each other.

        Maps merge, anything else replaces. A null deletes a key that the defaults have and stays where they have
        none. What a null deleted and a later layer gives again is merged with the defaults again. Source:
        ``MergeMaps`` and ``coalesceTablesFullKey`` of Helm.
        """
        tree: dict[str, Any] = {}
        origins: dict[str, _Origin] = {}
        defaults, *given = tuple(layers) or (Layer(source="", values={}),)
        for layer in given:
            _merge(tree, origins, layer.values, layer.source)
        below = {key: _without_nulls(value) for key, value in defaults.values.items()}
        _fill(tree, origins, below, defaults.source)
        _drop_absent(tree, origins)
        return cls(tree, origins)

    @property
    def tree(self) -> Mapping[str, Any]:
        """The merged values themselves; not to be changed."""
        return self._tree

    def get(self, path: str) -> Any:
        """The value at ``path``, or None where it is null, or it or a parent is absent."""
        value: Any = self._tree
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return value

    def has(self, path: str) -> bool:
        """Whether the key at ``path`` is there, also with a null."""
        parent, _, key = path.rpartition(".")
        table = self.get(parent) if parent else self._tree
        return isinstance(table, Mapping) and key in table

    def text(self, path: str) -> str | None:
        """The value at ``path`` as text, or None where absent. Numbers and booleans read as YAML writes them."""
        value = self.get(path)
        if value is None or isinstance(value, Mapping | list):
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    def origin(self, path: str) -> str:
        """The source that set ``path`` (or the nearest part of it that was set), or "" when unset.

        Items of lists may be part of it, as in ``balloons[0].replicaCount``: lists are set whole.
        """
        path = path.partition("[")[0]
        if not self.has(path):
            return ""
        source, origins = "", self._origins
        for key in path.split("."):
            if key not in origins:
                break
            source, origins = origins[key].source, origins[key].below
        return source

    def describe(self, path: str) -> str:
        """``path`` and where its value came from, for messages."""
        origin = self.origin(path)
        return f"{path} (from {origin})" if origin else path


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in ``tree`` that is not a map, with its dotted path; an empty map is one too."""
    for key, value in tree.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path, value


def _merge(tree: dict[str, Any], origins: dict[str, _Origin], values: Mapping[str, Any], source: str) -> None:
    """Put ``values`` over ``tree``."""
    for key, value in values.items():
        present = tree.get(key)
        if isinstance(value, Mapping) and isinstance(present, dict):
            _merge(present, origins[key].below, value, source)
        else:
            _set(tree, origins, key, value, source)


def _fill(tree: dict[str, Any], origins: dict[str, _Origin], values: Mapping[str, Any], source: str) -> None:
    """Put ``values`` under ``tree``, and take out what a null in ``tree`` deletes of them."""
    for key, value in values.items():
        if key not in tree:
            if value is not None:
                _set(tree, origins, key, value, source)
        elif tree[key] is None:
            del tree[key], origins[key]
        elif isinstance(value, Mapping) and isinstance(tree[key], dict):
            origins[key].source = source
            _fill(tree[key], origins[key].below, value, source)


def _without_nulls(value: Any) -> Any:
    """A chart's nulls count for nothing, but for those at the top, which a null can delete."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_nulls(item) for key, item in value.items() if item is not None}


def _set(tree: dict[str, Any], origins: dict[str, _Origin], key: str, value: Any, source: str) -> None:
    origins[key] = _Origin(source)
    if isinstance(value, Mapping):
        tree[key] = {}
        _merge(tree[key], origins[key].below, value, source)
    else:
        tree[key] = deepcopy(value) if isinstance(value, list) else value


def _drop_absent(tree: dict[str, Any], origins: dict[str, _Origin]) -> None:
    for key in [key for key, value in tree.items() if value is ABSENT]:
        del tree[key], origins[key]
    for key, value in tree.items():
        if isinstance(value, dict):
            _drop_absent(value, origins[key].below)
