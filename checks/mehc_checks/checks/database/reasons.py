"""What DatabaseMigrated can find."""

from typing import Final

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.google.reasons import GoogleReasons
from mehc_checks.clients.postgres.reasons import PostgresReasons
from mehc_checks.core.outcome import Reason, Status
from mehc_checks.installation.reasons import EnvironmentReasons
from mehc_checks.modelengine.databasereasons import DatabaseURLReasons

_MIGRATE: Final = "Set db.runDbMigrationScript: true and run helm upgrade."
_STAMP: Final = "run `alembic stamp {stamp}` in model_engine_server/db/migrations of a gateway pod"


class DatabaseReasons(
    EnvironmentReasons, DatabaseURLReasons, PostgresReasons, AwsReasons, AzureReasons, GoogleReasons
):
    """Where the URL comes from, what its drivers make of it, the session, the schema."""

    AT_HEAD = Reason(
        "SchemaAtHead",
        Status.PASS,
        "The schema is at the expected revision and complete.",
        message="database {database} is at revision {revision}",
    )
    PERCENT_IN_URL = Reason(
        "PercentInDatabaseURL",
        Status.WARN,
        "The URL contains %: the application accepts it, but Alembic does not (invalid interpolation syntax), so the "
        "migration Job of the next upgrade fails.",
        message="the URL of {source} contains %, which breaks migrations (Alembic: invalid interpolation syntax)",
        remedy="Choose a password of letters and digits, so that {source} needs no percent-encoding.",
    )
    PASSWORD_WHITESPACE = Reason(
        "PasswordWhitespace",
        Status.FAIL,
        "The password begins or ends with white space, and the server rejects it.",
        message="{address} rejected the password of user {user}: in {source} it begins or ends with white space",
        remedy="Store the password without a newline: use printf '%s' in place of echo, or --from-literal.",
    )
    TWO_SECRETS = Reason(
        "TwoDatabaseSecrets",
        Status.WARN,
        "Both database secrets are named; the Kubernetes Secret wins and the cloud's is ignored.",
        message="secrets.cloudDatabaseSecretName ({ignored}) is ignored: secrets.kubernetesDatabaseSecretName wins",
        remedy="Remove secrets.cloudDatabaseSecretName, or secrets.kubernetesDatabaseSecretName.",
    )
    TRANSACTION_POOLING = Reason(
        "TransactionPooling",
        Status.FAIL,
        "A pooler in transaction mode (PgBouncer, for example) stands between. Sessions share its connections, and "
        "asyncpg's prepared statements collide there: API requests fail at random.",
        message="{address} is a pooler in transaction mode: asyncpg's prepared statements collide, and API requests "
        "fail",
        remedy="Point {source} to the server itself, set pool_mode=session for database {database} in the pooler, or "
        "use PgBouncer 1.21 or later with max_prepared_statements above 0.",
    )
    COMPONENT_DIFFERS = Reason(
        "ComponentUsesAnotherDatabase",
        Status.WARN,
        "The environment of builder or cacher names another database than the gateway's: where it is not another name "
        "of the same, endpoints are not found.",
        message="the {component} uses {theirs}, but the gateway uses {ours}",
        remedy="Set the database variables in extraEnvVars, which all components get, and remove those set on "
        "Deployment {workload} alone.",
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
        Status.WARN,
        "The schema is complete, and no version table says so: db.runDbInitScript created it. The platform works; the "
        "next migration fails with DuplicateSchema.",
        message="database {database} has the whole schema of revision {stamp}, but no version table: migrations fail",
        remedy=f"Set db.runDbInitScript: false, then {_STAMP}.",
    )
    INCOMPLETE_WITHOUT_VERSION = Reason(
        "IncompleteWithoutVersion",
        Status.FAIL,
        "Tables exist without a version table, and some that the platform needs are missing: an older "
        "db.runDbInitScript created them, or a migration stopped.",
        message="database {database} has no version table, and its schema lacks {missing}{doubt}",
        remedy="{fix}",
        defaults={
            "doubt": "",
            "fix": f"Set db.runDbInitScript: false, then {_STAMP} ".format(
                stamp="with the revision that the schema has"
            )
            + "and run helm upgrade with db.runDbMigrationScript: true; drop the schemas first if they are empty.",
        },
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
        message="database {database} is at revision {revision}, {steps} behind {expected}: missing {missing}{doubt}",
        remedy=_MIGRATE,
        defaults={"doubt": ""},
    )
    NOT_STAMPED = Reason(
        "RevisionNotStamped",
        Status.FAIL,
        "The version table is behind, and the columns of later revisions exist already: the database was stamped by "
        "hand, or created by db.runDbInitScript. The next migration fails with DuplicateColumn.",
        message="database {database} is at revision {revision}, but the columns up to {stamp} exist: migrations fail",
        remedy=f"Do not migrate yet: {_STAMP}{{then}}.",
        defaults={"then": ""},
    )
    HALF_APPLIED = Reason(
        "MigrationHalfApplied",
        Status.FAIL,
        "Some columns of a migration that did not run exist already, so that it fails with DuplicateColumn.",
        message="database {database} is at revision {revision}, but later migrations ran in part: {columns} exist",
        remedy="Drop these columns if they are empty, then run helm upgrade with db.runDbMigrationScript: true.",
    )
    UNKNOWN_REVISION = Reason(
        "RevisionUnknown",
        Status.WARN,
        "The revision is not in the history that mehc knows, and all columns that mehc knows of exist: a newer "
        "platform, or an image of another branch, migrated this database. Images without that migration cannot "
        "migrate it.",
        message="database {database} is at revision {revision}, which mehc does not know (its history ends at "
        "{head}); all known columns exist{doubt}",
        defaults={"doubt": ""},
        remedy="Deploy images that have migration {revision}: with others, the next helm upgrade fails (Can't locate "
        "revision). If this platform version has it, set parameters.expectedRevision to {revision}.",
    )
    FOREIGN = Reason(
        "RevisionForeign",
        Status.FAIL,
        "The revision is of a branch that the deployed platform version does not contain: images of that branch "
        "migrated this database. The migration Job of the next helm upgrade fails.",
        message="database {database} is at revision {revision}, {lacks}{missing}: the next migration fails (Can't "
        "locate revision)",
        remedy="Deploy images that have migration {revision}. To leave that branch, drop what it added, run `alembic "
        "stamp --purge {stamp}` in model_engine_server/db/migrations of a gateway pod, then run helm upgrade with "
        "db.runDbMigrationScript: true.",
        defaults={"lacks": "which this platform version does not have", "missing": ""},
    )
    UNEXPECTED = Reason(
        "RevisionUnexpected",
        Status.FAIL,
        "parameters.expectedRevision names a revision that mehc does not know, and the database is at another.",
        message="database {database} is at revision {revision}, expected {expected}, which mehc does not know",
        remedy="Run helm upgrade with db.runDbMigrationScript: true, or correct parameters.expectedRevision.",
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
        "Tables or columns do not exist that the revision creates, so that the platform's queries fail.",
        message="database {database} is at revision {revision}, but lacks {missing}{doubt}",
        remedy="Restore what is missing: a migration was stamped without being run, or tables were changed by hand.",
        defaults={"doubt": ""},
    )
    READ_ONLY = Reason(
        "ReadOnly",
        Status.FAIL,
        "The server is a read-only replica or rejects writes, and the gateway writes through this URL.",
        message="{address} {why}, and the gateway writes there",
        remedy="Point {source} to the primary (writer) endpoint.",
    )
    TABLE_LOCKED = Reason(
        "TableLocked",
        Status.FAIL,
        "Sessions of the platform, such as a migration, wait for over 30 s for a lock on a table, mostly because "
        "another session is idle in a transaction. Requests that need the table hang too.",
        message="sessions wait for over 30 s for a lock on {tables}, held by process {pids}",
        remedy="Find out what holds it: SELECT pid, usename, state, query FROM pg_stat_activity WHERE pid IN ({pids}); "
        "if it is idle in transaction: SELECT pg_terminate_backend({pid}).",
    )
    POOL_SIZE_UNUSABLE = Reason(
        "PoolSizeUnusable",
        Status.FAIL,
        "The chart writes db_engine_pool_size and db_engine_max_overflow as text, and SQLAlchemy raises TypeError.",
        message="{path} must be unset: the chart writes it as text, and no session can be opened (TypeError)",
        remedy="Remove {path} from the values.",
    )
    POOLS_EXCEED_SERVER = Reason(
        "PoolsExceedServer",
        Status.WARN,
        "The gateway's pools can add up to more connections than the server allows this user.",
        message="the gateway can open {ceiling} connections ({pools}); user {user} may have {limit}",
        remedy="Raise max_connections above {ceiling}, or lower the gateway's replicas.",
    )
