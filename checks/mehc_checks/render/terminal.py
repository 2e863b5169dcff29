"""How text is laid out for people: width, colors, and marks that the stream can carry."""

import os
import shutil
import textwrap
from dataclasses import dataclass
from typing import Final, TextIO

from mehc_checks.core.outcome import Severity, Status

WIDEST: Final = 110
"""Columns of a line at most: longer ones are tiring to read, however wide the window."""
_NARROWEST: Final = 40
_MARKS: Final = {Status.PASS: "√", Status.WARN: "‼", Status.FAIL: "×", Status.ERROR: "?", Status.SKIP: "-"}
_PLAIN_MARKS: Final = {
    Status.PASS: "+",
    Status.WARN: "!",
    Status.FAIL: "x",
    Status.ERROR: "?",
    Status.SKIP: "-",
}
_COLORS: Final = {
    Status.PASS: "32",
    Status.WARN: "33",
    Status.FAIL: "31",
    Status.ERROR: "35",
    Status.SKIP: "90",
    Severity.CRITICAL: "31",
    Severity.HIGH: "31",
    Severity.WARNING: "33",
    Severity.INFO: "36",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """``color``: ANSI colors; ``plain``: nothing but ASCII; ``width``: columns of a line."""

    color: bool = False
    plain: bool = False
    width: int = WIDEST

    @classmethod
    def of(cls, stream: TextIO) -> "Style":
        """What ``stream`` can show: colors on a terminal, unless NO_COLOR or TERM=dumb; marks by its encoding."""
        terminal = stream.isatty()
        color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        try:
            "".join((*_MARKS.values(), _ARROW, "…")).encode(stream.encoding or "ascii")
            plain = False
        except (UnicodeEncodeError, LookupError):
            plain = True
        asked = terminal or "COLUMNS" in os.environ
        width = min(WIDEST, max(_NARROWEST, shutil.get_terminal_size().columns)) if asked else WIDEST
        return cls(color=color, plain=plain, width=width)

    def mark(self, status: Status) -> str:
        """The sign of ``status``."""
        return self.colored((_PLAIN_MARKS if self.plain else _MARKS)[status], status)

    def colored(self, text: str, what: Status | Severity) -> str:
        """``text`` in the color of ``what``."""
        return f"\x1b[{_COLORS[what]}m{text}\x1b[0m" if self.color else text

    @property
    def arrow(self) -> str:
        """What a remedy begins with."""
        return "->" if self.plain else _ARROW

    def wrapped(self, text: str, first: str, rest: str | None = None) -> list[str]:
        """``text`` in lines of at most ``width`` columns; ``rest`` indents all but the first, None: as ``first``."""
        if self.plain:
            text = text.encode("ascii", "replace").decode()
        return textwrap.wrap(
            text,
            width=self.width,
            initial_indent=first,
            subsequent_indent=first if rest is None else rest,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first.rstrip()]

    def remedy(self, text: str, indent: str) -> list[str]:
        """A remedy, behind its arrow."""
        head = f"{indent}{self.arrow} "
        return self.wrapped(text, head, " " * len(head))


_ARROW: Final = "→"
