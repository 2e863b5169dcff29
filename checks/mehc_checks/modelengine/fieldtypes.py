"""Types of fields of Kubernetes objects, as far as the chart puts values into them, and what the API server accepts."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.clients.kubernetes.scheduling.quantity import parse
from mehc_checks.core.text import counted

_LABEL: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")
_PERCENT: Final = re.compile(r"[0-9]+%")
_QUALIFIED: Final = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
)
_INT32: Final = 2**31
_LONGEST_LABEL: Final = 63
_LONGEST: Final = 60
"""Characters of a value that are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """``value`` at ``path`` is not ``wanted``; None for a field that must be there."""

    path: str
    value: Any
    wanted: str


def is_namespace(name: str) -> bool:
    """Whether the API server takes ``name`` for a namespace's: a label of RFC 1123."""
    return len(name) <= _LONGEST_LABEL and bool(_NAMESPACE.fullmatch(name))


def shown(value: Any) -> str:
    """``value`` for people: what it is, and as much of it as helps."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return f"a map of {counted(len(value), 'key')}" if value else "an empty map"
    if isinstance(value, list):
        return f"a list of {counted(len(value), 'item')}" if value else "an empty list"
    if value is None:
        return "not set"
    text = str(value)
    return f'the text "{text[:_LONGEST]}{"…" if len(text) > _LONGEST else ""}"'.replace("\n", "\\n")


def described(kind: str) -> str:
    """What belongs into a field of ``kind``, for people."""
    return _SCALARS[kind].wanted if kind in _SCALARS else "a map"


def faults(kind: Any, value: Any, path: str, types: Mapping[str, Any]) -> Iterator[Fault]:
    """What the API server rejects of ``value`` in a field of ``kind``, a name of ``types`` or a type itself."""
    if isinstance(kind, str) and kind in types:
        kind = types[kind]
    if isinstance(kind, str):
        scalar = _SCALARS[kind]
        if value is not None and not scalar.accepts(value):
            yield Fault(path=path, value=value, wanted=scalar.wanted)
    elif isinstance(kind, list):
        if value not in (None, "", *kind):
            yield Fault(path=path, value=value, wanted=f"one of {', '.join(kind)}")
    elif "map" in kind:
        if not isinstance(value, Mapping | None):
            yield Fault(path=path, value=value, wanted="a map")
        for key, item in (value or {}).items():
            yield from faults(kind["map"], item, f"{path}.{key}", types)
    elif "list" in kind:
        if not isinstance(value, list | None):
            yield Fault(path=path, value=value, wanted="a list")
            return
        for index, item in enumerate(value or ()):
            element = {} if item is None else item
            yield from faults(kind["list"], element, f"{path}[{index}]", types)
    else:
        yield from _of_object(kind, value, path, types)


def _of_object(kind: Mapping[str, Any], value: Any, path: str, types: Mapping[str, Any]) -> Iterator[Fault]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield Fault(path=path, value=value, wanted="a map")
        return
    for name in kind.get("required", ()):
        if not value.get(name) and value.get(name) != {}:
            yield Fault(path=f"{path}.{name}", value=None, wanted="set")
    choice = kind.get("oneOf", ())
    if choice and all(value.get(name) is None for name in choice):
        yield Fault(path=path, value=value, wanted=f"a map with one of {', '.join(choice)}")
    if "operator" in kind["object"] and not value.get("key") and value.get("operator") != "Exists":
        yield Fault(path=f"{path}.key", value=None, wanted="set")  # of a toleration
    for name, inner in kind["object"].items():
        if name in value:
            yield from faults(inner, value[name], f"{path}.{name}", types)


@dataclass(frozen=True, slots=True)
class _Scalar:
    wanted: str
    accepts: Callable[[Any], bool]


def _text(pattern: re.Pattern[str] | None = None, longest: int = 0) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, str)
        and (pattern is None or bool(pattern.fullmatch(value)))
        and (not longest or len(value) <= longest)
    )


def _integer(least: float = -math.inf, most: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and float(value).is_integer()
        and least <= value <= most
    )


def _quantity(*, positive: bool = False) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return False
        try:
            amount = parse(str(value))
        except ValueError:
            return False
        return amount > 0 if positive else amount >= 0

    return accepts


def _count_or_percent(value: Any) -> bool:
    return _integer(0, _INT32 - 1)(value) or (isinstance(value, str) and bool(_PERCENT.fullmatch(value)))


def _one_of(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


_SCALARS: Final = {
    "any": _Scalar("text", lambda _: True),
    "string": _Scalar("text that YAML does not read as a number or a boolean", _text()),
    "label": _Scalar(
        "at most 63 letters, digits, -, _ and . that YAML reads as text", _text(_LABEL, _LONGEST_LABEL)
    ),
    "name": _Scalar(
        "a name of lower-case letters, digits, - and . that YAML reads as text", _text(_SUBDOMAIN, 253)
    ),
    "namespace": _Scalar(
        "the name of a namespace", lambda value: value == "" or _text(_NAMESPACE, _LONGEST_LABEL)(value)
    ),
    "qualifiedName": _Scalar("the key of a label", _text(_QUALIFIED)),
    "configKey": _Scalar("a name of letters, digits, -, _ and .", _text(_CONFIG_KEY, 253)),
    "bool": _Scalar("true or false, without quotes", lambda value: isinstance(value, bool)),
    "integer": _Scalar("a whole number", _integer(-(2**63), 2**63)),
    "count": _Scalar("a whole number from 0", _integer(0, _INT32 - 1)),
    "positive": _Scalar("a whole number from 1", _integer(1, _INT32 - 1)),
    "weight": _Scalar("a whole number from 1 to 100", _integer(1, 100)),
    "port": _Scalar("a port from 1 to 65535", _integer(1, 65535)),
    "nodePort": _Scalar("a port from 0 to 65535", _integer(0, 65535)),
    "quantity": _Scalar("a quantity, for example 2 or 4Gi", _quantity()),
    "positiveQuantity": _Scalar("a number above 0", _quantity(positive=True)),
    "intOrPercent": _Scalar("a whole number from 0, or a percentage", _count_or_percent),
    "pullPolicy": _Scalar("Always, IfNotPresent or Never", _one_of("Always", "IfNotPresent", "Never")),
    "serviceType": _Scalar(
        "ClusterIP, NodePort, LoadBalancer or ExternalName",
        _one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    ),
    "object": _Scalar("a map", lambda value: isinstance(value, Mapping)),
    "list": _Scalar("a list", lambda value: isinstance(value, list)),
}
