"""How one client of the platform connects to Redis."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mehc_checks.clients.redis.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason


class Path(StrEnum):
    """A path to Redis, by its client."""

    CACHE = "cache"
    BROKER = "broker"
    KEDA = "keda"


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """How one client connects to Redis, as the platform derives it. ``source`` is the value that names the address.

    ``problem`` is what was found without asking; without a ``server`` there is nothing to ask. ``means`` has what an
    answer of the server means here, by its reason; a Reason there takes the answer's own words. ``login`` is
    False where this process lacks the client's credentials, so that the server can only be reached. ``words`` narrow
    the words of what is found.
    """

    path: Path
    source: str
    component: str = ""
    """Who connects, where it does so otherwise than the gateway: "builder", "cacher"."""
    server: Server | None = None
    problem: Problem | None = None
    means: Mapping[Reason, Problem | Reason] = field(default_factory=dict)
    login: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    password_secret: str = ""
    """The secret of AWS that KEDA's password is from."""

    @property
    def name(self) -> str:
        """What it is called in findings."""
        return f"{self.path} of the {self.component}" if self.component else str(self.path)

    def of(self, component: str) -> "Connection":
        """The same of another component than the gateway."""
        named = replace(self, component=component)
        return replace(named, words={**self.words, "concerning": f"{named.name}: "})

    def is_as(self, other: "Connection | None") -> bool:
        """Whether both get to the same server in the same way, or not at all for the same reason."""
        if other is None:
            return False
        return (self.server, str(self.problem)) == (other.server, str(other.problem))
