"""YAML that somebody else wrote, as PyYAML reads it, and never more of it than can be worked on."""

from typing import Any, Final

import yaml

from mehc_checks.core.bounds import MOST_NODES, oversized

LONGEST: Final = 128 * 1024
"""Characters. PyYAML's own reader takes a second for as many; the largest document of the chart has some thousands."""
_MOST_MERGED: Final = 100
"""Maps in one list behind ``<<``."""
_MERGE: Final = "tag:yaml.org,2002:merge"


class TooLarge(yaml.YAMLError):
    """The document is larger, or by its anchors becomes larger, than any of the platform's."""


class Loader(yaml.SafeLoader):
    """PyYAML's, because LibYAML takes what the platform's processes refuse: a tab behind a value, say.

    Its methods raise yaml.YAMLError, ValueError and RecursionError, the last two for documents that are none.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise TooLarge(f"more than {LONGEST // 1024} KiB")
        super().__init__(text)
        self._merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag == _MERGE and isinstance(value, yaml.SequenceNode):
                self._require(len(value.value) <= _MOST_MERGED)
        super().flatten_mapping(node)
        self._merged += len(node.value)
        self._require(self._merged <= MOST_NODES)

    @staticmethod
    def _require(fits: bool) -> None:
        if not fits:
            raise TooLarge("too many merged maps")


def load(text: str) -> Any:
    """The one document in ``text``. Raises yaml.YAMLError for everything that is none, or is too large."""
    loader = Loader(text)
    try:
        tree = loader.get_single_data()
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(type(error).__name__) from None
    finally:
        loader.dispose()
    if too_large := oversized(tree):
        raise TooLarge(too_large)
    return tree
