"""Removes secrets from what goes into a bundle: those that were read as such, and what looks like one in free text."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeVar, cast

import yaml

from mehc_checks.core.redact import LONGEST_TEXT, MASK, MOST_VALUES, WITHHELD, Redactor, sensitive
from mehc_checks.core.text import masked

T = TypeVar("T")
_MOST_REDACTORS: Final = 10
"""With more values than these hold, no text is let through."""
_CHUNK: Final = LONGEST_TEXT // 2
"""Characters that are looked at together: a redactor cuts longer texts."""
_LONGEST_LINE: Final = LONGEST_TEXT // 4
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN[^-]{0,40}PRIVATE KEY-----.*?(?:-----END[^-]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKENS: Final = re.compile(
    r"\beyJ[\w-]{6,}(?:\.[\w-]*){0,2}"  # JSON, as JSON Web Tokens begin
    r"|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Za-z0-9]{8,}"
    r"|\b(?:hf_|nvapi-|sk-|sk_|rk_|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|npm_|pypi-|dckr_pat_|AIza|ya29\.)[\w.-]{6,}"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic|token)\s+(?=[^\s\"',;]*[0-9])[^\s\"',;]{6,}")
_OPTION: Final = re.compile(
    r"(?i)(--?[\w-]*(?:passw(?:or)?d|secret|token|api-?key|credential)[\w-]*)\s+(?!-)(\S+)"
)
_QUOTED_URL: Final = re.compile(r"(?i)(%3A%2F%2F)(?:(?!%2F|%20)[^\s\"'/])*?(%40)")
"""The user and password of an address that is quoted for another."""
_ESCAPED: Final = re.compile(
    r"(?i)((?:passw(?:or)?d|secret|token|api[_-]?key|credential|authorization)[\w.-]*\\+\"\s*:\s*\\+\")[^\"\\]+"
)
"""JSON in JSON."""
_SENSITIVE_OPTION: Final = re.compile(
    r"(?i)^--?[\w-]*(?:passw(?:or)?d|secret|token|api-?key|credential)[\w-]*$"
)


class Scrub:
    """Learns values by ``learn`` and ``add``, and removes them, and what looks like a token, from all texts."""

    def __init__(self) -> None:
        self._redactors = [Redactor()]
        self._known: set[str] = set()

    def add(self, values: Iterable[str]) -> None:
        """Remember secret values."""
        for value in values:
            if value in self._known:
                continue
            self._known.add(value)
            if len(self._known) % (MOST_VALUES - 1) == 0:
                self._redactors.append(Redactor())
            self._redactors[-1].add(value)

    def learn(self, tree: Any) -> None:
        """Remember what ``tree`` has under names of secrets, and in documents of YAML and JSON that are texts of it."""
        self.add(sensitive(tree))
        for text in _texts(tree):
            if ":" not in text or "\n" not in text:
                continue
            try:
                document = yaml.safe_load(text)
            except (yaml.YAMLError, ValueError, RecursionError):
                continue
            if isinstance(document, dict | list):
                self.add(sensitive(document))

    def text(self, text: str) -> str:
        """``text`` without secrets. Lines that are too long to be looked at are cut."""
        if len(self._redactors) > _MOST_REDACTORS:
            return WITHHELD
        text = _PRIVATE_KEY.sub(MASK, text)
        return "\n".join(self._chunk(chunk) for chunk in _chunks(text))

    def tree(self, value: Any) -> Any:
        """A copy of JSON-like ``value``, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value

    def record(self, value: T) -> T:
        """A copy of a dataclass, or of what holds some, with every text of it scrubbed."""
        return cast("T", self._record(value))

    def _record(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return self.text(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {
                each.name: self._record(getattr(value, each.name)) for each in dataclasses.fields(value)
            }
            return dataclasses.replace(value, **fields)
        if isinstance(value, Mapping):
            return {key: self._record(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return tuple(self._record(item) for item in value)
        return value

    def _chunk(self, chunk: str) -> str:
        for redactor in self._redactors:
            chunk = redactor.text(chunk)
        return "\n".join(_looks(line) for line in chunk.split("\n"))


def _looks(line: str) -> str:
    """``line`` without what looks like a secret."""
    line = _TOKENS.sub(MASK, line)
    line = _ESCAPED.sub(rf"\1{MASK}", _QUOTED_URL.sub(rf"\1{MASK}\2", line))
    line = _BEARER.sub(rf"\1 {MASK}", line)
    return masked(_OPTION.sub(rf"\1 {MASK}", line))


def _chunks(text: str) -> Iterator[str]:
    """``text`` in pieces that end where lines do."""
    held: list[str] = []
    size = 0
    for line in text.split("\n"):
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]} … ({len(line) - _LONGEST_LINE} more characters)"
        if held and size + len(line) > _CHUNK:
            yield "\n".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    yield "\n".join(held)


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from _texts(item)
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _texts(item)


def lean(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what may be anyone's secret: of a Secret names of keys, of annotations their names, of
    variables in the environment their names and references, of commands no value of an option that is a secret."""
    metadata = dict(manifest.get("metadata") or {})
    metadata.pop("managedFields", None)
    if annotations := metadata.pop("annotations", None):
        metadata["annotationNames"] = sorted(annotations)
    kept = {**manifest, "metadata": metadata}
    if manifest.get("kind") == "Secret":
        return {
            **{key: kept[key] for key in ("apiVersion", "kind", "metadata", "type") if key in kept},
            "keys": sorted(manifest.get("data") or {}),
        }
    return cast("dict[str, Any]", _without_values(kept))


def _without_values(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {
            key: _variables(item)
            if key == "env" and isinstance(item, list)
            else _words(item)
            if key in ("args", "command") and isinstance(item, list)
            else {"annotationNames": sorted(item)}
            if key == "annotations" and isinstance(item, Mapping)
            else _without_values(item)
            for key, item in tree.items()
        }
    if isinstance(tree, list):
        return [_without_values(item) for item in tree]
    return tree


def _variables(env: list[Any]) -> list[Any]:
    return [
        {**each, "value": MASK} if isinstance(each, Mapping) and each.get("value") else each for each in env
    ]


def _words(words: list[Any]) -> list[Any]:
    """Arguments, without those that follow an option for a secret."""
    before = ["", *map(str, words)]
    return [
        MASK if _SENSITIVE_OPTION.match(option) else word for option, word in zip(before, words, strict=False)
    ]
