"""Maps and lists where the chart writes text: what it makes of them, and what people are told in its place. Pure."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Final

from mehc_checks.modelengine import fieldtypes, paths
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.structure import rows
from mehc_checks.modelengine.values import Values

_TEXT: Final = frozenset({"any", "bare", "line", "printf", "quoted"})
"""How templates write text."""
_PLACES: Final = tuple(
    row.path for row in rows() if "[" not in row.path and any(use["as"] in _TEXT for use in row.uses)
)
_MOST: Final = 50


def misplaced(values: Values) -> Iterator[tuple[str, str]]:
    """The text that the chart makes of each, ``map[a:1]``, which messages may have in what is derived from it, and what
    it is: "a map of 1 key".
    """
    configuration = Configuration(values)
    settings = (configuration.table(part).values() for part in (paths.INFRA, paths.LAUNCH))
    found = chain((configuration.raw(path) for path in _PLACES), *settings)
    for value in islice((each for each in found if each and isinstance(each, Mapping | list)), _MOST):
        yield printed(value), fieldtypes.shown(value)
