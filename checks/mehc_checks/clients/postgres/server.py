"""What a client needs in order to open a session. Pure: nothing is asked here."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server, a database of it and who asks. ``options`` are libpq's parameters, such as ``sslmode``.

    ``others`` are further hosts and ports, tried in their order where the first does not answer.
    """

    host: str
    port: int
    others: tuple[tuple[str, int], ...] = ()
    database: str
    user: str
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """ "host:port", or several of them with commas."""
        return ",".join(f"{host}:{port}" for host, port in self.places)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """All hosts and ports."""
        return ((self.host, self.port), *self.others)

    def __str__(self) -> str:
        return f"{self.address}/{self.database}"
