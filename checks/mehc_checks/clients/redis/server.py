"""Where and how a client connects to a Redis server."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server and the credentials of a client; "" for none. ``verify`` is whether it checks the certificate."""

    host: str
    port: int
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    verify: bool = True

    def __str__(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.db}"
