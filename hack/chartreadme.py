"""The table of values in the chart's README, from the comments in its values.yaml."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One value of the chart: its dotted path, its default, and the comment above it."""

    path: str
    default: Any
    comment: str


def table(values_file: Path) -> list[str]:
    """The lines of the table of values. Raises SystemExit where a value has no comment."""
    found = list(values(values_file.read_text()))
    if bare := [value.path for value in found if not value.comment]:
        raise SystemExit(f"{values_file.name}: no comment says what this is: {', '.join(bare)}")
    rows = [f"| `{value.path}` | {_shown(value.default)} | {_cell(value.comment)} |" for value in found]
    return ["| value | default | what it is |", "|---|---|---|", *rows]


def values(text: str) -> Iterator[Value]:
    """The values in the text of a values.yaml, in its order.

    A map stands as one value where it has a comment of its own and its keys have none.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise SystemExit("values.yaml: not a map")
    yield from _of_map(root, "", text.splitlines())


def _of_map(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        path, comment = prefix + key.value, _comment(lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value:
            parts = list(_of_map(value, f"{path}.", lines))
            if not comment or any(part.comment for part in parts):
                yield from parts
                continue
        yield Value(path=path, default=_constructed(value), comment=comment)


def _comment(lines: list[str], line: int) -> str:
    """The text of the comment lines right above ``line``."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[first:line])


def _constructed(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_document(node)


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
