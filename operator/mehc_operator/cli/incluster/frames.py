"""How a command in a pod sends what it prints: numbered lines, so that a lost, repeated or cut one is noticed.

An exec stream ends without a word when a connection breaks, and a pod's log mixes standard output with standard error,
cuts long lines, and may be read again from its start. Each line here is one JSON object: ``mehc``, its number from 0,
and one of ``version`` (the first), ``out``, ``err``, ``alive`` (nothing to say yet) and ``status`` (the last).
"""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

_TEXT: Final = 2000
"""Characters in one frame: escaped, they stay below the 16 KiB at which container runtimes split a line of a log."""
_BEAT: Final = 5.0
"""Seconds after which a command that has nothing to print says that it is alive."""
SILENCE: Final = 120.0
"""Seconds without a frame after which a command counts as dead."""


class Sender:
    """Writes frames to ``stream``, which no one else writes to."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._number = 0

    def send(self, **what: Any) -> None:
        with self._lock:
            line = json.dumps({"mehc": self._number, **what}, ensure_ascii=False)
            self._stream.write(line.encode(errors="replace") + b"\n")
            self._stream.flush()
            self._number += 1

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Say every few seconds that the command is alive."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_BEAT):
                self.send(alive=True)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Stream(io.TextIOBase):
    """A text stream whose text goes out as frames of one ``kind``; a terminal where ``color``."""

    def __init__(self, sender: Sender, kind: str, *, color: bool, plain: bool) -> None:
        self._sender = sender
        self._kind = kind
        self._color = color
        self._plain = plain

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "ascii" if self._plain else "utf-8"

    def isatty(self) -> bool:
        return self._color

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for start in range(0, len(text), _TEXT):
            self._sender.send(**{self._kind: text[start : start + _TEXT]})
        return len(text)


@dataclass(kw_only=True, slots=True)
class Receiver:
    """Reads frames and passes on what they carry, each once. ``status`` is None until the last one has come.

    ``foreign`` is the last line that was none: what a program says that does not know frames.
    """

    out: Callable[[str], object]
    err: Callable[[str], object]
    version: str = ""
    status: int | None = None
    foreign: str = ""
    _next: int = 0
    _rest: bytes = b""

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._next

    def feed(self, data: bytes) -> None:
        """Bytes as they come, cut anywhere."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.line(line)

    def line(self, line: bytes) -> None:
        """One line. A frame that was seen before is passed over, and so is one after a gap: its turn comes later."""
        frame = _frame(line)
        if frame is None:
            if text := line.decode(errors="replace").strip():
                self.foreign = text
            return
        if frame["mehc"] != self._next:
            return
        self._next += 1
        self.version = frame.get("version", self.version)
        if "out" in frame:
            self.out(frame["out"])
        if "err" in frame:
            self.err(frame["err"])
        self.status = frame.get("status", self.status)


def _frame(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("mehc"), int) else None
