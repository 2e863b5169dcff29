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
    PRIMARY_LOST = Reason(
        "ReplicaWithoutPrimary",
        Status.FAIL,
        "The server is a replica that has lost its primary, and does not serve stale data (MASTERDOWN).",
        message="{concerning}{address} is a replica whose link to its primary is down",
        remedy="Use the address of the primary in {source}, or restore replication (redis-cli INFO replication: "
        "master_link_status).",
        defaults=_SOURCE,
    )
    REPLICAS_MISSING = Reason(
        "TooFewReplicas",
        Status.FAIL,
        "The server rejects writes because fewer replicas are connected than min-replicas-to-write (NOREPLICAS).",
        message="{concerning}{address} rejects writes: fewer replicas are connected than min-replicas-to-write",
        remedy="Start the replicas again (redis-cli INFO replication: connected_slaves), or lower "
        "min-replicas-to-write: redis-cli CONFIG SET min-replicas-to-write 0.",
        defaults=_CONCERNING,
    )
    SENTINEL = Reason(
        "SentinelAddress",
        Status.FAIL,
        "The address is that of a Redis Sentinel, which only tells where the primary is; model engine's clients do not "
        "ask it.",
        message="{concerning}{address} is a Redis Sentinel and holds no data",
        remedy="Use the address of the primary in {source}, best a Service that follows it: redis-cli SENTINEL "
        "get-master-addr-by-name NAME.",
        defaults=_SOURCE,
    )
    PROTECTED_MODE = Reason(
        "ProtectedMode",
        Status.FAIL,
        "The server has no password and runs in protected mode, so it admits clients of its own host only.",
        message="{concerning}{address} runs in protected mode: without a password it admits only its own host",
        remedy="Set a password on the server (requirepass) and in the client, or set protected-mode no where the "
        "network alone protects it.",
        defaults=_CONCERNING,
    )
    COMMAND_DISABLED = Reason(
        "CommandDisabled",
        Status.FAIL,
        "The server does not know a command that the client uses: it was renamed or disabled, or the product lacks it.",
        message="{concerning}{address} does not have the command {command}",
        remedy="Enable {command} on the server (rename-command in redis.conf, disabled commands of the provider).",
        defaults=_CONCERNING,
    )
    SCRIPT_RUNNING = Reason(
        "ScriptRunning",
        Status.FAIL,
        "A script runs for longer than busy-reply-threshold, and the server answers nothing else (BUSY).",
        message="{concerning}{address} is busy running a script and rejects {command}",
        remedy="Stop the script: redis-cli SCRIPT KILL (if it has written: SHUTDOWN NOSAVE), and find its client.",
        defaults=_CONCERNING,
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
