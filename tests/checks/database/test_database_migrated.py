"""DatabaseMigrated on real PostgreSQL: every broken installation first, then the sound one."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mehc_checks.checks.database.reasons import DatabaseReasons
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.google.reasons import GoogleReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from mehc_checks.installation.reasons import EnvironmentReasons
from mehc_checks.modelengine.schema import HEAD
from testbed import ports
from testbed.controlplane import ControlPlane
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.waiting import eventually

PASSWORD = "pw-never-shown"
SECRET = "postgres-credentials"
ROOMY = {"replicaCount": {"gateway": 1}}
"""160 connections at most: fewer than the testbed's server allows."""


class Stage:
    """Hands out real databases and servers; each case says what it breaks."""

    def __init__(self, postgres: Postgres, tls: Postgres, silent: ports.Address, deaf: ports.Address) -> None:
        self.postgres, self.tls, self.silent, self.deaf = postgres, tls, silent, deaf
        self._count = 0

    def database(self, revision: str | None = "head", *statements: str) -> str:
        """A new database at ``revision``, changed by ``statements``; its name."""
        self._count += 1
        name = self.postgres.create_database(f"case{self._count}", owner="modelengine")
        if revision:
            migrate(self.postgres, name, revision=revision)
        for statement in statements:
            self.postgres.execute(statement, db=name)
        return name

    def url(self, revision: str | None = "head", *statements: str, **parameters: str) -> str:
        """The URL of a new database."""
        return self.postgres.url("modelengine", PASSWORD, self.database(revision, *statements), **parameters)

    def closed(self) -> str:
        """The URL of a database that accepts no connections."""
        name = self.database(None)
        self.postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        return self.postgres.url("modelengine", PASSWORD, name)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An installation; ``data`` gives its Secret's content, None for no Secret. ``says`` must be in the message."""

    id: str
    reason: str
    says: str
    data: Callable[[Stage], dict[str, str] | None]
    values: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    around: Callable[[Stage], AbstractContextManager[object]] = lambda _: contextlib.nullcontext()
    also: tuple[str, ...] = ()
    """Reasons that are found too."""
    remedy: str = ""
    """What the remedy must say."""


def url(make: Callable[[Stage], str]) -> Callable[[Stage], dict[str, str]]:
    return lambda stage: {"database_url": make(stage)}


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    stage.postgres.set_read_only(True)
    try:
        yield
    finally:
        stage.postgres.set_read_only(False)


@contextmanager
def crowded(stage: Stage) -> Iterator[None]:
    """The one connection that the role may have is taken."""
    stage.postgres.create_role("lonely", PASSWORD, options="CONNECTION LIMIT 1")
    with psycopg.connect(stage.postgres.url("lonely", PASSWORD, "postgres")):
        yield


def ruled(rule: str, *, tls: bool = False) -> Callable[[Stage], AbstractContextManager[None]]:
    """The server's access rules begin with ``rule``."""

    @contextmanager
    def around(stage: Stage) -> Iterator[None]:
        server = stage.tls if tls else stage.postgres
        ((path,),) = server.execute("SHOW hba_file")
        rules, before = Path(path), Path(path).read_text()
        rules.write_text(f"{rule}\n{before}")
        server.execute("SELECT pg_reload_conf()")
        eventually(lambda: server.execute("SELECT count(*) FROM pg_hba_file_rules"), bool)
        try:
            yield
        finally:
            rules.write_text(before)
            server.execute("SELECT pg_reload_conf()")

    return around


INITIALIZED = (
    "SET ROLE modelengine; CREATE SCHEMA hosted_model_inference;"
    "CREATE TABLE hosted_model_inference.endpoints (id text)"
)
NO_CONNECT = (
    "DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$"
)
VERSIONS = "INSERT INTO public.alembic_version_model_engine VALUES ('{}')"
MIGRATES = "every API request fails, although migrations work"
STAMPED = "UPDATE public.alembic_version_model_engine SET version_num = '{}'"
NOT_CREATED = "postgresql://u:p@127.0.0.1/x"

CASES = [
    Case(id="secret missing", reason="SecretNotFound", says=SECRET, data=lambda _: None),
    Case(id="key missing", reason="SecretKeyNotFound", says="database_url", data=lambda _: {"url": "x"}),
    Case(
        id="key empty",
        reason="DatabaseURLEmpty",
        says="is empty: the gateway uses secret /ml_infra_pg of AWS Secrets Manager",
        data=lambda _: {"database_url": ""},
    ),
    Case(
        id="the documented key alone",
        reason="SecretKeyIsUppercase",
        says="reads database_url",
        data=lambda _: {"DATABASE_URL": NOT_CREATED},
    ),
    Case(
        id="no URL at all",
        reason="DatabaseURLUnparsable",
        says="it has no scheme",
        data=url(lambda _: "not a url"),
    ),
    Case(
        id="postgres:// scheme",
        reason="DatabaseURLUnparsable",
        says="its scheme is postgres, not postgresql",
        data=url(lambda _: "postgres://u:p@h/x"),
    ),
    Case(
        id="a port that is none",
        reason="DatabaseURLUnparsable",
        says="port",
        data=url(lambda _: "postgresql://u:p@h:54x2/x"),
    ),
    Case(
        id="percent in the URL",
        reason="PercentInDatabaseURL",
        says="Alembic",
        data=url(lambda stage: stage.url().replace("modelengine:pw", "modelengine:%70w")),
    ),
    Case(
        id="host unresolvable",
        reason="HostUnresolvable",
        says="db.invalid",
        data=url(lambda _: "postgresql://u:p@db.invalid/x"),
    ),
    Case(
        id="refused",
        reason="ConnectionRefused",
        says="nothing listens",
        data=url(lambda _: f"postgresql://u:p@127.0.0.1:{ports.free_port()}/x"),
    ),
    Case(
        id="accepts and is silent",
        reason="ConnectionTimeout",
        says="did not answer within",
        data=url(lambda stage: "postgresql://u:p@{}:{}/x".format(*stage.silent)),
    ),
    Case(
        id="never accepts",
        reason="ConnectionTimeout",
        says="did not answer within",
        data=url(lambda stage: "postgresql://u:p@{}:{}/x".format(*stage.deaf)),
    ),
    Case(
        id="TLS required",
        reason="TLSRequired",
        says="requires TLS",
        data=url(lambda stage: stage.tls.url("modelengine", PASSWORD, "postgres", sslmode="disable")),
    ),
    Case(
        id="TLS unavailable",
        reason="ServerNotTLS",
        says="does not speak TLS",
        data=url(lambda stage: stage.postgres.url("modelengine", PASSWORD, "postgres", sslmode="require")),
    ),
    Case(
        id="a certificate that asyncpg cannot be told to trust",
        reason="DatabaseURLOptionRejected",
        says="asyncpg rejects the option sslrootcert in key database_url of Secret postgres-credentials",
        also=("TLSUntrusted",),
        data=url(
            lambda stage: stage.tls.url(
                "modelengine",
                PASSWORD,
                "postgres",
                sslmode="verify-full",
                sslrootcert=str(CertificateAuthority().ca_file),
            )
        ),
    ),
    Case(
        id="authorities that the image does not have",
        reason="RootCertificateMissing",
        says="sslmode=verify-full in key database_url of Secret postgres-credentials needs ~/.postgresql/root.crt",
        data=url(lambda stage: stage.tls.url("modelengine", PASSWORD, "postgres", sslmode="verify-full")),
    ),
    *(
        Case(
            id=f"option {name}",
            reason="DatabaseURLOptionRejected",
            says=f"{driver} rejects the option {name} in key database_url of Secret postgres-credentials: {effect}",
            also=("SchemaAtHead",),
            data=url(lambda stage, name=name, value=value: stage.url("head", **{name: value})),
        )
        for name, value, driver, effect in (
            ("channel_binding", "prefer", "asyncpg", MIGRATES),
            ("application_name", "model-engine", "asyncpg", MIGRATES),
            ("keepalives", "1", "asyncpg", MIGRATES),
            ("connect_timeout", "3", "asyncpg", MIGRATES),
            ("prepared_statement_cache_size", "0", "psycopg2", "migrations fail, although the API works"),
        )
    ),
    Case(
        id="an option that no driver knows",
        reason="DatabaseURLOptionRejected",
        says="psycopg2 rejects the option pgbouncer",
        data=url(lambda stage: stage.url("head", pgbouncer="true")),
    ),
    Case(
        id="an option that breaks the API, with a % that breaks migrations",
        reason="DatabaseURLOptionRejected",
        says="asyncpg rejects the option options",
        also=("PercentInDatabaseURL",),
        data=url(lambda stage: stage.url() + "?options=-csearch_path%3Dpublic"),
    ),
    Case(
        id="an option that both drivers know",
        reason="SchemaAtHead",
        says="at revision",
        data=url(lambda stage: stage.url("head", target_session_attrs="read-write")),
    ),
    Case(
        id="a driver in the scheme",
        reason="DatabaseURLNamesDriver",
        says="names the driver psycopg2: the platform can open no session at all",
        data=url(lambda stage: stage.url().replace("postgresql:", "postgresql+psycopg2:")),
    ),
    Case(
        id="the host as an option",
        reason="SchemaAtHead",
        says="at revision",
        data=url(
            lambda stage: (
                stage.url().replace(f"@127.0.0.1:{stage.postgres.port}", "@127.0.0.9:1")
                + f"?host=127.0.0.1:{stage.postgres.port}"
            )
        ),
    ),
    Case(
        id="several hosts, of which the first is dead",
        reason="SchemaAtHead",
        says="at revision",
        data=url(lambda stage: stage.url() + f"?host=127.0.0.9,127.0.0.1&port=1,{stage.postgres.port}"),
    ),
    Case(
        id="a socket of the pods",
        reason="SocketNotTested",
        says="names the Unix socket /cloudsql/project:region:name, which only the gateway's pods have",
        data=url(lambda _: "postgresql://app:pw@/llm?host=/cloudsql/project:region:name"),
    ),
    Case(
        id="no host",
        reason="DatabaseURLIncomplete",
        says="names no host",
        data=url(lambda _: "postgresql://u:p@/x"),
    ),
    Case(
        id="quoted",
        reason="DatabaseURLUnparsable",
        says="it begins with a quotation mark",
        data=url(lambda stage: f'"{stage.url()}"'),
    ),
    Case(
        id="a newline at the end",
        reason="DatabaseURLWhitespace",
        says="key database_url of Secret postgres-credentials ends with a newline: every API request fails",
        data=url(lambda stage: stage.url() + "\n"),
    ),
    Case(
        id="a password that is not encoded",
        reason="DatabasePasswordNotEncoded",
        says="the user or password in key database_url of Secret postgres-credentials contains an @ or /",
        data=url(lambda stage: stage.url().replace(f":{PASSWORD}@", ":p@ss/w%rd:x?y#z@")),
    ),
    Case(
        id="password rejected",
        reason="PasswordRejected",
        says="rejected the password of user modelengine",
        data=url(lambda stage: stage.postgres.url("modelengine", "guess", "postgres")),
    ),
    Case(
        id="no password",
        reason="PasswordMissing",
        says="key database_url of Secret postgres-credentials has none",
        data=url(lambda stage: stage.postgres.url("modelengine", None, "postgres")),
    ),
    Case(
        id="role may not log in",
        reason="RoleRejected",
        says="log in",
        data=url(lambda stage: stage.postgres.url("nologin", PASSWORD, "postgres")),
    ),
    Case(
        id="no access rule",
        reason="PgHbaRejected",
        says="does not admit user stranger to database postgres",
        data=url(lambda stage: stage.postgres.url("stranger", PASSWORD, "postgres")),
        around=ruled("host all stranger 127.0.0.1/32 reject"),
    ),
    Case(
        id="no access rule, with TLS and without",
        reason="PgHbaRejected",
        says="does not admit user nowhere to database postgres",
        data=url(lambda stage: stage.tls.url("nowhere", PASSWORD, "postgres")),
        around=ruled("host all nowhere 127.0.0.1/32 reject", tls=True),
    ),
    Case(
        id="an access rule that rejects sessions without TLS",
        reason="TLSRequired",
        says="requires TLS",
        remedy="Add ?sslmode=require to",
        data=url(lambda stage: stage.tls.url("modelengine", PASSWORD, "postgres", sslmode="disable")),
        around=ruled("hostnossl all all 127.0.0.1/32 reject", tls=True),
    ),
    Case(
        id="a user whom the server does not check by password, as with IAM on RDS",
        reason="ExternalAuthRejected",
        says="checks user stranger by Ident, which rejected the session",
        remedy='REVOKE rds_iam FROM "stranger"',
        data=url(lambda stage: stage.postgres.url("stranger", "token", "postgres")),
        around=ruled("host all stranger 127.0.0.1/32 ident"),
    ),
    Case(
        id="no database in the URL",
        reason="DatabaseNotFound",
        says="has no database",
        data=url(lambda stage: stage.postgres.url("modelengine", PASSWORD, "")),
    ),
    Case(
        id="database missing",
        reason="DatabaseNotFound",
        says="has no database nowhere",
        data=url(lambda stage: stage.postgres.url("modelengine", PASSWORD, "nowhere")),
    ),
    Case(
        id="connections exhausted",
        reason="TooManyConnections",
        says="no connection slot left",
        data=url(lambda stage: stage.postgres.url("lonely", PASSWORD, "postgres")),
        around=crowded,
    ),
    Case(
        id="connections switched off",
        reason="SessionRejected",
        says="rejected the session",
        data=url(lambda stage: stage.closed()),
    ),
    Case(
        id="catalogue locked away",
        reason="QueryFailed",
        says="42501",
        data=url(
            lambda stage: stage.url(
                None, "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_is_in_recovery() FROM PUBLIC"
            )
        ),
    ),
    Case(
        id="never migrated",
        reason="NeverMigrated",
        says="neither the platform's schemas nor its version table",
        data=url(lambda stage: stage.url(None)),
    ),
    Case(
        id="an init script stopped",
        reason="IncompleteWithoutVersion",
        says="lacks hosted_model_inference.batch_jobs, hosted_model_inference.bundles",
        data=url(lambda stage: stage.url(None, INITIALIZED)),
    ),
    Case(
        id="the init script ran alone",
        reason="InitializedWithoutVersion",
        says=f"has the whole schema of revision {HEAD}, but no version table: migrations fail",
        data=url(lambda stage: stage.url("head", "DROP TABLE public.alembic_version_model_engine")),
    ),
    Case(
        id="the init script of an older platform",
        reason="IncompleteWithoutVersion",
        says="lacks hosted_model_inference.endpoints.queue_message_timeout_seconds",
        data=url(lambda stage: stage.url("62da4f8b3403", "DROP TABLE public.alembic_version_model_engine")),
    ),
    Case(
        id="stamped with the first revision by hand",
        reason="RevisionNotStamped",
        says=f"at revision fa3267c80731, but the columns up to {HEAD} exist: migrations fail",
        remedy=f"alembic stamp {HEAD}",
        data=url(lambda stage: stage.url("head", STAMPED.format("fa3267c80731"))),
    ),
    Case(
        id="stamped too early",
        reason="RevisionNotStamped",
        says="at revision b574e9711e35, but the columns up to e580182d6bfd exist",
        data=url(lambda stage: stage.url("e580182d6bfd", STAMPED.format("b574e9711e35"))),
    ),
    Case(
        id="a migration that ran in part",
        reason="MigrationHalfApplied",
        says="later migrations ran in part: hosted_model_inference.bundles.runnable_image_worker_env exist",
        data=url(
            lambda stage: stage.url(
                "b574e9711e35",
                "ALTER TABLE hosted_model_inference.bundles ADD COLUMN runnable_image_worker_env json",
            )
        ),
    ),
    Case(
        id="an expected revision that nobody knows",
        reason="RevisionUnexpected",
        says="expected feedfeedfeed, which mehc does not know",
        data=url(lambda stage: stage.url()),
        parameters={"expectedRevision": "feedfeedfeed"},
    ),
    Case(
        id="a branch's revision",
        reason="RevisionForeign",
        says="at revision b2c3d4e5f6g7, which is of a branch (temporal_task_queue) and in no release up to chart "
        "0.2.7: the next migration fails (Can't locate revision)",
        remedy=f"alembic stamp --purge {HEAD}",
        data=url(
            lambda stage: stage.url(
                "head",
                STAMPED.format("b2c3d4e5f6g7"),
                "ALTER TABLE hosted_model_inference.endpoints ADD COLUMN temporal_task_queue text",
            )
        ),
    ),
    Case(
        id="a branch's revision that is expected",
        reason="SchemaAtHead",
        says="at revision b2c3d4e5f6g7",
        data=url(lambda stage: stage.url("head", STAMPED.format("b2c3d4e5f6g7"))),
        parameters={"expectedRevision": "b2c3d4e5f6g7"},
    ),
    Case(
        id="a branch's revision without our columns",
        reason="RevisionForeign",
        says="up to chart 0.2.7, and lacks hosted_model_inference.endpoints.status_reason: the next migration fails",
        data=url(lambda stage: stage.url("a1b2c3d4e5f6", STAMPED.format("b2c3d4e5f6g7"))),
        remedy="alembic stamp --purge a1b2c3d4e5f6",
    ),
    Case(
        id="an unknown revision without our columns",
        reason="SchemaDrift",
        says="at revision 0123456789ab, but lacks hosted_model_inference.endpoints.status_reason",
        data=url(lambda stage: stage.url("a1b2c3d4e5f6", STAMPED.format("0123456789ab"))),
    ),
    Case(
        id="a column of the first revision missing",
        reason="SchemaDrift",
        says="lacks hosted_model_inference.endpoints.endpoint_status",
        data=url(
            lambda stage: stage.url(
                "head", "ALTER TABLE hosted_model_inference.endpoints DROP endpoint_status"
            )
        ),
    ),
    Case(
        id="version table empty",
        reason="VersionTableEmpty",
        says="is empty",
        data=url(lambda stage: stage.url("head", "DELETE FROM public.alembic_version_model_engine")),
    ),
    Case(
        id="several heads",
        reason="SeveralHeads",
        says=f"62da4f8b3403, {HEAD}",
        data=url(lambda stage: stage.url("head", VERSIONS.format("62da4f8b3403"))),
    ),
    Case(
        id="two behind",
        reason="RevisionBehind",
        says="2 behind c4d5e6f7a8b9: missing endpoints.queue_message_timeout_seconds (a1b2c3d4e5f6), endpoints.status",
        data=url(lambda stage: stage.url("62da4f8b3403")),
    ),
    Case(
        id="ahead of what is expected",
        reason="RevisionAhead",
        says="ahead of a1b2c3d4e5f6 by c4d5e6f7a8b9",
        data=url(lambda stage: stage.url()),
        parameters={"expectedRevision": "a1b2c3d4e5f6"},
    ),
    Case(
        id="a foreign history",
        reason="RevisionUnknown",
        says="0123456789ab, which mehc does not know (its history ends at c4d5e6f7a8b9)",
        data=url(
            lambda stage: stage.url(
                "head", "UPDATE public.alembic_version_model_engine SET version_num = '0123456789ab'"
            )
        ),
    ),
    Case(
        id="a column missing",
        reason="SchemaDrift",
        says="lacks hosted_model_inference.endpoints.status_reason",
        data=url(
            lambda stage: stage.url("head", "ALTER TABLE hosted_model_inference.endpoints DROP status_reason")
        ),
    ),
    Case(
        id="a table missing",
        reason="SchemaDrift",
        says="lacks model.models",
        data=url(lambda stage: stage.url("head", "DROP TABLE model.models")),
    ),
    Case(
        id="no right on a schema",
        reason="PrivilegesMissing",
        says="schema model",
        data=url(lambda stage: stage.postgres.url("stranger", PASSWORD, stage.database("head"))),
    ),
    Case(
        id="no right on one table",
        reason="PrivilegesMissing",
        says="table hosted_model_inference.triggers",
        data=url(
            lambda stage: stage.url(
                "head",
                "ALTER TABLE hosted_model_inference.triggers OWNER TO postgres",
                "GRANT SELECT ON hosted_model_inference.triggers TO modelengine",
            )
        ),
    ),
    Case(
        id="no right to create what the first migration creates",
        reason="PrivilegesMissing",
        says="lacks privileges on database ",
        also=("NeverMigrated",),
        remedy='GRANT USAGE, CREATE ON SCHEMA public TO "stranger";',
        data=url(lambda stage: stage.postgres.url("stranger", PASSWORD, stage.database(None))),
    ),
    Case(
        id="no right to alter what the next migrations alter",
        reason="PrivilegesMissing",
        says="hosted_model_inference.endpoints (ownership, which the migration needs)",
        also=("RevisionBehind",),
        remedy='ALTER TABLE hosted_model_inference.endpoints OWNER TO "modelengine";',
        data=url(
            lambda stage: stage.url(
                "b574e9711e35",
                "ALTER TABLE hosted_model_inference.endpoints OWNER TO postgres",
                "GRANT ALL ON hosted_model_inference.endpoints TO modelengine",
            )
        ),
    ),
    Case(
        id="no right to connect",
        reason="PrivilegesMissing",
        says="user stranger lacks privileges on database",
        data=url(lambda stage: stage.postgres.url("stranger", PASSWORD, stage.database(None, NO_CONNECT))),
    ),
    Case(
        id="writes are refused",
        reason="ReadOnly",
        says="default_transaction_read_only",
        data=url(lambda stage: stage.url()),
        around=read_only,
    ),
    Case(
        id="pool size set",
        reason="PoolSizeUnusable",
        says="db_engine_pool_size must be unset",
        data=url(lambda stage: stage.url()),
        values={"config": {"values": {"infra": {"db_engine_pool_size": "5"}}}},
    ),
    Case(
        id="overflow of pools set",
        reason="PoolSizeUnusable",
        says="db_engine_max_overflow must be unset",
        data=url(lambda stage: stage.url()),
        values={"config": {"values": {"infra": {"db_engine_max_overflow": 10}}}},
    ),
    Case(
        id="a limit of the role",
        reason="PoolsExceedServer",
        says="(1 replica × 4 workers × 2 pools × (10 + 10)); user limited may have 50",
        data=url(
            lambda stage: stage.postgres.url(
                "limited", PASSWORD, stage.database("head", "GRANT modelengine TO limited")
            )
        ),
    ),
    Case(
        id="pools exceed the server",
        reason="PoolsExceedServer",
        says="320 connections (2 replicas × 4 workers × 2 pools × (10 + 10)); user modelengine may have 197",
        data=url(lambda stage: stage.url()),
        values={"replicaCount": {"gateway": 2}},
    ),
    Case(
        id="two secrets",
        reason="TwoDatabaseSecrets",
        says="(ml/db) is ignored",
        data=url(lambda stage: stage.url()),
        values={"secrets": {"cloudDatabaseSecretName": "ml/db"}},
    ),
    Case(
        id="a secret of Azure",
        reason="AzureNoIdentity",
        says="secret ml-db: no Azure identity in this process",
        data=lambda _: None,
        values={
            "secrets": {"kubernetesDatabaseSecretName": None, "cloudDatabaseSecretName": "ml-db"},
            "config": {"values": {"infra": {"cloud_provider": "azure"}}},
            "azure": {"keyvault_name": "vault-1"},
        },
    ),
    Case(
        id="a secret of GCP",
        reason="CloudSecretUnusable",
        says="secret ml/db has no project: DB_SECRET_GCP_PROJECT_ID is not set",
        data=lambda _: None,
        values={
            "secrets": {"kubernetesDatabaseSecretName": None, "cloudDatabaseSecretName": "ml/db"},
            "config": {"values": {"infra": {"cloud_provider": "gcp"}}},
        },
    ),
    Case(
        id="on premises, nothing named",
        reason="DatabaseNotConfigured",
        says="DB_HOST",
        data=lambda _: None,
        values={
            "secrets": {"kubernetesDatabaseSecretName": None},
            "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
        },
    ),
    Case(
        id="sound", reason="SchemaAtHead", says=f"is at revision {HEAD}", data=url(lambda stage: stage.url())
    ),
]


@pytest.fixture(scope="module")
def stage(postgres: Postgres, postgres_tls: Postgres) -> Iterator[Stage]:
    for server in (postgres, postgres_tls):
        server.create_role("modelengine", PASSWORD)
    postgres.create_role("stranger", PASSWORD)
    postgres.create_role("limited", PASSWORD, options="CONNECTION LIMIT 50")
    postgres.execute(f"CREATE ROLE nologin NOLOGIN PASSWORD '{PASSWORD}'")
    with ports.silent_server() as silent, ports.black_hole() as deaf:
        yield Stage(postgres, postgres_tls, silent, deaf)


@pytest.fixture(scope="module")
def produced() -> set[str]:
    """The reasons that the cases below produced."""
    return set()


async def judge(
    case: Case, stage: Stage, cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str
) -> CheckResult:
    data = case.data(stage)
    if data is not None:
        control_plane.api(
            "POST",
            f"/api/v1/namespaces/{namespace}/secrets",
            {"metadata": {"name": SECRET}, "stringData": data},
        )
    values = overlaid({"secrets": {"kubernetesDatabaseSecretName": SECRET}}, ROOMY, case.values)
    with case.around(stage):
        return await judged(
            "DatabaseMigrated",
            values,
            cluster=cluster,
            namespace=namespace,
            parameters=case.parameters,
            seconds=1 if case.reason == "ConnectionTimeout" else 5,
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_case(
    case: Case,
    stage: Stage,
    cluster: KubernetesCluster,
    control_plane: ControlPlane,
    namespace: str,
    produced: set[str],
) -> None:
    result = await judge(case, stage, cluster, control_plane, namespace)
    assert result.reason == case.reason
    assert case.says in result.message
    assert result.status is next(r.status for r in DatabaseReasons.all() if r.name == case.reason)
    assert bool(result.remediation) == (result.status is not Status.PASS)
    assert case.remedy in result.remediation
    assert PASSWORD not in repr(result)
    found = {finding.reason for finding in result.findings}
    assert found.issuperset(case.also)
    produced.update(found)


async def test_a_server_that_answers_garbage(
    cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str, stage: Stage, produced: set[str]
) -> None:
    for answer, reason in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "NotPostgreSQL"), (b"", "ConnectionClosed")):
        with ports.garbage_server(answer) as (host, port):
            case = Case(
                id="", reason=reason, says="", data=url(lambda _: f"postgresql://u:p@{host}:{port}/x")
            )
            result = await judge(case, stage, cluster, control_plane, control_plane.create_namespace())
        assert result.reason == reason
        produced.add(result.reason)


async def test_a_table_for_which_a_migration_waits(
    stage: Stage, produced: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mehc_checks.checks.database.schemaquery._LONG_WAIT", "0 seconds")
    url = stage.url()
    values = {
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
        "extraEnvVars": [{"name": "ML_INFRA_DATABASE_URL", "value": url}],
        **ROOMY,
    }
    with psycopg.connect(url) as idle, psycopg.connect(url) as migration:
        idle.execute("SELECT count(*) FROM hosted_model_inference.endpoints")
        alter = "ALTER TABLE hosted_model_inference.endpoints ADD COLUMN IF NOT EXISTS added text"
        waiting = asyncio.create_task(asyncio.to_thread(migration.execute, alter))
        for _ in range(300):
            result = await judged("DatabaseMigrated", values)
            if result.reason == "TableLocked":
                break
            await asyncio.sleep(0.2)
        pid = idle.info.backend_pid
        idle.rollback()
        await waiting
    assert (result.status, result.reason) == (Status.FAIL, "TableLocked"), result
    assert f"a lock on hosted_model_inference.endpoints, held by process {pid}" in result.message
    assert f"pg_terminate_backend({pid})" in result.remediation
    produced.add(result.reason)


async def test_a_standby_is_read_only(
    cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str, stage: Stage
) -> None:
    database = stage.database()
    with stage.postgres.standby() as standby:
        standby.wait_caught_up()
        case = Case(
            id="", reason="", says="", data=url(lambda _: standby.url("modelengine", PASSWORD, database))
        )
        result = await judge(case, stage, cluster, control_plane, namespace)
    assert (result.reason, result.status) == ("ReadOnly", Status.FAIL)
    assert "replica" in result.message


async def test_a_server_that_is_not_ready(
    cluster: KubernetesCluster, control_plane: ControlPlane, namespace: str, stage: Stage, produced: set[str]
) -> None:
    """A standby that admits nobody says the same as one that is starting up."""
    with contextlib.closing(stage.postgres.standby(settings={"hot_standby": "off"})) as standby:
        standby.spawn()
        await asyncio.to_thread(eventually, lambda: ports.is_listening(standby.port), bool)
        case = Case(
            id="", reason="", says="", data=url(lambda _: standby.url("modelengine", PASSWORD, "postgres"))
        )
        result = await judge(case, stage, cluster, control_plane, namespace)
    assert result.reason == "ServerNotReady"
    produced.add(result.reason)


def test_every_reason_has_a_case(produced: set[str]) -> None:
    """Those of AWS, Azure and Google are in test_aws.py, test_azure_identity.py and test_google_identity.py, of
    the network in test_net.py, some in files beside this one.
    """
    elsewhere = {
        *AwsReasons.all(),
        *AzureReasons.all(),
        *GoogleReasons.all(),
        *NetworkReasons.all(),
        *EnvironmentReasons.all(),
        DatabaseReasons.COMPONENT_DIFFERS,
        DatabaseReasons.CLOUD_SECRET_UNUSABLE,
        DatabaseReasons.ENTRA_LOGIN_NOT_TESTED,
        DatabaseReasons.ENTRA_LOGIN_REJECTED,
        DatabaseReasons.TRANSACTION_POOLING,
        DatabaseReasons.POOLER_WAITS,
        DatabaseReasons.PASSWORD_WHITESPACE,
    }
    assert {reason.name for reason in DatabaseReasons.all() if reason not in elsewhere} <= produced
