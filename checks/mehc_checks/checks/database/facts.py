"""What DatabaseMigrated judges, and its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from mehc_checks.clients.postgres.server import Server
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.parameters import TripwireParameters
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.database import Database, Role
from mehc_checks.modelengine.pools import Pools
from mehc_checks.modelengine.versions import UNDETECTED, Platform


class DatabaseParameters(TripwireParameters):
    """Parameters of DatabaseMigrated."""

    expected_revision: str = Field(
        default=schema.HEAD,
        pattern=r"^[0-9a-z]{1,32}$",
        description="The Alembic revision that the deployed platform expects.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What the session saw. ``tables`` and ``columns`` are full names: "schema.table", "schema.table.column"."""

    server_version: int
    in_recovery: bool
    read_only: bool
    max_connections: int
    """Those that this user may open: without what is reserved, and within the limits of role and database."""
    connections: int | None
    schemas: frozenset[str]
    tables: frozenset[str]
    columns: frozenset[str]
    denied: tuple[str, ...]
    """Schemas and tables that exist and that the role may not use."""
    has_version_table: bool
    revisions: tuple[str, ...]
    """What the version table holds; empty too when the role may not read it."""
    cannot_create_in: tuple[str, ...] = ()
    """Of the database and schema public, where the role has no CREATE, which the first migration needs."""
    not_owned: tuple[str, ...] = ()
    """Tables that the role does not own, so that it cannot alter them."""
    locked: tuple[str, ...] = ()
    """Tables for a lock on which sessions wait for long."""
    holders: tuple[int, ...] = ()
    """The server's processes that these sessions wait for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """A session with ``server``: either ``found`` is what the schema looks like, or ``problem`` why it is not known."""

    server: Server
    problem: Problem | None = None
    found: Schema | None = None
    pooled: bool = False
    """Whether a pooler stands between."""
    breaks_statements: bool = False
    latency_ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The revision that migrations of ``platform`` are expected to reach; ``given`` where a parameter says so."""

    revision: str = schema.HEAD
    given: bool = False
    platform: Platform = UNDETECTED

    @property
    def is_newer(self) -> bool:
        """Whether the platform may have migrations that are not known, and no parameter says which."""
        return self.platform.is_newer and not self.platform.has_known_images and not self.given

    @property
    def least(self) -> str:
        """The revision that the platform needs at least, "" where that is not known."""
        return self.revision if self.given else self.platform.least_revision


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """Builder or cacher, which by its own environment does not get to the gateway's database as the gateway does.

    ``problem`` is why it has none; else ``database`` and ``probe`` are its writer's.
    """

    component: str
    workload: str
    problem: Problem | None = None
    database: Database | None = None
    probe: Probe | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """``problem`` is why no URL is known; else ``database`` has the platform's sessions, ``probes`` ours by role.

    Where both roles connect to the same, only the writer has a probe. ``unseen`` is why the live environment of the
    pods is not known, so that the URL is the one of the values.
    """

    expected: Expected
    pools: Pools
    unusable_settings: tuple[str, ...] = ()
    shadowed: str = ""
    """The cloud's secret that is named beside a Kubernetes Secret, and ignored."""
    problem: Problem | None = None
    database: Database | None = None
    probes: Mapping[Role, Probe] = field(default_factory=dict)
    unseen: CannotEvaluate | None = None
    others: tuple[Other, ...] = ()
