"""What RedisReachable can find."""

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.reasons import CertificateReasons, NetworkReasons
from mehc_checks.clients.redis.reasons import RedisServerReasons
from mehc_checks.core.outcome import Reason, Status
from mehc_checks.installation.reasons import EnvironmentReasons
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons
from mehc_checks.modelengine.secrets import CloudSecretReasons


class RedisReasons(
    AwsReasons,
    CertificateReasons,
    NetworkReasons,
    RedisServerReasons,
    CloudSecretReasons,
    EnvironmentReasons,
    RedisConnectionReasons,
):
    """Reasons of RedisReachable."""

    REACHABLE = Reason(
        "RedisReachable",
        Status.PASS,
        "The connection works with the configured TLS and credentials.",
        message="{path}: {server} is reachable",
    )
    SEVERAL_SOURCES = Reason(
        "SeveralRedisSources",
        Status.WARN,
        "Several values name an address of the cache; one is used, the others are ignored.",
        message="cache: {source} is used, and {others} is ignored",
        remedy="Keep {source}, and set {others} to null.",
    )
    AUTH_NOT_ENFORCED = Reason(
        "AuthNotEnforced",
        Status.WARN,
        "A password is configured, and the data can be read without it.",
        message="{path}: {address} can be read without the configured password",
        remedy="Set a password for the server's default user (requirepass), or restrict it: ACL SETUSER default off.",
    )
    EVICTING_BROKER = Reason(
        "EvictingBroker",
        Status.WARN,
        "Under memory pressure the server evicts keys that have no time to live: queued tasks are lost.",
        message="broker: {address} has maxmemory-policy {policy}, which evicts queued tasks",
        remedy="Set maxmemory-policy to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction).",
    )
