"""DatabaseMigrated: the gateway's database is reachable and its schema is at the expected revision."""

from collections.abc import Iterator

from pydantic import Field

from mehc_checks.checks.database.gather import DatabaseFacts, Refusal, Schema, database_facts
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.outcome import Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.parameters import Parameters
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import schema
from mehc_checks.modelengine.database import CLOUD_FIELDS, DOCUMENTED_KEY, SECRET_KEY, SourceKind

_OPEN_THE_WAY = (
    "Check the host and port in the Secret's database_url, and the firewalls between the cluster and it."
)
_TLS = "Make sslmode in database_url agree with what the server offers and with the certificates the image trusts."
_MIGRATE = "Set db.runDbMigrationScript: true and run helm upgrade."


class DatabaseReasons(AwsReasons):
    """Reasons of DatabaseMigrated."""

    AT_HEAD = Reason("SchemaAtHead", Status.PASS, "The schema is at the expected revision and complete.")
    CLOUD_SECRET_NOT_READ = Reason(
        "CloudSecretNotRead",
        Status.ERROR,
        "The address of the database is in a secret of Azure or GCP, which only the pods' identity can read.",
        "Look at the secret yourself, or name a Kubernetes Secret in secrets.kubernetesDatabaseSecretName.",
    )
    CLOUD_SECRET_UNUSABLE = Reason(
        "CloudSecretUnusable",
        Status.FAIL,
        "The secret of AWS Secrets Manager does not exist, is not JSON, or lacks a field: the platform goes on with a "
        "URL full of None.",
        "Write the secret {secret} as a JSON object with username, password, clusterHost, port and dbname, or correct "
        "secrets.cloudDatabaseSecretName and default_region.",
    )
    NOT_CONFIGURED = Reason(
        "DatabaseNotConfigured",
        Status.FAIL,
        "Nothing names a database, so a gateway on premises or on GCP tries localhost:5432.",
        "Set secrets.kubernetesDatabaseSecretName to a Secret with the key database_url.",
    )
    SECRET_NOT_FOUND = Reason(
        "SecretNotFound",
        Status.FAIL,
        "The Secret that the values name does not exist; the gateway's pods stay in CreateContainerConfigError.",
        "Create Secret {secret} in namespace {namespace} with the key database_url.",
    )
    KEY_NOT_FOUND = Reason(
        "SecretKeyNotFound",
        Status.FAIL,
        "The Secret has no key database_url, or it is empty.",
        "Add the key database_url to Secret {secret}: postgresql://user:password@host:5432/database.",
    )
    DOCUMENTED_KEY_ONLY = Reason(
        "SecretKeyIsUppercase",
        Status.FAIL,
        "The Secret has the key DATABASE_URL, as the values reference says; the chart reads database_url.",
        "Store the same URL in Secret {secret} under the key database_url, in lower case.",
    )
    URL_UNPARSABLE = Reason(
        "DatabaseURLUnparsable",
        Status.FAIL,
        "The URL cannot be read by SQLAlchemy, so no process of the platform starts.",
        "Write database_url as postgresql://user:password@host:5432/database, special characters percent-encoded.",
    )
    PERCENT_IN_URL = Reason(
        "PercentInDatabaseURL",
        Status.WARN,
        "The URL holds a %: the application accepts it, the migration's Alembic does not (invalid interpolation "
        "syntax), so the next upgrade's migration Job fails.",
        "Choose a password that needs no percent-encoding.",
    )
    TWO_SECRETS = Reason(
        "TwoDatabaseSecrets",
        Status.WARN,
        "Both secrets are named; the Kubernetes Secret wins and the cloud's is ignored.",
        "Remove secrets.cloudDatabaseSecretName, or the other one.",
    )
    HOST_UNRESOLVABLE = Reason(
        "HostUnresolvable", Status.FAIL, "The host's name has no address in this cluster.", _OPEN_THE_WAY
    )
    CONNECTION_REFUSED = Reason(
        "ConnectionRefused",
        Status.FAIL,
        "The host answers, and no database listens on the port.",
        _OPEN_THE_WAY,
    )
    NO_ANSWER = Reason(
        "NoAnswer",
        Status.FAIL,
        "Packets vanish (a security group or firewall), or the server hangs.",
        _OPEN_THE_WAY,
    )
    CONNECTION_FAILED = Reason(
        "ConnectionFailed", Status.FAIL, "The connection broke before a session began.", _OPEN_THE_WAY
    )
    NOT_POSTGRESQL = Reason(
        "NotPostgreSQL", Status.FAIL, "Something else than PostgreSQL answers there.", _OPEN_THE_WAY
    )
    TLS_REQUIRED = Reason(
        "TLSRequired",
        Status.FAIL,
        "The server accepts this user over TLS only.",
        "Add ?sslmode=require to database_url.",
    )
    TLS_UNAVAILABLE = Reason(
        "TLSUnavailable", Status.FAIL, "The URL demands TLS and the server offers none.", _TLS
    )
    TLS_UNTRUSTED = Reason(
        "TLSUntrusted",
        Status.FAIL,
        "The URL demands a verified certificate and the server's is not trusted.",
        _TLS,
    )
    PASSWORD_REJECTED = Reason(
        "PasswordRejected",
        Status.FAIL,
        "The server rejects the user or the password.",
        "Put the right user and password into database_url of Secret {secret}, then restart the gateway.",
    )
    ROLE_REJECTED = Reason(
        "RoleRejected",
        Status.FAIL,
        "The role does not exist or may not log in.",
        "Create the role with LOGIN.",
    )
    ACCESS_RULES = Reason(
        "AccessRulesReject",
        Status.FAIL,
        "The server's access rules (pg_hba.conf) admit no such session from here.",
        "Add a rule for the user, the database and the cluster's addresses.",
    )
    DATABASE_NOT_FOUND = Reason(
        "DatabaseNotFound",
        Status.FAIL,
        "The server has no database of that name.",
        "Create database {database}, or correct its name in database_url.",
    )
    TOO_MANY_CONNECTIONS = Reason(
        "TooManyConnections",
        Status.FAIL,
        "The server has no connection left for this user.",
        "Raise max_connections, or lower the gateway's replicas or pools; see the pools in the evidence.",
    )
    STARTING_UP = Reason(
        "ServerNotReady",
        Status.FAIL,
        "The server is starting up, shutting down or recovering.",
        "Wait; if it stays so, look at the server's log.",
    )
    SESSION_REJECTED = Reason(
        "SessionRejected",
        Status.FAIL,
        "The server rejected the session for another reason.",
        "See the server's log.",
    )
    QUERY_FAILED = Reason(
        "QueryFailed",
        Status.FAIL,
        "The catalogue could not be read.",
        "Look the SQLSTATE up in the server's log.",
    )
    NEVER_MIGRATED = Reason(
        "NeverMigrated",
        Status.FAIL,
        "There is no schema and no version table: migrations never ran, and model creation fails.",
        _MIGRATE,
    )
    INITIALIZED_WITHOUT_VERSION = Reason(
        "InitializedWithoutVersion",
        Status.FAIL,
        "Tables exist without a version table: db.runDbInitScript made them, so the next migration fails with "
        "DuplicateSchema.",
        "Set db.runDbInitScript: false; then stamp the database with the revision it corresponds to (alembic stamp), "
        "or drop the schemas of an empty installation and migrate.",
    )
    VERSION_EMPTY = Reason(
        "VersionTableEmpty",
        Status.FAIL,
        "The version table holds no revision: a migration was interrupted or rolled back to nothing.",
        _MIGRATE,
    )
    SEVERAL_HEADS = Reason(
        "SeveralHeads",
        Status.FAIL,
        "The version table holds several revisions; Alembic refuses to upgrade.",
        "Find out which migrations really ran, and leave the one row that is true.",
    )
    BEHIND = Reason(
        "RevisionBehind",
        Status.FAIL,
        "Migrations are missing that this platform version needs.",
        _MIGRATE,
    )
    UNKNOWN_REVISION = Reason(
        "RevisionUnknown",
        Status.FAIL,
        "The revision is not in the known history: a newer platform migrated this database, or a foreign one.",
        "If the platform is newer than this check, set parameters.expectedRevision; else restore the right database.",
    )
    AHEAD = Reason(
        "RevisionAhead",
        Status.FAIL,
        "The database is ahead of the expected revision: the platform was rolled back, its database was not.",
        "Deploy the newer platform again, or restore the database from before the upgrade.",
    )
    DRIFT = Reason(
        "SchemaDrift",
        Status.FAIL,
        "The revision says that tables or columns exist which do not.",
        "Restore what is missing; a migration was stamped without being run, or tables were changed by hand.",
    )
    RIGHTS_MISSING = Reason(
        "RightsMissing",
        Status.FAIL,
        "The role may not use the platform's schemas or tables.",
        "Grant user {user} USAGE on the schemas and SELECT, INSERT, UPDATE, DELETE on their tables.",
    )
    READ_ONLY = Reason(
        "ReadOnly",
        Status.FAIL,
        "The server is a read-only replica or refuses writes, and the gateway writes through this URL.",
        "Point database_url at the primary's (writer) endpoint.",
    )
    POOL_SIZE_SET = Reason(
        "PoolSizeSet",
        Status.FAIL,
        "The chart renders db_engine_pool_size as text, and SQLAlchemy raises TypeError in every process.",
        "Remove config.values.infra.db_engine_pool_size.",
    )
    POOLS_EXCEED_SERVER = Reason(
        "PoolsExceedServer",
        Status.WARN,
        "The gateway's pools can add up to more connections than the server allows.",
        "Raise max_connections above {ceiling}, or lower the gateway's replicas.",
    )


R = DatabaseReasons


class DatabaseParameters(Parameters):
    """Parameters of DatabaseMigrated."""

    expected_revision: str = Field(
        default=schema.HEAD,
        pattern=r"^[0-9a-z]{1,32}$",
        description="The Alembic revision that the deployed platform expects.",
    )


async def gather(context: Context) -> DatabaseFacts:
    """The facts, with the revision that the parameters expect."""
    return await database_facts(context, context.parameters(DatabaseParameters).expected_revision)


@check(
    "DatabaseMigrated",
    title="the database is reachable and its schema is at the expected revision",
    severity=Severity.CRITICAL,
    gather=gather,
    reasons=DatabaseReasons,
    parameters=DatabaseParameters,
    permissions=(Permission(resource="secrets"),),
)
def database_migrated(facts: DatabaseFacts) -> Outcome:
    """Judge how far the way from the values to a complete schema leads."""
    findings = [*(_way(facts) or _schema(facts)), *_configuration(facts)]
    evidence: dict[str, str | int | float | bool | None] = {
        "source": f"{facts.source.kind} {facts.source.name}",
        "expectedRevision": facts.expected,
        "pools": f"{facts.pools} = {facts.pools.ceiling}",
    }
    if facts.address:
        evidence |= {"address": str(facts.address), "user": facts.address.user}
    if facts.found:
        evidence |= {
            "revision": ", ".join(facts.found.revisions),
            "latencyMs": round(facts.latency_ms, 1),
            "serverVersion": facts.found.server_version,
            "maxConnections": facts.found.max_connections,
            "connections": facts.found.connections,
        }
    return Outcome.of(findings, evidence=evidence)


def _configuration(facts: DatabaseFacts) -> Iterator[Finding]:
    """What is wrong before anything is asked, and does not end the way."""
    if facts.sets_pool_size:
        yield R.POOL_SIZE_SET.finding("config.values.infra.db_engine_pool_size is set")
    if facts.source.shadowed:
        yield R.TWO_SECRETS.finding(
            f"secrets.cloudDatabaseSecretName {facts.source.shadowed} is ignored, because "
            f"secrets.kubernetesDatabaseSecretName {facts.source.name} is set too"
        )
    if facts.percent_in_url:
        yield R.PERCENT_IN_URL.finding("database_url contains %, which breaks the migration's Alembic")


def _way(facts: DatabaseFacts) -> list[Finding]:
    """Where the way to the schema ends; empty when it does not."""
    name, namespace = facts.source.name, facts.namespace
    if facts.source.kind is SourceKind.CLOUD_SECRET and (found := _cloud_secret(facts)):
        return [found]
    if facts.source.kind is SourceKind.KUBERNETES_SECRET:
        if facts.secret_keys is None:
            message = f"Secret {name} does not exist in namespace {namespace}"
            return [R.SECRET_NOT_FOUND.finding(message, secret=name, namespace=namespace)]
        if facts.address is None and not facts.url_error:
            return [_key_missing(facts, name)]
    elif facts.source.kind is SourceKind.ENVIRONMENT and facts.address is None:
        return [R.NOT_CONFIGURED.finding("neither a database Secret nor DB_HOST in extraEnvVars is set")]
    if facts.url_error:
        return [R.URL_UNPARSABLE.finding(f"{SECRET_KEY} of Secret {name} cannot be read: {facts.url_error}")]
    if facts.network:
        return [_NETWORK.get(facts.network.reason, R.CONNECTION_FAILED).finding(str(facts.network))]
    if facts.refusal:
        return [_refused(facts, facts.refusal)]
    if facts.query_error:
        return [
            R.QUERY_FAILED.finding(f"{facts.address}: reading the catalogue failed ({facts.query_error})")
        ]
    return []


def _cloud_secret(facts: DatabaseFacts) -> Finding | None:
    """What keeps the cloud's secret from giving an address; None where nothing does."""
    name, kept = facts.source.name, facts.cloud_secret
    if kept is None:
        return R.CLOUD_SECRET_NOT_READ.finding(
            f"the database's address is in secret {name} of {facts.source.store}; "
            "connection, revision and schema were not tried"
        )
    if kept.failure:
        return kept.failure.finding(concerning=f"secret {name}: ")
    wrong = kept.wrong(*CLOUD_FIELDS) or facts.url_error
    return R.CLOUD_SECRET_UNUSABLE.finding(f"secret {name}: {wrong}", secret=name) if wrong else None


_NETWORK = {
    N.HOST_UNRESOLVABLE: R.HOST_UNRESOLVABLE,
    N.CONNECTION_REFUSED: R.CONNECTION_REFUSED,
    N.CONNECTION_TIMEOUT: R.NO_ANSWER,
}


def _key_missing(facts: DatabaseFacts, name: str) -> Finding:
    if DOCUMENTED_KEY in (facts.secret_keys or ()) and SECRET_KEY not in (facts.secret_keys or ()):
        return R.DOCUMENTED_KEY_ONLY.finding(
            f"Secret {name} has the key {DOCUMENTED_KEY}; the gateway reads {SECRET_KEY}", secret=name
        )
    return R.KEY_NOT_FOUND.finding(f"Secret {name} has no key {SECRET_KEY}, or it is empty", secret=name)


_REFUSED = {
    Refusal.PASSWORD: (R.PASSWORD_REJECTED, "rejected the password of user {user}"),
    Refusal.NO_PASSWORD: (R.PASSWORD_REJECTED, "wants a password for user {user}, and the URL has none"),
    Refusal.ROLE: (R.ROLE_REJECTED, "does not let user {user} log in"),
    Refusal.ACCESS_RULES: (R.ACCESS_RULES, "has no access rule for user {user} and database {database}"),
    Refusal.DATABASE: (R.DATABASE_NOT_FOUND, "has no database {database}"),
    Refusal.DATABASE_RIGHTS: (R.RIGHTS_MISSING, "does not let user {user} connect to database {database}"),
    Refusal.TLS_REQUIRED: (R.TLS_REQUIRED, "accepts user {user} over TLS only, and sslmode asks for none"),
    Refusal.TLS_UNAVAILABLE: (R.TLS_UNAVAILABLE, "offers no TLS, and sslmode demands it"),
    Refusal.CERTIFICATE: (
        R.TLS_UNTRUSTED,
        "has a certificate that sslmode demands to verify and that is not trusted",
    ),
    Refusal.TOO_MANY: (R.TOO_MANY_CONNECTIONS, "has no connection left for user {user}"),
    Refusal.STARTING: (R.STARTING_UP, "is starting up, shutting down or recovering"),
    Refusal.NOT_POSTGRESQL: (R.NOT_POSTGRESQL, "does not answer as PostgreSQL does"),
    Refusal.OTHER: (R.SESSION_REJECTED, "rejected the session of user {user}"),
}


def _refused(facts: DatabaseFacts, refusal: Refusal) -> Finding:
    reason, words = _REFUSED[refusal]
    address = facts.address
    user, database = (address.user, address.database) if address else ("", "")
    where = f"{address.host}:{address.port}" if address else ""
    message = f"{where} {words.format(user=user, database=database)}"
    return reason.finding(message, secret=facts.source.name, user=user, database=database)


def _schema(facts: DatabaseFacts) -> Iterator[Finding]:
    """What the session showed; at least one finding."""
    found, address = facts.found, facts.address
    if found is None or address is None:
        raise ValueError("facts that neither failed nor found anything")
    if found.in_recovery or found.read_only:
        what = "is a read-only replica" if found.in_recovery else "has default_transaction_read_only on"
        yield R.READ_ONLY.finding(f"{address.host}:{address.port} {what}")
    if found.denied:
        yield R.RIGHTS_MISSING.finding(
            f"user {address.user} may not use {_some(found.denied)}", user=address.user
        )
    if facts.pools.ceiling > found.max_connections:
        yield R.POOLS_EXCEED_SERVER.finding(
            f"the gateway may open {facts.pools.ceiling} connections ({facts.pools}), "
            f"the server allows {found.max_connections}",
            ceiling=facts.pools.ceiling,
        )
    yield from _revision(found, facts.expected, address.database)


def _revision(found: Schema, expected: str, database: str) -> Iterator[Finding]:
    if not found.has_version_table:
        if found.tables or found.schemas:
            yield R.INITIALIZED_WITHOUT_VERSION.finding(
                f"database {database} has {_some(sorted(found.tables) or sorted(found.schemas))} and no "
                f"{schema.VERSION_TABLE}"
            )
        else:
            yield R.NEVER_MIGRATED.finding(
                f"database {database} has neither schema nor {schema.VERSION_TABLE}"
            )
        return
    if not found.revisions:
        if f"table public.{schema.VERSION_TABLE}" not in found.denied:
            yield R.VERSION_EMPTY.finding(f"{schema.VERSION_TABLE} of database {database} is empty")
        return
    if len(found.revisions) > 1:
        yield R.SEVERAL_HEADS.finding(f"{schema.VERSION_TABLE} holds {', '.join(found.revisions)}")
        return
    (current,) = found.revisions
    absent = (
        schema.missing(current, found.tables, found.columns) if schema.position(current) is not None else []
    )
    if absent:
        yield R.DRIFT.finding(f"at revision {current}, but {_some(absent)} missing")
    if current != expected:
        yield _elsewhere(current, expected)
    elif not absent:
        yield R.AT_HEAD.finding(f"database {database} is at revision {current}")


def _elsewhere(current: str, expected: str) -> Finding:
    here, there = schema.position(current), schema.position(expected)
    if here is None or there is None:
        unknown = current if here is None else expected
        return R.UNKNOWN_REVISION.finding(
            f"at revision {current}, expected {expected}; {unknown} is not in the history that this check knows"
        )
    if here > there:
        newer = ", ".join(revision.id for revision in schema.between(expected, current))
        return R.AHEAD.finding(f"at revision {current}, ahead of the expected {expected} by {newer}")
    steps = schema.between(current, expected)
    missing = "; ".join(f"{revision.id} adds {revision.adds}" for revision in steps)
    return R.BEHIND.finding(f"at revision {current}, {len(steps)} behind {expected}: {missing}")


def _some(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
