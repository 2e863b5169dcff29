"""The effective values of an installation: layers merged as Helm merges, each value with its origin."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mehc_checks.errors import UsageError

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One source of values in the chart's shape. ``source`` is named in findings: "spec.values"."""

    source: str
    values: Mapping[str, Any]


class Values:
    """Effective values, read by dotted path in the chart's shape: ``config.values.infra.redis_host``."""

    def __init__(self, tree: Mapping[str, Any], origins: Mapping[str, str]) -> None:
        self._tree = tree
        self._origins = origins

    @classmethod
    def merged(cls, layers: Iterable[Layer]) -> "Values":
        """Merge ``layers``, later ones winning: maps merge, null deletes, anything else replaces."""
        tree: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for layer in layers:
            _merge(tree, layer.values, layer.source, "", origins)
        return cls(tree, origins)

    @property
    def tree(self) -> Mapping[str, Any]:
        """The merged values themselves; not to be changed."""
        return self._tree

    def get(self, path: str) -> Any:
        """The value at ``path``, or None where it or a parent is absent."""
        value: Any = self._tree
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return value

    def text(self, path: str) -> str | None:
        """The value at ``path`` as text, or None where absent. Numbers and booleans read as YAML writes them."""
        value = self.get(path)
        if value is None or isinstance(value, Mapping | list):
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    def flag(self, path: str, *, default: bool = False) -> bool:
        """The value at ``path`` as a boolean, quoted ones included; ``default`` where absent.

        Raises UsageError naming the path when it is neither.
        """
        text = self.text(path)
        if text is None:
            return default
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise UsageError(f"{self.describe(path)}: expected true or false, not {text!r}")

    def origin(self, path: str) -> str:
        """The source that set ``path`` (or the nearest part of it that was set), or "" when unset."""
        if self.get(path) is None:
            return ""
        while path:
            if path in self._origins:
                return self._origins[path]
            path = path.rpartition(".")[0]
        return ""

    def describe(self, path: str) -> str:
        """``path`` and where its value came from, for messages."""
        origin = self.origin(path)
        return f"{path} (from {origin})" if origin else path


def _merge(
    into: dict[str, Any], values: Mapping[str, Any], source: str, prefix: str, origins: dict[str, str]
) -> None:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if value is None:
            into.pop(key, None)
            _forget(origins, path)
        elif isinstance(value, Mapping):
            present = into.get(key)
            if not isinstance(present, dict):
                _forget(origins, path)
                present = into[key] = {}
                origins[path] = source
            _merge(present, value, source, f"{path}.", origins)
        else:
            _forget(origins, path)
            into[key] = deepcopy(value)
            origins[path] = source


def _forget(origins: dict[str, str], path: str) -> None:
    for known in [known for known in origins if known == path or known.startswith(f"{path}.")]:
        del origins[known]
