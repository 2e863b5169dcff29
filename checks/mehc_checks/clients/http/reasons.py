"""What every HTTP client can find."""

from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason, Status


class HttpReasons(NetworkReasons):
    """What an HTTP client can find: what every client of a network can, and one thing more."""

    SERVER_NOT_HTTP = Reason(
        "ServerNotHTTP",
        Status.FAIL,
        "The port is open, but what it sends is not HTTP.",
        message="{address} does not speak HTTP{detail}",
        remedy="Correct the host and port in {source}.",
        defaults={"source": "the configured address", "detail": ""},
    )
