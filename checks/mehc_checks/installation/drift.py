"""What the cluster has otherwise than the release says it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mehc_checks.installation.installation import Difference
from mehc_checks.modelengine import paths, serviceconfig
from mehc_checks.modelengine.configuration import Configuration, displayed
from mehc_checks.modelengine.values import ABSENT, Layer, Values, leaves


def differences(
    values: Values, live: Mapping[str, Any], *, where: str, whole: tuple[str, ...] = ()
) -> list[Difference]:
    """Where ``live`` has another value than ``values``, both in the chart's shape.

    ``whole`` are paths of maps that ``live`` shows whole: what it lacks there is not set. Alike is what the
    chart writes alike: 10 and "10", null and nothing, true and "true".
    """
    shown = dict(leaves(live))
    found = [
        Difference(
            path=path,
            where=where,
            live=_shown(value, values.get(path)),
            given=_shown(values.get(path), value),
        )
        for path, value in shown.items()
        if not _alike(value, values.get(path))
    ]
    for path in whole:
        below = values.get(path)
        for key, value in leaves(below if isinstance(below, Mapping) else {}, path):
            if key not in shown and not _alike(value, None):
                found.append(Difference(path=key, where=where, live="", given=_shown(value, None)))
    return found


def of_config_map(values: Values, live: Mapping[str, Any], *, where: str) -> list[Difference]:
    """Where the service ConfigMap, whose values ``live`` are, is otherwise than the chart makes it of ``values``.

    Absent, null and empty text are three things for the process that reads it.
    """
    made = serviceconfig.expected(Configuration(values))
    expected = Values.merged([Layer(source="", values={}), Layer(source="", values=made)])
    found = [
        replace(each, given=displayed(given))
        if isinstance(given := values.get(each.path), Mapping | list)
        else each
        for each in differences(expected, live, where=where, whole=(paths.INFRA, paths.LAUNCH))
    ]
    known = {difference.path for difference in found}
    shown, wanted = dict(leaves(live)), dict(leaves(expected.tree))
    for path in sorted((shown.keys() | wanted.keys()) - known):
        live_word, given = _word(shown, path), _word(wanted, path)
        if path.startswith((f"{paths.INFRA}.", f"{paths.LAUNCH}.")) and live_word != given:
            found.append(Difference(path=path, where=where, live=live_word, given=given))
    return found


def _word(values: Mapping[str, Any], path: str) -> str:
    """What a process makes of a value that is as good as none: "" for absent; "set" for any other."""
    if path not in values:
        return ""
    value = values[path]
    return "null" if value is None else "empty" if value == "" else "set"


def overriding(live: Mapping[str, Any], found: list[Difference]) -> dict[str, Any]:
    """The part of ``live`` that makes the differences ``found``; a value that it lacks is ABSENT."""
    shown = dict(leaves(live))
    tree: dict[str, Any] = {}
    for difference in found:
        into = tree
        *parents, last = difference.path.split(".")
        for key in parents:
            into = into.setdefault(key, {})
        value = shown.get(difference.path, ABSENT)
        into[last] = {} if isinstance(value, Mapping) else value
    return tree


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping | list) or isinstance(other, Mapping | list):
        # The chart writes maps and lists in Go's own notation, which says too little to compare.
        return isinstance(one, str) or isinstance(other, str) or (one or None) == (other or None)
    first, second = _text(one), _text(other)
    if first == second:
        return True
    numbers = list(_numbers(first, second))
    return len(numbers) == 2 and numbers[0] == numbers[1]


def _numbers(*texts: str) -> Iterator[float]:
    for text in texts:
        try:
            yield float(text)
        except ValueError:
            return


def _shown(value: Any, other: Any) -> str:
    """``value`` for people. Of variables the names, and which of them ``other`` has otherwise: values may be secret."""
    if isinstance(value, Mapping | str):
        return displayed(value)
    if not (isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value)):
        return _text(value)
    names = [str(item.get("name")) for item in value]
    others = {str(item.get("name")): item for item in other or () if isinstance(item, Mapping)}
    changed = [name for name, item in zip(names, value, strict=True) if others.get(name, item) != item]
    differing = f", with another value of {', '.join(changed)}" if changed else ""
    return f"[{', '.join(names)}]{differing}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
