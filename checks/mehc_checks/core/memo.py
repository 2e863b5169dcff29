"""What was made of texts, so that the same text is worked on once."""

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 8 * 1024 * 1024
"""Bytes of all that one memo keeps."""
LARGEST: Final = 64 * 1024
"""Bytes of what was made of one text; more is made again each time."""
_OVERHEAD: Final = 200


class Memo(Generic[T]):
    """``make`` of a text, which makes the same of the same text; who asks gets a copy of his own.

    Nothing ends what is kept but that its place is needed: another text is another key. What ``make`` raises is not
    kept.
    """

    def __init__(self, make: Callable[[str], T], *, most: int = MOST) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self.size = 0
        """Bytes."""

    def __len__(self) -> int:
        return len(self._kept)

    def __call__(self, text: str) -> T:
        key = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        packed = self._kept.get(key)
        if packed is not None:
            self._kept.move_to_end(key)
            made: T = pickle.loads(packed)  # noqa: S301 - packed here
            return made
        made = self._make(text)
        packed = pickle.dumps(made)
        if len(packed) <= LARGEST:
            self._kept[key] = packed
            self.size += len(packed) + _OVERHEAD
            while self.size > self._most:
                _, gone = self._kept.popitem(last=False)
                self.size -= len(gone) + _OVERHEAD
        return made
