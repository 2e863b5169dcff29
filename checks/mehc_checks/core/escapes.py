"""A text with its escapes undone, and where each character of that stands in the text; in linear time."""

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

_LEVELS: Final = 2
"""How often escapes of one kind are undone: JSON is carried in JSON, a quoted URL in a query."""
_LETTERS: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "a": "\a",
    "0": "\0",
    "e": "\x1b",
}


class View(NamedTuple):
    """``starts`` has where each character of ``text`` begins in the original, and at last where that ends."""

    text: str
    starts: Sequence[int]


_Undo = Callable[[str], Iterator[tuple[str, int]]]
"""The characters of what was matched, each with where it begins there."""


def views(text: str) -> Iterator[View]:
    """``text`` without each kind of escapes that it has: of URLs, of strings in code, of HTML, and doubled quotes."""
    for sign, pattern, undo in _KINDS:
        view = View(text, range(len(text) + 1))
        for _ in range(_LEVELS):
            if sign not in view.text:
                break
            found = _undone(view, pattern, undo)
            if found.text == view.text:
                break
            yield (view := found)


def _undone(view: View, pattern: re.Pattern[str], undo: _Undo) -> View:
    parts: list[str] = []
    starts: list[int] = []
    done = 0
    for found in pattern.finditer(view.text):
        parts.append(view.text[done : found.start()])
        starts += view.starts[done : found.start()]
        for character, at in undo(found[0]):
            parts.append(character)
            starts += [view.starts[found.start() + at]] * len(character)
        done = found.end()
    return View("".join([*parts, view.text[done:]]), [*starts, *view.starts[done:]])


def _of_bytes(escaped: str, width: int) -> Iterator[tuple[str, int]]:
    """Of bytes in hexadecimal, each the last two of ``width`` characters; those that are not UTF-8 are Latin-1."""
    raw = bytes(int(escaped[at - 2 : at], 16) for at in range(width, len(escaped) + 1, width))
    at = 0
    for character in raw.decode(errors="surrogateescape"):
        is_byte = "\udc80" <= character <= "\udcff"
        yield chr(ord(character) - 0xDC00) if is_byte else character, at * width
        at += 1 if is_byte else len(character.encode())


def _of_percents(escaped: str) -> Iterator[tuple[str, int]]:
    return _of_bytes(escaped, 3)


def _of_backslashes(escaped: str) -> Iterator[tuple[str, int]]:
    if len(escaped) == 2:
        yield _LETTERS.get(escaped[1], escaped[1]), 0
    elif escaped[1] == "x":
        yield from _of_bytes(escaped, 4)
    elif escaped[1] == "U":
        yield chr(int(escaped.removeprefix("\\U"), 16)), 0
    else:
        units = b"".join(bytes.fromhex(unit) for unit in escaped.split("\\u")[1:])
        yield units.decode("utf-16-be", errors="surrogatepass"), 0


def _of_entities(escaped: str) -> Iterator[tuple[str, int]]:
    yield html.unescape(escaped), 0


def _of_pairs(escaped: str) -> Iterator[tuple[str, int]]:
    yield escaped[0], 0


_HEX: Final = "[0-9a-fA-F]"
_PAIR: Final = rf"\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_CODE_POINT: Final = rf"\\U00(?:0{_HEX}|10){_HEX}{{4}}"
_KINDS: Final[Sequence[tuple[str, re.Pattern[str], _Undo]]] = (
    ("%", re.compile(r"(?:%[0-9a-fA-F]{2})+"), _of_percents),
    ("\\", re.compile(rf"(?s)(?:\\x{_HEX}{{2}})+|{_PAIR}|\\u{_HEX}{{4}}|{_CODE_POINT}|\\."), _of_backslashes),
    ("&", re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});"), _of_entities),
    ("''", re.compile("''"), _of_pairs),
    ('""', re.compile('""'), _of_pairs),
)
