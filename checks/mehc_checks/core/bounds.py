"""How large JSON-like data may be that somebody else wrote, before our own code walks over it."""

from collections.abc import Mapping
from typing import Any, Final

MOST_NODES: Final = 50_000
"""Maps, lists and scalars; the values of a large chart have some thousands."""
MOST_CHARACTERS: Final = 2 * 1024 * 1024
DEEPEST: Final = 64
"""Levels. Python's own recursion ends at a thousand frames."""
LONGEST_INTEGER: Final = 64
"""Bits; Helm and Kubernetes take no longer ones, and a float cannot have them."""


def oversized(tree: Any) -> str:
    """Why ``tree`` is too large to be worked on, in a few words, or "". Takes no recursion, and ends at the bounds."""
    nodes = characters = 0
    waiting = [(tree, 1)]
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if depth > DEEPEST:
            return f"nested more than {DEEPEST} levels deep"
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, int) and value.bit_length() > LONGEST_INTEGER:
            return f"an integer of more than {LONGEST_INTEGER} bits"
        elif isinstance(value, Mapping):
            characters += sum(len(key) for key in value if isinstance(key, str))
            waiting += ((item, depth + 1) for item in value.values())
        elif isinstance(value, list | tuple):
            waiting += ((item, depth + 1) for item in value)
        if nodes + len(waiting) > MOST_NODES:
            return f"more than {MOST_NODES:,} values"
        if characters > MOST_CHARACTERS:
            return f"more than {MOST_CHARACTERS // 1024**2} MiB of text"
    return ""
