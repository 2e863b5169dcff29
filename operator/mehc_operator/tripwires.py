"""Idle connections to the servers that checks ask: where one ends, those who use the server are told.

A connection that ends although its server is sound tells of nothing, so each such false alarm doubles the time until it
is held again. Where a server closes what is idle for a certain time, the connection is renewed before
(docs/adr/0008-tripwires.md).
"""

import asyncio
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from mehc_checks.clients.network.connect import places
from mehc_checks.clients.network.reasons import NetworkReasons, is_away
from mehc_checks.core.errors import Problem
from mehc_checks.core.wire import Address, NotHeld, Wire
from mehc_operator import metrics

log = logging.getLogger(__name__)

MOST: Final = 512
"""Connections at once."""
_FILES: Final = 16
"""Files that this process must be able to open for each of them: a session of PostgreSQL is four, and probes need some.
"""
_SWEEPING: Final = 30.0
"""Seconds after which connections are looked through for those that are not needed."""
_LOOKUP: Final = 10.0
"""Seconds between two resolutions of a name, at least."""
_LOOKUPS: Final = 4
"""Resolutions in one second, of all names together, at most."""
_AT_FIRST, _ALARMED, _LONGEST = 1.0, 15.0, 3600.0
"""Seconds until a connection is held again: after its first end, doubled by each false alarm, and at most."""
_DOWN: Final = 300.0
"""Seconds, at most, between two attempts to reach a server that is down."""
_RENEWED: Final = 0.75
"""A connection is renewed after this part of the time after which its server closes it."""
_SETTLED: Final = 10.0
"""Seconds after which a connection that was opened counts as held."""
_SHORTEST: Final = 40.0
"""Seconds: a server that closes earlier than that is not followed."""


class End(Enum):
    """What became of a connection."""

    CLOSED = auto()
    MOVED = auto()
    """The name leads elsewhere."""
    RENEWED = auto()
    NOT_OPENED = auto()
    GIVEN_UP = auto()


class Tripwires:
    """Connections held for the leader. ``lost`` is called in the event loop with the address of a server whose
    connection has ended, or that is back; ``users`` counts the resources that use each address.
    """

    def __init__(
        self,
        lost: Callable[[Address], None],
        users: Callable[[], Mapping[Address, int]],
        *,
        most: int = MOST,
    ) -> None:
        self._lost = lost
        self._users = users
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = most if files == resource.RLIM_INFINITY else min(most, files // _FILES)
        self._held: dict[Address, _Held] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def hold(self, wire: Wire, began: float) -> None:
        """Hold ``wire``, whose server a probe run that ``began`` then (monotonic seconds) has found sound, or away."""
        if held := self._held.get(wire.address):
            if not wire.away:
                held.found_sound(wire, began)
            return
        if len(self._held) >= self._most and not self._evict(wire.address):
            return
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep(), name="sweep of tripwires")
        self._held[wire.address] = _Held(wire, self._lost, self._between_lookups)

    async def stop(self) -> None:
        """Let go of all connections."""
        tasks = [held.task for held in self._held.values()]
        if self._sweeping is not None:
            tasks.append(self._sweeping)
        self._held, self._sweeping = {}, None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _between_lookups(self) -> float:
        return max(_LOOKUP, len(self._held) / _LOOKUPS)

    def _evict(self, address: Address) -> bool:
        """Make room for ``address`` by the connection that is of least use, where that is of less."""
        users = Counter(self._users())
        least = min(self._held.values(), key=lambda held: (held.is_open, users[held.wire.address]))
        if least.is_open and users[least.wire.address] >= users[address]:
            return False
        self._held.pop(least.wire.address).task.cancel()
        return True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEPING)
            for address in self._held.keys() - {address for address, count in self._users().items() if count}:
                self._held.pop(address).task.cancel()


class _Held:
    """One connection, opened again and again."""

    def __init__(
        self, wire: Wire, lost: Callable[[Address], None], between_lookups: Callable[[], float]
    ) -> None:
        self.wire = wire
        self._lost = lost
        self._between_lookups = between_lookups
        self._opened = asyncio.Event()
        self._leads_to = ""
        """The IP address."""
        self._since = 0.0
        self._told: End | None = None
        """The end that was told, and after which the server was not found sound yet."""
        self._told_at = 0.0
        self._lost_since = wire.away
        """Whether its users have known the server away since it was opened."""
        self._rejects = ""
        """How the server answered last that had been away, as a reason."""
        self._false_alarms = 0
        self._lasted = 0.0
        """Seconds for which the connection was open when it ended last."""
        self._closes_after = 0.0
        """Seconds for which it was open at the false alarm before, or 0."""
        self._renewal: float | None = None
        self._lookup = _LOOKUP
        self._failed = 0
        """Attempts to hold it since it was held."""
        self._wake = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"tripwire {wire.address}")

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    def found_sound(self, wire: Wire, began: float) -> None:
        """Take note that the server is sound, and of how it is connected to by now."""
        self.wire = wire
        if self._told is None or began < self._told_at:
            return
        told, self._told = self._told, None
        if self._failed:  # it was down
            self._wake.set()
        elif told is End.MOVED:
            self._lookup = min(self._lookup * 2, _LONGEST)
        elif told is End.CLOSED:
            self._learn()

    def _learn(self) -> None:
        """From a false alarm: when to hold the connection again, and after which time to renew it."""
        lasted, before = self._lasted, self._closes_after
        self._closes_after = lasted
        if lasted >= _SHORTEST and abs(lasted - before) <= max(2.0, before * 0.1):
            self._renewal, self._false_alarms = lasted * _RENEWED, 0
        elif self._pause() < _LONGEST:
            self._false_alarms += 1
            if self._pause() == _LONGEST:
                metrics.WIRES_GIVEN_UP.labels(kind=self.wire.address.kind).inc()

    def _pause(self) -> float:
        """Seconds until the connection is held again."""
        return min(_ALARMED * 2**self._false_alarms, _LONGEST) if self._false_alarms else _AT_FIRST

    async def _run(self) -> None:
        end = End.NOT_OPENED
        while True:
            before, end = end, await self._once()
            match end:
                case End.GIVEN_UP:
                    metrics.WIRES_GIVEN_UP.labels(kind=self.wire.address.kind).inc()
                    return
                case End.NOT_OPENED:
                    if before is End.RENEWED:
                        self._tell(End.CLOSED)
                    await self._retry()
                case End.CLOSED if self._told and self._lasted < _SETTLED:
                    await self._retry()
                case End.CLOSED:
                    self._tell(end)
                    self._failed = 0
                    if self._lasted >= _LONGEST:
                        self._false_alarms = 0
                    await self._sleep(self._pause())
                case End.MOVED:
                    self._tell(end)

    async def _retry(self) -> None:
        self._failed += 1
        await self._sleep(min(2.0 ** min(self._failed, 10), _DOWN))

    async def _once(self) -> End:
        """Open the connection, and hold it until it ends."""
        holding = asyncio.create_task(self.wire.hold(self._open))
        looking = asyncio.create_task(self._moved())
        try:
            done, _ = await asyncio.wait(
                {holding, looking}, timeout=self._renewal, return_when=asyncio.FIRST_COMPLETED
            )
            if looking in done:
                return End.MOVED
            if not done:
                return End.RENEWED if self.is_open else End.NOT_OPENED
            if isinstance(error := holding.exception(), NotHeld):
                return End.GIVEN_UP
            if error is not None:
                log.debug("%s is not held: %s", self.wire.address, type(error).__name__)
            if isinstance(error, Problem):
                self._rejected(error)
            return End.CLOSED if self.is_open else End.NOT_OPENED
        finally:
            self._close()
            for task in (holding, looking):
                task.cancel()
            await asyncio.gather(holding, looking, return_exceptions=True)

    def _open(self, leads_to: str) -> None:
        self._leads_to, self._since = leads_to, time.monotonic()
        self._opened.set()
        metrics.WIRES.labels(kind=self.wire.address.kind).inc()
        if self._lost_since and (self._failed or self._told is End.CLOSED or self.wire.away):
            log.info("%s accepts connections again", self.wire.address)
            self._lost(self.wire.address)
        self._lost_since, self._rejects = False, ""

    def _rejected(self, problem: Problem) -> None:
        """Tell of a server that was away and answers, if only that it starts, or rejects the login: once for each
        answer.
        """
        answer = "" if is_away(problem) else problem.reason.name
        if self._lost_since and answer not in ("", self._rejects):
            log.info("%s answers again: %s", self.wire.address, answer)
            self._lost(self.wire.address)
        self._rejects = answer

    def _close(self) -> None:
        if self.is_open:
            self._opened.clear()
            self._lasted = time.monotonic() - self._since
            metrics.WIRES.labels(kind=self.wire.address.kind).dec()

    def _tell(self, end: End) -> None:
        how = "its name leads elsewhere" if end is End.MOVED else "the connection that was held has ended"
        log.info("%s: %s", self.wire.address, how)
        metrics.WIRES_LOST.labels(kind=self.wire.address.kind, cause=end.name.lower()).inc()
        self._told, self._told_at, self._lost_since = end, time.monotonic(), True
        self._lost(self.wire.address)

    async def _sleep(self, seconds: float) -> None:
        """Less, where the server is found sound meanwhile that could not be reached."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _moved(self) -> None:
        """Return when the name no longer leads to where the connection does."""
        await self._opened.wait()
        if {host for host, _ in self.wire.address.places} == {self._leads_to}:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(max(self._lookup, self._between_lookups()))
            if not await self._leads_there():
                return

    async def _leads_there(self) -> bool:
        found = set()
        for host, port in self.wire.address.places:
            try:
                found |= {address for address, _ in await places(host, port, timeout=_LOOKUP)}
            except Problem as problem:
                if problem.reason is not NetworkReasons.HOST_UNRESOLVABLE:
                    return True  # it is not known
        return self._leads_to in found
