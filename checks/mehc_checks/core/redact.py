"""The one place through which every text leaves: secrets and control characters are replaced here."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from mehc_checks.core.escapes import views
from mehc_checks.core.urls import parameters, user_info

MASK: Final = "<redacted>"
MOST_VALUES: Final = 300
"""Values that one redactor holds. With more, it lets no text through."""
LONGEST_VALUE: Final = 255
"""Characters that are held of a value; a text that has these is masked from there to its end."""
LONGEST_TEXT: Final = 8192
"""Characters of a text that are looked at; the rest is cut off. No field that a text ends up in is longer."""
WITHHELD: Final = f"(withheld: more than {MOST_VALUES} secret values to redact)"

_SENSITIVE_KEY: Final = re.compile(
    r"(?i)(^auth$|passw|passphrase|pwd$|token$|secret_?(access_?)?key|(api|private|account|shared)_?key|secret$|"
    r"credentials?$|connection_?string|_auth$|signature$|^sig$|_dsn$|cookie$)"
)
_NAMES_OF_KEYS: Final = frozenset({"authSecretKey"})
"""Values that say under which key of a Secret something is."""
_PUBLIC_KEY: Final = re.compile(
    r"(?i)(^|[_-])(host(_?ro)?|clusterHost(Ro)?|port|db_?name|database|engine|scheme|user(_?name)?|query_params)$"
)
PUBLIC_VALUES: Final = frozenset({"", "true", "false", "null", "none", "enabled", "disabled"})
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal obeys, a display reorders, or UTF-8 and the API server do not take."""
_EXAMPLE: Final = "user:password"
"""As our own texts write an address that has credentials."""
_SHORTEST: Final = 3
"""Shorter values would mask ordinary words; such a password protects nothing anyway."""
_SHORTEST_PART: Final = 6
"""Characters of a secret that are taken for it: beside an ellipsis, the part that was left when the text was cut, of a
password in a URL what is between signs that end its host, and in base64 of more what is its own."""
_LONGEST_ESCAPE: Final = 6
"""Characters that one may take as an escape."""
_ELLIPSIS: Final = "…"
_MOST_CUTS: Final = 8
"""Ellipses that are looked at in one text, and places beside one where a part may begin."""


class _Form(NamedTuple):
    """``whole``: not only the beginning of a value. ``is_word``: as the password "postgres", a part of "postgresql"."""

    text: str
    whole: bool
    is_word: bool

    def within(self, text: str) -> Iterator[tuple[int, int]]:
        """Where it is to be masked in ``text``."""
        at = text.find(self.text)
        while at >= 0:
            end = at + len(self.text)
            if not (self.is_word and (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum())):
                yield at, end if self.whole else len(text)
            at = text.find(self.text, end)


class Redactor:
    """Knows the secret values of one probe run and removes them from texts.

    Values are added when they are read, before anything is done with them; what was added is dropped with the
    object. No pattern is compiled from them: ``re`` would keep it. A text takes time in proportion to its length
    and to the number of values, and both are bounded.
    """

    def __init__(self) -> None:
        self._called: dict[str, str] = {}
        self._values: set[str] = set()
        self._forms: dict[str, _Form] = {}

    def add(self, *values: str | None) -> None:
        """Remember ``values`` and the forms in which they travel: URL-decoded, base64, also of more than the value."""
        for value in values:
            held = (value or "")[:LONGEST_VALUE]
            if held in self._values or held.lower() in PUBLIC_VALUES or len(self._values) > MOST_VALUES:
                continue
            self._values.add(held)
            whole = len(held) < LONGEST_VALUE
            for form in _forms(held, whole=whole):
                if len(form) >= _SHORTEST:
                    is_word = form.isascii() and form.isalpha() and form.islower()
                    self._forms[form] = _Form(form, whole, is_word)

    def call(self, called: Iterable[tuple[str, str]]) -> None:
        """Remember texts that are not shown, which may hold anything, and what is said in their place."""
        self._called |= {text[:LONGEST_VALUE]: name for text, name in called}

    def text(self, text: str) -> str:
        """``text`` without secret values, credentials in URLs, maps as Go prints them, and control characters."""
        if len(self._values) > MOST_VALUES:
            return WITHHELD
        looked_at = text[:LONGEST_TEXT]
        for called, name in self._called.items():
            looked_at = looked_at.replace(called, name)
        looked_at = _without_maps(looked_at)
        spans = [*self._found(looked_at), *_credentials(looked_at)]
        shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", looked_at)
        if len(text) > LONGEST_TEXT:
            # What begins near the end may be the first part of a secret whose rest was cut off.
            length = max(0, LONGEST_TEXT - _LONGEST_ESCAPE * max(map(len, self._forms), default=0))
            length = max([length, *(end for start, end in spans if start < length)])
            shown, spans = f"{shown[:length]}{_ELLIPSIS}", [span for span in spans if span[1] <= length]
        return _masked(shown, spans)

    def tree(self, value: Any) -> Any:
        """A copy of JSON-like ``value`` with every text redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where ``text`` has a form of a value, escaped or not, or what is left of one beside an ellipsis."""
        escaped = tuple(views(text)) if self._forms else ()
        for form in self._forms.values():
            if form.text in text:
                yield from form.within(text)
            for view in escaped:
                if form.text in view.text:
                    for start, end in form.within(view.text):
                        yield view.starts[start], view.starts[end]
        for cut in islice(re.finditer(_ELLIPSIS, text), _MOST_CUTS):
            for secret in self._forms:
                if left := _left_of(secret, text[max(0, cut.start() - len(secret)) : cut.start()]):
                    yield cut.start() - left, cut.start()
                if left := _left_of(secret[::-1], text[cut.end() : cut.end() + len(secret)][::-1]):
                    yield cut.end(), cut.end() + left


def sensitive(values: Any) -> Iterator[str]:
    """The texts in JSON-like ``values`` that are secrets by the name of their key, or passwords in URLs.

    Not every value that came from a Secret: names of hosts and buckets are what findings must show.
    """
    if isinstance(values, Mapping):
        if isinstance(values.get("value"), str) and _SENSITIVE_KEY.search(str(values.get("name", ""))):
            yield values["value"]  # of an environment variable
        for key, value in values.items():
            if (
                isinstance(value, str | int)
                and not isinstance(value, bool)
                and _SENSITIVE_KEY.search(str(key))
                and key not in _NAMES_OF_KEYS
            ):
                yield str(value)
            else:
                yield from sensitive(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from sensitive(value)
    elif isinstance(values, str):
        yield from _passwords(values)


def of_secret(data: Mapping[str, str]) -> Iterator[str]:
    """The secret values among the ``data`` of a Secret: all but those whose key says host, port, user or the like."""
    for key, value in data.items():
        if not _PUBLIC_KEY.search(key):
            yield value
            yield from _passwords(value)


def _passwords(text: str) -> Iterator[str]:
    """Of a text that is a URL. What has signs that should have been quoted is taken apart by some who read it."""
    url = text[:LONGEST_TEXT]
    for start, end in user_info(url, whole=True):
        password = url[start:end].partition(":")[2] or url[start:end]
        yield password
        yield from (part for part in _SIGNS.split(password) if len(part) >= _SHORTEST_PART)
    for name, start, end in parameters(url):
        if _SENSITIVE_KEY.search(name):
            yield url[start:end]


_SIGNS: Final = re.compile("[/?#@:]")
_GO_MAP: Final = re.compile(r"\bmap\[")
_BRACKET: Final = re.compile(r"[\[\]]")
_WORD_END: Final = re.compile(r"[\s'\"`]|$")


def _credentials(text: str) -> Iterator[tuple[int, int]]:
    """Where ``text`` has them in URLs, known or not."""
    for start, end in user_info(text):
        if text[start:end] != _EXAMPLE:
            yield start, end
    for name, start, end in parameters(text):
        if _SENSITIVE_KEY.search(name):
            yield start, end


def _forms(value: str, *, whole: bool) -> Iterator[str]:
    for form in {value, unquote(value), " ".join(value.split())}:
        yield form
        if not form.isalpha():  # nobody's word
            yield form.lower()  # as a host
        yield form.replace(" ", "+")
        raw = form.encode(errors="surrogatepass")
        if whole:
            encoded = base64.b64encode(raw).decode()
            yield from (encoded, encoded.rstrip("="), encoded.replace("+", "-").replace("/", "_").rstrip("="))
        for before in range(3):
            yield from _within_base64(raw, before)


def _within_base64(raw: bytes, before: int) -> Iterator[str]:
    """The characters that base64 has of ``raw`` alone where ``before`` bytes, modulo 3, go before it."""
    encoded = base64.b64encode(bytes(before) + raw).decode()
    own = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
    if len(own) >= _SHORTEST_PART:
        yield from (own, own.replace("+", "-").replace("/", "_"))


def _left_of(form: str, text: str) -> int:
    """The length of the beginning of ``form`` that ``text`` ends with; 0 if that is too short to tell."""
    beginning = form[:_SHORTEST_PART]
    at = text.find(beginning)
    for _ in range(_MOST_CUTS):
        if at < 0 or len(beginning) < _SHORTEST_PART:
            break
        if form.startswith(text[at:]):
            return len(text) - at
        at = text.find(beginning, at + 1)
    return 0


def _without_maps(text: str) -> str:
    """``text`` without what Go prints of maps, as in ``map[key:value]``; a type, as in ``map[string]int``, stays."""
    if "map[" not in text:
        return text
    ends, opened = {}, []
    for bracket in _BRACKET.finditer(text):
        if bracket[0] == "[":
            opened.append(bracket.start())
        elif opened:
            ends[opened.pop()] = bracket.end()
    parts, done = [], 0
    for found in _GO_MAP.finditer(text):
        cut_off = next(_WORD_END.finditer(text, found.end())).start()
        end = ends.get(found.end() - 1, cut_off)
        if found.start() >= done and (":" in text[found.end() : end] or found.end() - 1 not in ends):
            parts += [text[done : found.start()], "a map"]
            done = end
    return "".join([*parts, text[done:]])


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    parts = []
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]])
