"""RedisReachable: cache, broker and KEDA each reach their Redis with the configured TLS and credentials."""

from collections.abc import Iterator
from datetime import timedelta

from mehc_checks.checks.redis.gather import RedisFacts, Refusal, WayFacts, redis_facts
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.outcome import Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.modelengine.redis import BROKER_SECRET, CACHE_FIELD, KEDA_AUTHENTICATION, Path, Trouble, Way

_EXPIRES_SOON = timedelta(days=14)
_ADDRESS = "Check the host and port of {source}, and the firewalls between the cluster and it."
_CREDENTIALS = (
    "Put the user and password that the server knows into {credentials}, then restart the pods that use it."
)


class RedisReasons(AwsReasons):
    """Reasons of RedisReachable."""

    REACHABLE = Reason(
        "RedisReachable", Status.PASS, "The way works with the configured TLS and credentials."
    )
    NO_SOURCE = Reason(
        "NoRedisConfigured",
        Status.FAIL,
        "No source of the address is set for this cloud; the gateway fails an assertion at its start.",
        "Set {wanted}.",
    )
    WRONG_CLOUD = Reason(
        "RedisSourceOfAnotherCloud",
        Status.FAIL,
        "A source of AWS is set on another cloud; the gateway fails an assertion at its start.",
        "Remove {source} and set the source of cloud {cloud}.",
    )
    SEVERAL_SOURCES = Reason(
        "SeveralRedisSources",
        Status.WARN,
        "Several sources of the cache's address are set; one wins, the others mislead.",
        "Keep {source} and remove the others.",
    )
    URL_UNPARSABLE = Reason(
        "RedisURLUnparsable",
        Status.FAIL,
        "The URL cannot be read by its client.",
        "{rewrite}",
    )
    TOKEN_UNREADABLE = Reason(
        "RedisTokenUnreadable",
        Status.FAIL,
        "The Secret of redis.authSecretName has no token to give.",
        "Create the Secret with the token as its only key.",
    )
    CLOUD_SECRET_UNUSABLE = Reason(
        "CloudSecretUnusable",
        Status.FAIL,
        "The secret of AWS Secrets Manager does not exist, is not what its reader expects, or lacks a field: gateway "
        "and builder end with an error at their start, KEDA goes on without a password.",
        "{mend}",
    )
    AZURE_TOKEN_NOT_EVALUATED = Reason(
        "AzureTokenNotEvaluated",
        Status.ERROR,
        "Name, network and certificate are sound; whether the pods' Entra token is accepted was not tried.",
        "Look at the gateway's log for AUTH errors; the identity needs the Data Contributor access policy.",
    )
    HOST_UNRESOLVABLE = Reason("HostUnresolvable", Status.FAIL, "The host's name has no address.", _ADDRESS)
    CONNECTION_REFUSED = Reason("ConnectionRefused", Status.FAIL, "Nothing listens on the port.", _ADDRESS)
    NO_ANSWER = Reason(
        "NoAnswer",
        Status.FAIL,
        "Packets vanish (a security group or firewall), or the server hangs.",
        _ADDRESS,
    )
    CONNECTION_FAILED = Reason("ConnectionFailed", Status.FAIL, "The connection broke.", _ADDRESS)
    NOT_REDIS = Reason("NotRedis", Status.FAIL, "Something else than Redis answers there.", _ADDRESS)
    TLS_REQUIRED = Reason(
        "TLSRequired", Status.FAIL, "The port speaks TLS and this client does not.", "{tls_on}"
    )
    TLS_NOT_OFFERED = Reason(
        "TLSNotOffered", Status.FAIL, "This client begins TLS and the port is plain.", "{tls_off}"
    )
    TLS_UNTRUSTED = Reason(
        "TLSUntrusted",
        Status.FAIL,
        "The certificate's authority is not trusted.",
        "Use a certificate of a public authority, or add the authority to the trust store of the platform's images.",
    )
    TLS_EXPIRED = Reason(
        "TLSExpired", Status.FAIL, "The certificate has expired.", "Renew the server's certificate."
    )
    TLS_WRONG_HOST = Reason(
        "TLSWrongHost",
        Status.FAIL,
        "The certificate is for other names.",
        "Use a name of the certificate in {source}, or issue it for this one.",
    )
    TLS_FAILED = Reason(
        "TLSFailed",
        Status.FAIL,
        "The handshake failed, perhaps for want of a client certificate.",
        "See the server's log.",
    )
    TLS_EXPIRES_SOON = Reason(
        "TLSExpiresSoon",
        Status.WARN,
        "The certificate expires within 14 days.",
        "Renew the server's certificate.",
    )
    AUTH_REQUIRED = Reason(
        "AuthRequired", Status.FAIL, "The server wants credentials and this client has none.", "{auth_on}"
    )
    AUTH_REJECTED = Reason("AuthRejected", Status.FAIL, "The user or the password is wrong.", _CREDENTIALS)
    AUTH_NOT_CONFIGURED = Reason(
        "AuthNotConfiguredOnServer",
        Status.FAIL,
        "A password is sent and the server knows none; it answers with an error.",
        "Set the password on the server, or remove it from {credentials}.",
    )
    AUTH_NOT_ENFORCED = Reason(
        "AuthNotEnforced",
        Status.WARN,
        "A password is configured, and the data can be read without it.",
        "Restrict the server's default user.",
    )
    PERMISSION_DENIED = Reason(
        "PermissionDenied",
        Status.FAIL,
        "The user's ACL forbids a command or a key that the platform uses.",
        "Allow the user the platform's commands and keys: ~* &* +@all, or at least what docs list.",
    )
    READ_ONLY = Reason(
        "ReadOnlyReplica",
        Status.FAIL,
        "The server is a replica and refuses writes.",
        "Use the primary's endpoint in {source}.",
    )
    CLUSTER_MODE = Reason(
        "ClusterMode",
        Status.FAIL,
        "The server is in cluster mode, which neither Celery nor the platform's clients speak.",
        "Use a Redis with cluster mode disabled.",
    )
    EVICTING_BROKER = Reason(
        "EvictingBroker",
        Status.WARN,
        "Under memory pressure the server evicts keys without a time to live: queued tasks vanish.",
        "Set maxmemory-policy noeviction, or a volatile- policy.",
    )
    DATABASE_INDEX = Reason(
        "DatabaseIndexOutOfRange",
        Status.FAIL,
        "The server has no database of that number.",
        "Use a lower number in {source}, or raise the server's databases.",
    )
    LOADING = Reason("Loading", Status.FAIL, "The server is loading its data.", "Wait until it has.")
    MISCONFIGURED = Reason(
        "WritesRefused",
        Status.FAIL,
        "The server cannot save and so refuses writes (MISCONF).",
        "Look at the server's disk and log; free space, or fix its permissions.",
    )
    OUT_OF_MEMORY = Reason(
        "OutOfMemory",
        Status.FAIL,
        "The server is at maxmemory and refuses writes (OOM).",
        "Give it more memory.",
    )
    TOO_MANY_CLIENTS = Reason(
        "TooManyClients",
        Status.FAIL,
        "The server is at maxclients.",
        "Raise maxclients, or find who leaks connections.",
    )
    SERVER_ERROR = Reason(
        "ServerError", Status.FAIL, "The server answered another error.", "See the server's log."
    )
    KEDA_ADDRESS = Reason(
        "KEDAAddressInvalid",
        Status.FAIL,
        "What the chart cuts out of the cache URL is no host:port, so KEDA cannot dial it.",
        "Write {source} with a port; with a password, as rediss:// (redis:// keeps it in the address).",
    )
    KEDA_AUTH_ELSEWHERE = Reason(
        "KEDAAuthUnavailable",
        Status.FAIL,
        "redis.enableAuth reads an AWS Secrets Manager secret, and this is not AWS: KEDA gets no credentials.",
        "Set redis.enableAuth: false and let the default user run LLEN and EVAL on launch-endpoint-autoscaling:*.",
    )
    KEDA_SECRET_UNNAMED = Reason(
        "KEDASecretUnnamed",
        Status.FAIL,
        "redis.enableAuth is on and redis.kedaSecretName is empty: the TriggerAuthentication names no secret.",
        "Set redis.kedaSecretName to the AWS Secrets Manager secret that holds the password.",
    )
    KEDA_SECRET_IS_JSON = Reason(
        "KEDASecretIsJSON",
        Status.FAIL,
        "The secret of redis.kedaSecretName is a JSON object; KEDA sends the whole of it as the password, which the "
        "server rejects.",
        "Write the bare password as the text of secret {secret}: the TriggerAuthentication names no key of it.",
    )
    KEDA_SECRET_UNPROVEN = Reason(
        "KEDASecretUnproven",
        Status.ERROR,
        "The cluster does not say that KEDA is given the secret that the values name, so it was not sent to the "
        "address that they name.",
        "Run the chart's upgrade, so that its TriggerAuthentication in the endpoint namespace names {secret}, or "
        "correct redis.kedaSecretName.",
    )
    KEDA_WITHOUT_PASSWORD = Reason(
        "KEDAWithoutPassword",
        Status.WARN,
        "KEDA finds no password in the secret of redis.kedaSecretName and goes on without; the server lets it.",
        "{mend}",
    )


R = RedisReasons


@check(
    "RedisReachable",
    title="redis accepts the configured TLS and credentials",
    severity=Severity.CRITICAL,
    gather=redis_facts,
    reasons=RedisReasons,
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="triggerauthentications", group="keda.sh", scope="endpoints"),
    ),
)
def redis_reachable(facts: RedisFacts) -> Outcome:
    """Judge each way, and what is odd about all of them."""
    findings = [*_sources(facts), *(finding for way in facts.ways for finding in _way(way, facts))]
    evidence: dict[str, str | int | float | bool | None] = {}
    for asked in facts.ways:
        name = str(asked.way.path)
        evidence[f"{name}Source"] = asked.way.source
        if asked.way.server:
            evidence[f"{name}Address"] = str(asked.way.server)
        if asked.latency_ms is not None:
            evidence[f"{name}LatencyMs"] = round(asked.latency_ms, 1)
        if asked.version:
            evidence[f"{name}Version"] = asked.version
        if asked.not_after:
            evidence[f"{name}CertificateExpires"] = asked.not_after.isoformat(timespec="seconds")
    if not any(asked.way.path is Path.BROKER for asked in facts.ways):
        evidence["broker"] = "not Redis"
    return Outcome.of(findings, evidence=evidence)


def _sources(facts: RedisFacts) -> Iterator[Finding]:
    if facts.token_problem:
        yield R.TOKEN_UNREADABLE.finding(f"broker: {facts.token_problem}", subject=str(Path.BROKER))
    used = next(asked.way.source for asked in facts.ways if asked.way.path is Path.CACHE)
    others = [path for path in facts.sources if path != used]
    if others and used:
        yield R.SEVERAL_SOURCES.finding(f"cache: {used} is used, {', '.join(others)} set too", source=used)


_TROUBLES = {
    Trouble.NO_SOURCE: (R.NO_SOURCE, "no address is configured for cloud {cloud}"),
    Trouble.WRONG_CLOUD: (R.WRONG_CLOUD, "{source} is set, and the cloud is {cloud}"),
    Trouble.UNPARSABLE: (R.URL_UNPARSABLE, "{source} cannot be read: {detail}"),
    Trouble.AZURE_TOKEN: (
        R.AZURE_TOKEN_NOT_EVALUATED,
        "{server} answers with a sound certificate; AUTH was not tried",
    ),
    Trouble.KEDA_ADDRESS: (R.KEDA_ADDRESS, "KEDA would dial {detail}, which is no host:port"),
    Trouble.KEDA_AUTH_ELSEWHERE: (
        R.KEDA_AUTH_ELSEWHERE,
        f"redis.enableAuth needs AWS Secrets Manager ({KEDA_AUTHENTICATION}), and the cloud is {{cloud}}",
    ),
    Trouble.KEDA_SECRET_UNPROVEN: (
        R.KEDA_SECRET_UNPROVEN,
        "{server} was reached; secret {secret} was not sent: {detail}",
    ),
    Trouble.KEDA_SECRET_UNNAMED: (
        R.KEDA_SECRET_UNNAMED,
        "redis.enableAuth is on, redis.kedaSecretName is empty",
    ),
}

_WANTED = {
    "aws": "config.values.launch.cache_redis_aws_url or cache_redis_aws_secret_name",
    "azure": "config.values.launch.cache_redis_azure_host",
    "gcp": "config.values.launch.cache_redis_gcp_url",
    "onprem": "config.values.launch.cache_redis_onprem_url",
}

_NETWORK = {
    N.HOST_UNRESOLVABLE: R.HOST_UNRESOLVABLE,
    N.CONNECTION_REFUSED: R.CONNECTION_REFUSED,
    N.CONNECTION_TIMEOUT: R.NO_ANSWER,
    N.SERVER_NOT_TLS: R.TLS_NOT_OFFERED,
    N.TLS_UNTRUSTED: R.TLS_UNTRUSTED,
    N.TLS_EXPIRED: R.TLS_EXPIRED,
    N.TLS_WRONG_HOST: R.TLS_WRONG_HOST,
    N.TLS_HANDSHAKE_FAILED: R.TLS_FAILED,
}

_REFUSED = {
    Refusal.NO_AUTH: (R.AUTH_REQUIRED, "wants credentials, and this client sends none"),
    Refusal.WRONG_PASSWORD: (R.AUTH_REJECTED, "rejected the password of user {user}"),
    Refusal.AUTH_NOT_CONFIGURED: (R.AUTH_NOT_CONFIGURED, "knows no password, and one is sent"),
    Refusal.NO_PERMISSION: (R.PERMISSION_DENIED, "does not let user {user} run {command}"),
    Refusal.DATABASE_INDEX: (R.DATABASE_INDEX, "has no database {db}"),
    Refusal.READ_ONLY: (R.READ_ONLY, "is a read-only replica"),
    Refusal.LOADING: (R.LOADING, "is loading its data"),
    Refusal.MISCONFIGURED: (R.MISCONFIGURED, "cannot save and refuses writes"),
    Refusal.OUT_OF_MEMORY: (R.OUT_OF_MEMORY, "is out of memory and refuses {command}"),
    Refusal.TOO_MANY_CLIENTS: (R.TOO_MANY_CLIENTS, "has no connection left"),
    Refusal.CLUSTER: (R.CLUSTER_MODE, "is in cluster mode"),
    Refusal.SPEAKS_TLS: (R.TLS_REQUIRED, "speaks TLS, and this client does not"),
    Refusal.NOT_REDIS: (R.NOT_REDIS, "does not answer as Redis does"),
    Refusal.OTHER: (R.SERVER_ERROR, "answered an error to {command}"),
}

_TLS_ON = {
    Path.CACHE: "Write rediss:// in {source}.",
    Path.BROKER: "Set redis.authSecretName: with a token the broker's client uses TLS.",
    Path.KEDA: "Set redis.enableTLS: true.",
}
_TLS_OFF = {
    Path.CACHE: "Write redis:// in {source}, or switch TLS on at the server.",
    Path.BROKER: "Remove redis.auth and redis.authSecretName, which force TLS, or switch TLS on at the server.",
    Path.KEDA: "Set redis.enableTLS: false, or switch TLS on at the server.",
}
_AUTH_ON = {
    Path.CACHE: "Put the user and password into {source}.",
    Path.BROKER: "Set redis.authSecretName to a Secret with the token.",
    Path.KEDA: "On AWS set redis.enableAuth: true and redis.kedaSecretName; elsewhere let the default user run "
    "LLEN and EVAL on launch-endpoint-autoscaling:*.",
}
_REWRITE = {
    Path.CACHE: "Write {source} as redis://host:6379/0.",
    Path.BROKER: "Correct {source}; special characters of a token are to be percent-encoded, or to be avoided.",
}
_KEPT_TLS_ON = "Write rediss:// as the scheme of {source}."
_KEPT_TLS_OFF = (
    "Write redis:// as the scheme of {source}, no ssl_ in its query_params; or switch TLS on at the server."
)
_KEPT_AUTH_ON = "Put auth_token into {source}."
"""For a broker in a secret."""

_MEND = {
    Path.CACHE: f"Write the secret {{secret}} as a JSON object with {CACHE_FIELD} (redis://host:6379/0), or correct "
    "cache_redis_aws_secret_name and default_region.",
    Path.BROKER: "Write the secret {secret} as a JSON object with scheme (redis:// or rediss://), host, port and where "
    "wanted auth_token and query_params (?ssl_cert_reqs=none), or correct redis_aws_secret_name and default_region.",
    Path.KEDA: "Write the bare password as the text of secret {secret}, in the region of KEDA's AWS_REGION, or correct "
    "redis.kedaSecretName and default_region.",
}


def _words(way: Way, cloud: str) -> dict[str, object]:
    """What messages and remedies of a way may say; ``source`` is where its address stands."""
    server, kept = way.server, way.source == BROKER_SECRET
    source = way.source
    if way.secret:
        source = f"secret {way.secret}" if kept else f"{CACHE_FIELD} of secret {way.secret}"
    credentials = source
    if way.path is Path.BROKER and not kept:
        credentials = "the Secret of redis.authSecretName"
    elif way.path is Path.KEDA:
        credentials = f"secret {way.password_secret}"
    secret = way.password_secret or way.secret
    return {
        "source": source,
        "credentials": credentials,
        "secret": secret,
        "mend": _MEND[way.path].format(secret=secret),
        "wanted": _WANTED.get(cloud, _WANTED["aws"]) if way.path is Path.CACHE else way.source,
        "cloud": cloud,
        "detail": way.detail,
        "server": server,
        "user": (server.username if server else "") or "default",
        "db": server.db if server else "",
        "rewrite": _REWRITE.get(way.path, "").format(source=source),
        "tls_on": (_KEPT_TLS_ON if kept else _TLS_ON[way.path]).format(source=source),
        "tls_off": (_KEPT_TLS_OFF if kept else _TLS_OFF[way.path]).format(source=source),
        "auth_on": (_KEPT_AUTH_ON if kept else _AUTH_ON[way.path]).format(source=source),
    }


def _way(asked: WayFacts, facts: RedisFacts) -> Iterator[Finding]:
    """The findings of one way; at least one."""
    way, server = asked.way, asked.way.server
    words = {**_words(way, facts.cloud), "command": asked.command or "the connection"}

    def found(reason: Reason, message: str) -> Finding:
        return reason.finding(f"{way.path}: {message}", subject=str(way.path), **words)

    where = f"{server.host}:{server.port}" if server else ""
    unusable = way.trouble is Trouble.SECRET_UNUSABLE
    if asked.network:
        yield found(_NETWORK.get(asked.network.reason, R.CONNECTION_FAILED), str(asked.network))
    elif way.failure:
        yield way.failure.finding(subject=str(way.path), concerning=f"{way.path}: secret {words['secret']}: ")
    elif unusable and (server is None or asked.refusal is Refusal.NO_AUTH):
        yield found(R.CLOUD_SECRET_UNUSABLE, f"secret {words['secret']} {way.detail}")
    elif asked.refusal is Refusal.WRONG_PASSWORD and way.trouble is Trouble.KEDA_SECRET_JSON:
        yield found(
            R.KEDA_SECRET_IS_JSON, f"{where} rejected the whole of secret {words['secret']} as password"
        )
    elif asked.refusal:
        reason, text = _REFUSED[asked.refusal]
        yield found(reason, f"{where} {text.format(**words)}")
    elif way.trouble in _TROUBLES:
        reason, text = _TROUBLES[way.trouble]
        yield found(reason, text.format(**words))
    elif asked.cluster:
        yield found(R.CLUSTER_MODE, f"{where} is in cluster mode")
    elif unusable:
        yield found(R.KEDA_WITHOUT_PASSWORD, f"secret {words['secret']} {way.detail}, and {where} wants none")
    else:
        yield found(R.REACHABLE, f"{server} works")
        yield from _oddities(asked, found_at=where)
    if asked.not_after and asked.not_after - facts.now < _EXPIRES_SOON and not asked.network:
        left = max(0, (asked.not_after - facts.now).days)
        yield found(R.TLS_EXPIRES_SOON, f"the certificate of {where} expires in {left} days")


def _oddities(asked: WayFacts, *, found_at: str) -> Iterator[Finding]:
    """What works and should not stay so."""
    path = asked.way.path
    if asked.open_to_all:
        yield R.AUTH_NOT_ENFORCED.finding(
            f"{path}: {found_at} answers without credentials too", subject=str(path)
        )
    if path is Path.BROKER and asked.max_memory and asked.policy.startswith("allkeys"):
        yield R.EVICTING_BROKER.finding(
            f"{path}: {found_at} has maxmemory-policy {asked.policy}", subject=str(path)
        )
