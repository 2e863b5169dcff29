"""Values files read as Helm reads them, with the place of every key.

Helm's YAML is not PyYAML's: ``12345e7`` is a number, ``y`` is true, ``1:30`` is text, and so is a date; keys become
text; several documents merge; a tag it does not know is ignored. Source: ``resolve.go`` and ``decode.go`` of
go.yaml.in/yaml/v2, ``yaml.go`` of sigs.k8s.io/yaml and ``pkg/chart/v2/loader`` of Helm 4; the test suite holds this
against the real ``helm template``.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from mehc_checks.core.errors import UsageError

LARGEST: Final = 4 * 1024 * 1024
"""Characters, or bytes, that a file may have. A release, values included, must fit 1 MiB packed."""
_MOST: Final = 100_000
"""Values in one file, each use of an anchor counted."""
_DEEPEST: Final = 100
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INFINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER: Final = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = "plain"
_MERGE: Final = "<<"


@dataclass(frozen=True, order=True, slots=True)
class Mark:
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Twice:
    """A key that a map has more than once: its path, and the places of the first and the last, which wins."""

    path: str
    first: Mark
    last: Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class ValuesFile:
    """``values`` in the chart's shape; ``marks`` has the place of each key by dotted path, items of lists as "a[0]".

    ``twice`` are the keys that are given more than once; Helm takes the last one silently.
    """

    values: dict[str, Any]
    marks: Mapping[str, Mark]
    twice: tuple[Twice, ...] = ()


def read(content: str | bytes, *, where: str) -> ValuesFile:
    """Read a values file.

    Raises UsageError: one line that begins with ``where`` and names the line of what is wrong.
    """
    if len(content) > LARGEST:
        raise UsageError(f"{where}: larger than {LARGEST // 1024**2} MiB, which no values file is")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        raise UsageError(f"{where}: not a text file in UTF-8") from None
    reader = _Reader(where)
    values: dict[str, Any] = {}
    try:
        _require_shallow(text, where)
        for node in yaml.compose_all(text, Loader=_Loader):
            if node is None or (isinstance(node, yaml.ScalarNode) and reader.scalar(node) is None):
                continue
            if not isinstance(node, yaml.MappingNode):
                kind = "a list" if isinstance(node, yaml.SequenceNode) else "text"
                raise UsageError(f"{where}, line {_mark(node).line}: expected a map of values, not {kind}")
            _merge(values, reader.mapping(node, "", 0))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{where}{line}: not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line_number = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{where}, line {line_number}: not YAML: a character that YAML does not allow"
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{where}: not YAML: {type(error).__name__}") from None
    return ValuesFile(values=values, marks=reader.marks, twice=tuple(reader.twice.values()))


def is_number(text: str) -> bool:
    """Whether YAML, as Helm and Kubernetes read it, takes ``text`` without quotes for a number."""
    plain = text.replace("_", "")
    return bool(_INTEGER.fullmatch(plain) or _FLOAT.fullmatch(plain) or _INFINITE.fullmatch(text))


def _require_shallow(text: str, where: str) -> None:
    """Raises UsageError. LibYAML composes by recursion without a limit: a long row of "[" ends the process."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST and event.start_mark:
            raise UsageError(
                f"{where}, line {event.start_mark.line + 1}: nested deeper than {_DEEPEST} levels"
            )


class _Loader(yaml.CSafeLoader):
    """Composes nodes only, and leaves open what a plain scalar without a tag is."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return tag


@dataclass(slots=True)
class _Reader:
    where: str
    marks: dict[str, Mark] = field(default_factory=dict)
    twice: dict[str, Twice] = field(default_factory=dict)
    _seen: int = 0

    def mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        given: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == _MERGE:
                for source in self._merged(value_node):
                    for key, value in self.mapping(source, path, depth + 1).items():
                        merged.setdefault(key, value)
                continue
            key = self._key(key_node)
            here = f"{path}.{key}" if path else key
            mark = self.marks[here] = _mark(key_node)
            if key in given:
                self.twice[here] = Twice(path=here, first=given[key], last=mark)
            else:
                given[key] = mark
            values[key] = self._value(value_node, here, depth + 1)
        return {**merged, **values}

    def scalar(self, node: yaml.Node) -> Any:
        text: str = node.value
        if node.tag == _PLAIN or (
            node.tag.startswith(_TAG) and node.tag not in (f"{_TAG}str", f"{_TAG}binary")
        ):
            return self._resolved(node, text)
        if node.tag == f"{_TAG}binary":
            try:
                return base64.b64decode(text).decode(errors="replace")
            except binascii.Error:
                self._refuse(node, "!!binary is not base64")
        return text

    def _value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._seen += 1
        if self._seen > _MOST:
            self._refuse(node, f"more than {_MOST} values, each use of an anchor counted")
        if depth > _DEEPEST:  # by an anchor that contains itself
            self._refuse(node, f"nested deeper than {_DEEPEST} levels")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                here = f"{path}[{index}]"
                self.marks[here] = _mark(item)
                items.append(self._value(item, here, depth + 1))
            return items
        return self.scalar(node)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse(node, "a map or a list cannot be a key")
        value = self.scalar(node)
        if value is None:
            self._refuse(node, "null cannot be a key")
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        """What ``<<`` names, the strongest first."""
        sources: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            self._seen += 1
            if self._seen > _MOST:
                self._refuse(node, f"more than {_MOST} values, each use of an anchor counted")
            if not isinstance(source, yaml.MappingNode):
                self._refuse(node, "<< takes a map, or a list of maps")
            yield source

    def _resolved(self, node: yaml.Node, text: str) -> Any:
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INFINITE.fullmatch(text):
            self._refuse(node, f"{text} is a number that Helm does not take")
        plain = text.replace("_", "") if text[0] in "+-0123456789." else text
        if _INTEGER.fullmatch(plain) and -(2**63) <= (integer := _integer(plain)) < 2**64:
            return integer
        if _FLOAT.fullmatch(plain):
            number = float(plain)
            return text if math.isinf(number) else _number(number)
        return text

    def _refuse(self, node: yaml.Node, why: str) -> NoReturn:
        mark = _mark(node)
        raise UsageError(f"{self.where}, line {mark.line}: {why}")


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _integer(text: str) -> int:
    digits = text.lstrip("+-").lower()
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    value = int(digits, 8) if octal else int(digits, 0)
    return -value if text.startswith("-") else value


def _number(number: float) -> int | float:
    """JSON, which Helm passes values through, writes 1.0 as 1."""
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge(present, value)
        else:
            into[key] = value
