"""Who this process is to AWS, and the clients it has made: in threads, shared, bounded."""

import os
import threading
import time
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from mehc_checks.clients.aws.bounded import BoundedSession
from mehc_checks.clients.aws.dialing import restrict

METADATA_ADDRESS: Final = "169.254.169.254"
"""Where an EC2 instance finds its credentials, and where outside EC2 nothing answers."""

_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 4
_METADATA_SECONDS: Final = 1


class Wanted(NamedTuple):
    """What tells one client from another."""

    service: str
    region: str | None
    endpoint: str | None
    ca: str | None


class Identity:
    """Who this process is to AWS, and its clients: making one takes a tenth of a second and some megabytes.

    Files of configuration and credentials are read again after a while; roles renew their credentials in any case.
    """

    KEPT_SECONDS: Final = 900
    NONE_SECONDS: Final = 5
    """For so long credentials are not looked for again: where there are none, looking takes two seconds."""
    MOST: Final = 32

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: Any = None
        self._since = 0.0
        self._none_until = 0.0
        self.clients: OrderedDict[Wanted, Any] = OrderedDict()

    def client(self, wanted: Wanted) -> Any:
        """A client, which threads may share; making them, they may not. Raises what botocore raises."""
        from botocore.exceptions import NoCredentialsError

        with self._lock:
            now = time.monotonic()
            if self._session is None or now - self._since > self.KEPT_SECONDS:
                self._forget()
                self._session, self._since = _session(), now
            if now < self._none_until:
                raise NoCredentialsError
            if self._session.get_credentials() is None:
                self._none_until = time.monotonic() + self.NONE_SECONDS
                raise NoCredentialsError
            if wanted not in self.clients:
                self.clients[wanted] = _client(self._session, wanted)
            self.clients.move_to_end(wanted)
            if len(self.clients) > self.MOST:
                self.clients.popitem(last=False)
            return self.clients[wanted]

    def forget(self) -> None:
        """Look for credentials again next time."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._session = None
        self.clients.clear()


_IDENTITIES: Final[dict[tuple[tuple[str, str], ...], Identity]] = {}
"""By the variables that configure AWS's clients, which in a pod are always the same."""


def current() -> Identity:
    """The identity that the environment of this process configures."""
    environment = tuple(
        sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    )
    return _IDENTITIES.setdefault(environment, Identity())


def asks_metadata() -> bool:
    """Whether credentials are looked for at ``METADATA_ADDRESS`` too."""
    return os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"


def _session() -> Any:
    import boto3
    from botocore.session import Session

    session = Session()
    # outside AWS nothing answers at the instance metadata address: never wait for it
    session.set_config_variable("metadata_service_timeout", _METADATA_SECONDS)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return boto3.Session(botocore_session=session)


def _client(session: Any, wanted: Wanted) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"} if wanted.endpoint else None,
    )
    client = session.client(
        wanted.service,
        region_name=wanted.region,
        endpoint_url=wanted.endpoint,
        verify=wanted.ca,
        config=config,
    )
    # botocore offers no other way to a session of one's own
    endpoint = client._endpoint
    session = endpoint.http_session
    endpoint.http_session = BoundedSession(session, seconds=_READ_SECONDS)
    if wanted.endpoint:
        restrict(session)
    return client
