"""What the chart's templates, and the API server after them, accept at each values path.

``chart_values.json`` has a row for every path that a template reads: how it is written there (``as``), what belongs in
the field (``type``), and when (``when``: flags that are on, "!flag" off, "path=word", "path=*" not null). What is wrong
with values follows from the rows. Held against the real chart, Helm and API server by ``tests/platform``.

``as`` is one of::

    parent    templates read below it; optional: what a template takes for false is passed over; nullable: only null is
    flag      a template's if; anything goes
    any       quoted, or within the text of a ConfigMap; anything goes
    line      within the text of a ConfigMap, where a second line breaks the YAML
    quoted    between double quotes
    bare      printed as it is, between ``after`` and ``before``, and read as YAML, whole where it is a key;
              skip: left out where it is false
    printf    as bare, but anything other than text is printed as an error of Go's
    yaml      as YAML of the value itself
    equals    compared with a value of ``type``, which fails for another
    index     indexed with a key
    range     iterated over
    nothing   any value breaks the YAML
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine import fieldtypes, paths
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.fields import INFRA_FIELDS, LAUNCH_FIELDS
from mehc_checks.modelengine.valuesfile import read

_FIELDS: Final = {paths.INFRA: INFRA_FIELDS, paths.LAUNCH: LAUNCH_FIELDS}
_BROKEN: Final = object()
"""Text that YAML cannot read in its place."""


class Kind(StrEnum):
    """What is wrong with a value."""

    MISSING = "missing"
    TYPE = "type"
    YAML = "yaml"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """``given`` is the value for people, ``wanted`` what belongs there; ``helm`` is whether Helm fails already."""

    path: str
    kind: Kind
    given: str
    wanted: str
    helm: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the data. ``default``: the chart's own values have the key; ``free``: any key can be below it."""

    path: str
    uses: tuple[Mapping[str, Any], ...]
    when: tuple[str, ...]
    free: bool


@cache
def rows() -> tuple[Row, ...]:
    """All rows, parents before what is below them."""
    return tuple(
        Row(row["path"], tuple(row.get("uses", ())), tuple(row.get("when", ())), row.get("free", False))
        for row in _data()["paths"]
    )


@cache
def _data() -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads(files(__package__).joinpath("chart_values.json").read_text())
    return data


TOP_KEYS: Final = frozenset(row.path for row in rows() if "." not in row.path)
"""Keys at the top of the values."""


def problems(configuration: Configuration) -> Iterator[Problem]:
    """All that keeps Helm or the API server from taking ``configuration``; below what is missing nothing is told."""
    broken: list[str] = []
    for row in rows():
        if not all(_holds(configuration, condition) for condition in row.when):
            continue
        for path, value in _values(configuration.values.tree, row.path):
            if any(path == above or path.startswith((f"{above}.", f"{above}[")) for above in broken):
                continue
            for problem in _of_uses(row, path, value):
                broken.append(problem.path)
                yield problem
                break


def unknown(tree: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys that neither the chart nor the platform reads, each with those that are read beside it."""
    yield from _unknown(tree, _known(), "")


@cache
def _known() -> Mapping[str, Any]:
    """The keys of all rows as a tree; None where any key can be."""
    root: dict[str, Any] = {}
    for row in rows():
        node = root
        *above, last = row.path.replace("[]", ".[]").split(".")
        for key in above:
            node = node.setdefault(key, {})
        if row.free and row.path not in _FIELDS:
            node[last] = None
        else:
            node.setdefault(last, {})
    for path, names in _FIELDS.items():
        node = root
        for key in path.split("."):
            node = node[key]
        node.update(dict.fromkeys(names))
    return root


def _unknown(value: Any, known: Mapping[str, Any] | None, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if known is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, known.get("[]"), f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            if key in known:
                yield from _unknown(item, known[key], here)
            elif known or not path:
                yield here, tuple(known)


def _holds(configuration: Configuration, condition: str) -> bool:
    path, equals, word = condition.partition("=")
    if equals:
        return configuration.raw(path) is not None if word == "*" else configuration.text(path) == word
    return bool(configuration.raw(path.removeprefix("!"))) != path.startswith("!")


def _values(tree: Any, path: str, above: str = "") -> Iterator[tuple[str, Any]]:
    """The places that ``path`` means, with their values; None for absent, unless a parent is no map."""
    key, bracket, rest = path.partition("[]")
    value = tree
    for part in key.lstrip(".").split("."):
        if not isinstance(value, Mapping):
            return
        value = value.get(part)
    where = f"{above}.{key.lstrip('.')}" if above else key
    if not bracket:
        yield where, value
        return
    items = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        here = f"{where}[{index}]"
        if rest:
            yield from _values(item, rest, here)
        else:
            yield here, item


def _of_uses(row: Row, path: str, value: Any) -> Iterator[Problem]:
    for use in row.uses:
        if value or not use.get("skip"):
            yield from _of_use(use, path, value)


def _of_use(use: Mapping[str, Any], path: str, value: Any) -> Iterator[Problem]:
    match use["as"]:
        case "parent":
            passed = value is None if use.get("nullable") else use.get("optional") and not value
            if not passed and not isinstance(value, Mapping):
                kind = Kind.MISSING if value is None else Kind.TYPE
                yield _problem(path, kind, value, "a map")
        case "range":
            if value is not None and not isinstance(value, Mapping | list):
                yield _problem(path, Kind.TYPE, value, "a list")
        case "index":
            if not isinstance(value, Mapping):
                yield _problem(path, Kind.MISSING if value is None else Kind.TYPE, value, "a map")
        case "equals":
            fits = isinstance(value, bool) if use["type"] == "bool" else isinstance(value, str)
            if value is not None and not fits:
                wanted = "true or false, without quotes" if use["type"] == "bool" else "text"
                yield _problem(path, Kind.TYPE, value, wanted)
        case "nothing":
            if value:
                yield _problem(path, Kind.YAML, value, "absent")
        case "line":
            if "\n" in printed(value):
                yield _problem(path, Kind.YAML, value, "text of one line")
        case "quoted":
            yield from _quoted(path, value)
        case "bare" | "printf":
            yield from _bare(use, path, value)
        case "yaml":
            if value is not None:
                yield from _typed(use["type"], path, value)


def _quoted(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(_as_yaml(f'"{printed(value)}"'), str):
        yield _problem(path, Kind.YAML, value, "text without double quotes and backslashes")


def _bare(use: Mapping[str, Any], path: str, value: Any) -> Iterator[Problem]:
    text = printed(value)
    if use["as"] == "printf" and not isinstance(value, str):
        # lists and maps are printed, all else is "%!s(bool=true)"
        text = text if isinstance(value, Mapping | list) else f"%!s({text})"
    after, before = use.get("after", ""), use.get("before", "")
    seen = _as_yaml(f"{after}{text}{before}")
    if seen is _BROKEN or (use.get("whole") and not str(seen).endswith(before)):
        yield _problem(path, Kind.YAML, value, fieldtypes.described(use["type"]))
    elif seen is None and text and use["type"] == "name":
        yield _problem(path, Kind.REJECTED, value, fieldtypes.described("name"), helm=False)
    elif seen is None or (use.get("required") and not text):
        if use.get("required"):
            yield _problem(path, Kind.MISSING, value, fieldtypes.described(use["type"]), helm=False)
    else:
        yield from _typed(use["type"], path, seen, given=value)


def _typed(kind: str, path: str, value: Any, given: Any = None) -> Iterator[Problem]:
    """``given`` is what the values have, where the template writes text of its own for it: ``map[a:1]``."""
    for fault in fieldtypes.faults(kind, value, path, _data()["types"]):
        missing = fault.value is None
        kind_of = Kind.MISSING if missing else Kind.REJECTED
        as_given = fault.path == path and isinstance(given, Mapping | list)
        yield _problem(fault.path, kind_of, given if as_given else fault.value, fault.wanted, helm=False)


@lru_cache(maxsize=4096)
def _as_yaml(text: str) -> Any:
    """What Helm and the API server read where a template has written ``text`` as the value of a key."""
    try:
        found = read(f"above:\n  key: {text}\n  next: 1\n", where="").values
    except UsageError:
        return _BROKEN
    above = found.get("above")
    if set(found) != {"above"} or not isinstance(above, Mapping) or set(above) != {"key", "next"}:
        return _BROKEN
    return above["key"]


def _problem(path: str, kind: Kind, value: Any, wanted: str, *, helm: bool = True) -> Problem:
    """A text in the place of a map or a list is not shown: it may be what should have stood in it, a token."""
    misplaced = isinstance(value, str) and wanted in ("a map", "a list")
    given = "a text" if misplaced else fieldtypes.shown(value)
    return Problem(path=path, kind=kind, given=given, wanted=wanted, helm=helm)
