"""Images that registries had with all of their blobs, so that not each probe run asks for every blob again."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from mehc_checks.clients.registry.keyring import Login

SECONDS: Final = 3600.0
"""After these every blob is asked for again: registries lose some without a change of the manifest."""
MOST: Final = 4096
"""Images of one architecture."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of an image of one architecture that was whole. ``size`` is in bytes."""

    size: int
    platform: str
    created: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """One manifest, as one login was shown it. A login that is issued again for each run is told by its source."""

    host: str
    repository: str
    digest: str
    login: bytes

    @classmethod
    def of(cls, host: str, repository: str, digest: str, login: Login | None) -> Self:
        known = ""
        if login is not None:
            known = f"{login.username}\0{login.password}" if login.secret else f"\0{login.source}"
        return cls(host, repository, digest, hashlib.sha256(known.encode(errors="surrogatepass")).digest())


class Completed:
    """For all resources of a process. It can only confirm: what is not whole is not kept."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[Whole, float]] = OrderedDict()
        self._is_asked = True

    def unasked(self) -> "Completed":
        """The same, which is told of what is whole, and says of nothing that it is: for a run in doubt."""
        other = Completed(clock=self._clock)
        other._kept = self._kept
        other._is_asked = False
        return other

    def recall(self, key: Key) -> Whole | None:
        """What was whole less than ``SECONDS`` ago."""
        whole, since = self._kept.get(key, (None, 0.0))
        return whole if self._is_asked and self._clock() - since < SECONDS else None

    def keep(self, key: Key, whole: Whole) -> None:
        self._kept[key] = whole, self._clock()
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def drop(self, key: Key) -> None:
        """There is a doubt about it."""
        self._kept.pop(key, None)
