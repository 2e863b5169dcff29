"""What DatabaseMigrated can find."""

from typing import Final

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.postgres.reasons import PostgresReasons
from mehc_checks.core.outcome import Reason, Status

_MIGRATE: Final = "Set db.runDbMigrationScript: true and run helm upgrade."


class DatabaseReasons(PostgresReasons, AwsReasons):
    """Where the URL comes from, whether it can be used, what the schema is like."""

    AT_HEAD = Reason(
        "SchemaAtHead",
        Status.PASS,
        "The schema is at the expected revision and complete.",
        message="database {database} is at revision {revision}",
    )
    CLOUD_SECRET_NOT_READ = Reason(
        "CloudSecretNotRead",
        Status.ERROR,
        "The database URL is made from a secret of Azure or GCP, which mehc cannot read.",
        message="the database URL is made from secret {secret} of {store}, which mehc cannot read: nothing was tested",
        remedy="Check the secret by hand, or store the URL in a Kubernetes Secret and name that in "
        "secrets.kubernetesDatabaseSecretName.",
    )
    CLOUD_SECRET_UNUSABLE = Reason(
        "CloudSecretUnusable",
        Status.FAIL,
        "The AWS secret does not exist, is not a JSON object, or lacks a field: the platform's URL then contains None.",
        message="secret {secret} {wrong}",
        remedy="Write secret {secret} as a JSON object with username, password, clusterHost, port and dbname, or "
        "correct secrets.cloudDatabaseSecretName and config.values.infra.default_region.",
    )
    NOT_CONFIGURED = Reason(
        "DatabaseNotConfigured",
        Status.FAIL,
        "Nothing names a database, so the gateway connects to localhost:5432.",
        message="no database is configured: neither secrets.kubernetesDatabaseSecretName nor DB_HOST is set",
        remedy="Set secrets.kubernetesDatabaseSecretName to a Secret with the key database_url.",
    )
    SECRET_NOT_FOUND = Reason(
        "SecretNotFound",
        Status.FAIL,
        "The Secret that the values name does not exist; the gateway's pods stay in CreateContainerConfigError.",
        message="Secret {secret} does not exist in namespace {namespace}",
        remedy="kubectl create secret generic {secret} -n {namespace} "
        "--from-literal=database_url=postgresql://user:password@host:5432/database",
    )
    KEY_NOT_FOUND = Reason(
        "SecretKeyNotFound",
        Status.FAIL,
        "The Secret has no key database_url, or it is empty.",
        message="Secret {secret} has no key database_url, or it is empty",
        remedy="Add the key database_url to Secret {secret}: postgresql://user:password@host:5432/database.",
    )
    DOCUMENTED_KEY_ONLY = Reason(
        "SecretKeyIsUppercase",
        Status.FAIL,
        "The Secret has the key DATABASE_URL, as the values reference says; the chart reads database_url.",
        message="Secret {secret} has the key DATABASE_URL; the gateway reads database_url",
        remedy="Store the same URL in Secret {secret} under the key database_url, in lower case.",
    )
    URL_UNPARSABLE = Reason(
        "DatabaseURLUnparsable",
        Status.FAIL,
        "SQLAlchemy cannot read the URL, so no process of the platform starts.",
        message="{source} cannot be read: {detail}",
        remedy="Write {source} as postgresql://user:password@host:5432/database, with special characters "
        "percent-encoded.",
    )
    PERCENT_IN_URL = Reason(
        "PercentInDatabaseURL",
        Status.WARN,
        "The URL contains %: the application accepts it, but Alembic does not (invalid interpolation syntax), so the "
        "migration Job of the next upgrade fails.",
        message="{source} contains %, which breaks the migration (Alembic: invalid interpolation syntax)",
        remedy="Choose a password of letters and digits, so that {source} needs no percent-encoding.",
    )
    TWO_SECRETS = Reason(
        "TwoDatabaseSecrets",
        Status.WARN,
        "Both database secrets are named; the Kubernetes Secret wins and the cloud's is ignored.",
        message="secrets.cloudDatabaseSecretName ({ignored}) is ignored: secrets.kubernetesDatabaseSecretName "
        "({secret}) wins",
        remedy="Remove secrets.cloudDatabaseSecretName, or secrets.kubernetesDatabaseSecretName.",
    )
    NEVER_MIGRATED = Reason(
        "NeverMigrated",
        Status.FAIL,
        "There is neither a schema nor a version table: migrations never ran, and every request fails.",
        message="database {database} has neither the platform's schemas nor its version table",
        remedy=_MIGRATE,
    )
    INITIALIZED_WITHOUT_VERSION = Reason(
        "InitializedWithoutVersion",
        Status.FAIL,
        "Tables exist without a version table: db.runDbInitScript created them, so the next migration fails with "
        "DuplicateSchema.",
        message="database {database} has {objects}, but no version table",
        remedy="Set db.runDbInitScript: false; then run alembic stamp with the revision that the schema corresponds "
        "to, or drop the schemas of an empty installation and migrate.",
    )
    VERSION_EMPTY = Reason(
        "VersionTableEmpty",
        Status.FAIL,
        "The version table has no revision: a migration was interrupted, or everything was downgraded.",
        message="the version table of database {database} is empty",
        remedy=_MIGRATE,
    )
    SEVERAL_HEADS = Reason(
        "SeveralHeads",
        Status.FAIL,
        "The version table has several revisions; Alembic refuses to upgrade.",
        message="the version table of database {database} has several revisions: {revisions}",
        remedy="Find out which migrations really ran, and delete the other rows of "
        "public.alembic_version_model_engine.",
    )
    BEHIND = Reason(
        "RevisionBehind",
        Status.FAIL,
        "Migrations are missing that this platform version needs.",
        message="database {database} is at revision {revision}, {steps} behind {expected}: missing {missing}",
        remedy=_MIGRATE,
    )
    UNKNOWN_REVISION = Reason(
        "RevisionUnknown",
        Status.FAIL,
        "The revision is not in the known history: a newer platform migrated this database, or a foreign one.",
        message="database {database} is at revision {revision}, expected {expected}; {unknown} is not in the known "
        "history",
        remedy="If the platform is newer than this check, set parameters.expectedRevision; else restore the right "
        "database.",
    )
    AHEAD = Reason(
        "RevisionAhead",
        Status.FAIL,
        "The database is ahead of the expected revision: the platform was rolled back, its database was not.",
        message="database {database} is at revision {revision}, ahead of {expected} by {newer}",
        remedy="Deploy the newer platform version again, or restore the database from before the upgrade.",
    )
    DRIFT = Reason(
        "SchemaDrift",
        Status.FAIL,
        "Tables or columns do not exist that the revision creates.",
        message="at revision {revision}, but missing: {missing}",
        remedy="Restore what is missing: a migration was stamped without being run, or tables were changed by hand.",
    )
    READ_ONLY = Reason(
        "ReadOnly",
        Status.FAIL,
        "The server is a read-only replica or rejects writes, and the gateway writes through this URL.",
        message="{address} {why}",
        remedy="Point {source} to the primary (writer) endpoint.",
    )
    POOL_SIZE_SET = Reason(
        "PoolSizeSet",
        Status.FAIL,
        "The chart renders db_engine_pool_size as text, and SQLAlchemy raises TypeError in every process.",
        message="config.values.infra.db_engine_pool_size must be unset: the chart renders it as text (TypeError)",
        remedy="Remove config.values.infra.db_engine_pool_size.",
    )
    POOLS_EXCEED_SERVER = Reason(
        "PoolsExceedServer",
        Status.WARN,
        "The gateway's pools can add up to more connections than the server allows.",
        message="the gateway can open {ceiling} connections ({pools}); the server allows {limit}",
        remedy="Raise max_connections above {ceiling}, or lower the gateway's replicas.",
    )
