"""How a check is declared, and the catalogue of all that are.

A check is a pure function of gathered facts::

    @check("RedisReachable", title="Redis is reachable with the configured TLS and credentials", ...)
    def redis_reachable(facts: RedisFacts) -> Outcome: ...

Its room, a folder of ``mehc_checks.checks``, has the judgement in ``check.py`` and in ``gather.py`` the coroutine
function ``gather(context)``, which returns the facts. Adding a check is adding a room; removing the room removes the
check, its condition, its metric and its page.
"""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mehc_checks.core.outcome import Outcome, Reason, ReasonSet, Severity
from mehc_checks.core.parameters import NoParameters, Parameters
from mehc_checks.core.permission import Permission
from mehc_checks.core.wire import Kind

if TYPE_CHECKING:  # it knows every client; whoever lists checks asks no server
    from mehc_checks.installation.context import Context

F = TypeVar("F")


class Scope(IntEnum):
    """What a check is about: of two causes that weigh the same, the one that more depends on is named first."""

    CONFIGURATION = 0
    DATABASE = 1
    REDIS = 2
    """And the broker."""
    CONTROL_PLANE = 3
    PART = 4
    """Nodes, images, scaling and the object store: endpoints need them, the API does not."""
    ENDPOINTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One declared check. ``name`` is also the type of its condition."""

    name: str
    title: str
    severity: Severity
    gather: Callable[["Context"], Awaitable[Any]]
    judge: Callable[[Any], Outcome]
    reasons: type[ReasonSet]
    scope: Scope = Scope.PART
    parameters: type[Parameters] = NoParameters
    permissions: tuple[Permission, ...] = ()
    follows_nodes: bool = False
    asks: frozenset[Kind] = frozenset()

    @property
    def follows(self) -> frozenset[tuple[str, str]]:
        """Group and resource of the objects whose changes ask for the check."""
        return frozenset((each.group, each.resource) for each in self.permissions if each.followed)

    @property
    def watches(self) -> frozenset[tuple[str, str]]:
        """Group and resource of the objects that are watched for it: those, and others that are not read again."""
        return self.follows | {(each.group, each.resource) for each in self.permissions if each.watched}

    @property
    def docs(self) -> str:
        """The check's page, relative to the project's root."""
        return f"docs/checks/{self.name}.md"

    def docs_of(self, reason: Reason) -> str:
        """The place that explains ``reason``, relative to the project's root: a page and an anchor in it."""
        return f"{reason.page or self.docs}#{reason.anchor}"


ROOMS: Final = "mehc_checks.checks"
"""The package of the rooms."""
_REGISTRY: dict[str, Check] = {}


def check(
    name: str,
    *,
    title: str,
    severity: Severity,
    reasons: type[ReasonSet],
    scope: Scope = Scope.PART,
    parameters: type[Parameters] = NoParameters,
    permissions: tuple[Permission, ...] = (),
    follows_nodes: bool = False,
    asks: Iterable[Kind] = (),
) -> Callable[[Callable[[F], Outcome]], Callable[[F], Outcome]]:
    """Declare the decorated judgement as a check.

    ``title`` is an assertion in lower case that is true when the check passes. ``follows_nodes``: the operator runs it
    again when a node changes, not only when its interval is over, and when a connection ends that it holds to a server
    of the kinds that the check ``asks``. Raises ValueError on a name declared twice.
    """

    def declare(judge: Callable[[F], Outcome]) -> Callable[[F], Outcome]:
        if name in _REGISTRY:
            raise ValueError(f"check {name} is declared twice")
        _REGISTRY[name] = Check(
            name=name,
            title=title,
            severity=severity,
            scope=scope,
            gather=_of_room(judge),
            judge=judge,
            reasons=reasons,
            parameters=parameters,
            permissions=permissions,
            follows_nodes=follows_nodes,
            asks=frozenset(asks),
        )
        return judge

    return declare


def _of_room(judge: Callable[[F], Outcome]) -> Callable[["Context"], Awaitable[F]]:
    """``gather`` of the room of ``judge``, imported when it is first needed: what only lists checks asks no server."""
    room = judge.__module__.rpartition(".")[0]

    async def gather(context: "Context") -> F:
        facts: F = await importlib.import_module(f"{room}.gather").gather(context)
        return facts

    return gather


def load(checks: Iterable[Check]) -> None:
    """Import what ``checks`` gather with, so that no check's own time is spent on that.

    What cannot be imported raises when its check gathers, and is that check's alone.
    """
    for item in checks:
        room = item.judge.__module__.rpartition(".")[0]
        if room.startswith(f"{ROOMS}."):
            with suppress(Exception):
                importlib.import_module(f"{room}.gather")


def catalogue() -> dict[str, Check]:
    """All checks by name, in the order of their names."""
    package = importlib.import_module(ROOMS)
    for room in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{room.name}.check")
    return dict(sorted(_REGISTRY.items()))
