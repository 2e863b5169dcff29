"""What a client needs in order to open a session. Pure: nothing is asked here."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server, a database of it and who asks. ``options`` are libpq's parameters, such as ``sslmode``."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """ "host:port"."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.address}/{self.database}"
