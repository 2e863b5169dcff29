"""What every client of a Redis server can be answered, declared once.

Words of a message: ``address`` (host:port), ``user``, ``db``, ``command``; ``concerning`` is what the asker was after,
with its colon ("cache: "). A check narrows ``source``, which names the address ("redisHost"), ``credentials``, which
names the password ("the Secret of redis.authSecretName"), and ``add_credentials``.
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

_CONCERNING: Final = {"concerning": ""}
_SOURCE: Final = {"concerning": "", "source": "the configured URL"}
_CREDENTIALS: Final = {"concerning": "", "credentials": "the client's configuration"}


class RedisServerReasons(ReasonSet):
    """The server was reached, and it did not do what was asked."""

    NOT_REDIS = Reason(
        "NotRedis",
        Status.FAIL,
        "The port is open, but what listens there is not a Redis server.",
        message="{concerning}{address} does not answer in the Redis protocol",
        remedy="Correct the host and port in {source}.",
        defaults=_SOURCE,
    )
    AUTH_REQUIRED = Reason(
        "AuthRequired",
        Status.FAIL,
        "The server requires a password and the client has none.",
        message="{concerning}{address} requires authentication, and the client has no credentials",
        remedy="{add_credentials}",
        defaults={"concerning": "", "add_credentials": "Add the server's user and password to the client."},
    )
    AUTH_REJECTED = Reason(
        "AuthRejected",
        Status.FAIL,
        "The server rejects the user or the password.",
        message="{concerning}{address} rejected the password of user {user}",
        remedy="Write the user and password that the server accepts into {credentials}, then restart the pods that "
        "use it.",
        defaults=_CREDENTIALS,
    )
    AUTH_NOT_CONFIGURED = Reason(
        "AuthNotConfiguredOnServer",
        Status.FAIL,
        "The client sends a password to a server that has none, and the server answers with an error.",
        message="{concerning}{address} has no password set, and the client sends one",
        remedy="Set a password on the server (requirepass), or remove it from {credentials}.",
        defaults=_CREDENTIALS,
    )
    PERMISSION_DENIED = Reason(
        "PermissionDenied",
        Status.FAIL,
        "The ACL of the Redis user denies a command, a key or a channel that its client uses.",
        message="{concerning}{address} denies user {user} {denied}{consequence}",
        remedy="Add {grant} to the ACL of Redis user {user} (ACL SETUSER {user} {grant}), and to the server's ACL file "
        "or user group.",
        defaults={"concerning": "", "consequence": ""},
    )
    READ_ONLY = Reason(
        "ReadOnlyReplica",
        Status.FAIL,
        "The server is a replica and rejects writes.",
        message="{concerning}{address} is a read-only replica",
        remedy="Use the address of the primary in {source}.",
        defaults=_SOURCE,
    )
    CLUSTER_MODE = Reason(
        "ClusterMode",
        Status.FAIL,
        "The server runs in cluster mode, which neither Celery nor model engine's clients support.",
        message="{concerning}{address} runs in cluster mode",
        remedy="Use a Redis server with cluster mode disabled in {source}.",
        defaults=_SOURCE,
    )
    DATABASE_INDEX = Reason(
        "DatabaseIndexOutOfRange",
        Status.FAIL,
        "The server has no database of that number.",
        message="{concerning}{address} has no database {db}",
        remedy="Use a database number from 0 to 15 in {source}, or raise databases in the server's configuration.",
        defaults=_SOURCE,
    )
    LOADING = Reason(
        "Loading",
        Status.FAIL,
        "The server started recently and is loading its data set into memory.",
        message="{concerning}{address} is loading its data set into memory",
        remedy="Wait until the server has loaded its data set (redis-cli INFO persistence: loading:0).",
        defaults=_CONCERNING,
    )
    WRITES_REJECTED = Reason(
        "WritesRejected",
        Status.FAIL,
        "The server rejects writes because its last snapshot failed (MISCONF).",
        message="{concerning}{address} rejects writes: its last snapshot (BGSAVE) failed",
        remedy="Check the server's log; free disk space or correct the permissions of its data directory.",
        defaults=_CONCERNING,
    )
    OUT_OF_MEMORY = Reason(
        "MaxMemoryReached",
        Status.FAIL,
        "The server has reached maxmemory and rejects writes (OOM).",
        message="{concerning}{address} has reached maxmemory and rejects {command}",
        remedy="Raise maxmemory, or the memory of the server at {address}.",
        defaults=_CONCERNING,
    )
    TOO_MANY_CLIENTS = Reason(
        "TooManyClients",
        Status.FAIL,
        "The server has reached maxclients.",
        message="{concerning}{address} has reached maxclients and closes new connections",
        remedy="Raise maxclients, or find the client that leaks connections (redis-cli CLIENT LIST).",
        defaults=_CONCERNING,
    )
    SERVER_ERROR = Reason(
        "RedisError",
        Status.FAIL,
        "The server answered with an error that has no reason of its own.",
        message="{concerning}{address} returned an error for {command}",
        remedy="Check the log of the Redis server at {address}.",
        defaults=_CONCERNING,
    )
