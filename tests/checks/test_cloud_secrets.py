"""DatabaseMigrated with its address in AWS Secrets Manager, as the platform reads it there."""

import json
import secrets as random
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.aws import REGION, Aws
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.postgres import Postgres
from testbed.rulejudging import at

PASSWORD = "pass-w0rd-of-the-secret"


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> dict[str, str]:
    """The fields of the secret of a migrated database."""
    owner = f"cloud_{random.token_hex(3)}"
    postgres.create_role(owner, PASSWORD)
    name = postgres.create_database(owner, owner=owner)
    migrate(postgres, name, owner=owner)
    return {
        "username": owner,
        "password": PASSWORD,
        "clusterHost": "127.0.0.1",
        "clusterHostRo": "127.0.0.1",
        "port": str(postgres.port),
        "dbname": name,
    }


def values(secret: str, *overlays: Tree) -> Tree:
    return overlaid(
        at("secrets.cloudDatabaseSecretName", secret),
        at("config.values.infra", {"cloud_provider": "aws", "default_region": REGION}),
        *overlays,
    )


def kept(aws: Aws, content: Any) -> str:
    """The name of a new secret."""
    name = f"db-{random.token_hex(4)}"
    aws.keep_secret(name, content if isinstance(content, str) else json.dumps(content))
    return name


async def judge(given: Tree) -> CheckResult:
    result = await judged("DatabaseMigrated", given, seconds=20)
    assert PASSWORD not in repr(result)
    return result


def _is_at_head(result: CheckResult) -> bool:
    """Whatever it says of the size of pools besides."""
    return "SchemaAtHead" in {found.reason for found in result.findings} and result.status is not Status.FAIL


async def test_the_schema_behind_a_secret_of_aws(on_aws: Aws, database: dict[str, str]) -> None:
    result = await judge(values(kept(on_aws, {**database, "port": int(database["port"])})))
    assert _is_at_head(result), result.message


async def test_an_operator_reads_what_a_live_workload_names_and_tells_of_the_server_in_it(
    on_aws: Aws,
    database: dict[str, str],
    control_plane: ControlPlane,
    cluster: KubernetesCluster,
    namespace: str,
) -> None:
    """The secret's own address is private, as that of a database is."""
    host = "postgres.data.svc.cluster.local"
    name = kept(on_aws, {**database, "clusterHost": host, "clusterHostRo": host})

    async def found() -> set[str]:
        with reach.using(reach.Reach(restricted=True)):
            result = await judged(
                "DatabaseMigrated", values(name), cluster=cluster, namespace=namespace, seconds=60
            )
        assert PASSWORD not in repr(result)
        return {each.reason for each in result.findings}

    assert await found() == {"NotVerified"}
    env = [{"name": "SERVICE_IDENTIFIER", "value": ""}, {"name": "DB_SECRET_NAME", "value": name}]
    pod = {"containers": [{"name": "model-engine", "image": "x", "env": env}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    gateway = {"metadata": {"name": "model-engine"}, "spec": spec}
    control_plane.api("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", gateway)
    assert await found() & {"HostUnresolvable", "DNSTimeout", "ConnectionTimeout"}


async def test_a_name_by_the_context(on_aws: Aws, database: dict[str, str]) -> None:
    context = f"stage-{random.token_hex(3)}"
    on_aws.keep_secret(f"{context}/ml_infra_pg", json.dumps(database))
    given = overlaid(values(""), {"context": context})
    assert _is_at_head(await judge(given))


async def test_a_secret_that_does_not_exist(on_aws: Aws) -> None:
    result = await judge(values("no/such"))
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable")
    assert result.message == f"secret no/such does not exist in AWS Secrets Manager of {REGION}"
    assert "secrets.cloudDatabaseSecretName" in result.remediation


async def test_a_secret_in_another_region(on_aws: Aws, database: dict[str, str]) -> None:
    far = at("config.values.infra.default_region", "eu-west-1")
    result = await judge(values(kept(on_aws, database), far))
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable")
    assert "does not exist in AWS Secrets Manager of eu-west-1" in result.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (PASSWORD, "is not JSON"),
        ([PASSWORD], "is not a JSON object"),
        ("{}", "lacks username, password, clusterHost"),
    ],
    ids=["text", "a list", "nothing"],
)
async def test_a_secret_that_is_none(on_aws: Aws, content: Any, says: str) -> None:
    result = await judge(values(kept(on_aws, content)))
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable")
    assert says in result.message


@pytest.mark.parametrize(
    ("field", "effect"),
    [
        ("username", "every API request fails"),
        ("password", "every API request fails"),
        ("clusterHost", "every API request fails"),
        ("clusterHostRo", "every GET request fails"),
        ("port", "the platform can open no session at all"),
        ("dbname", "every API request fails"),
    ],
)
async def test_a_field_that_is_missing(
    on_aws: Aws, database: dict[str, str], field: str, effect: str
) -> None:
    result = await judge(values(kept(on_aws, {k: v for k, v in database.items() if k != field})))
    assert result.reason == "CloudSecretUnusable"
    assert f" lacks {field}: {effect}" in result.message


async def test_a_port_that_is_none(on_aws: Aws, database: dict[str, str]) -> None:
    result = await judge(values(kept(on_aws, {**database, "port": "many"})))
    assert (result.reason, result.status) == ("DatabaseURLUnparsable", Status.FAIL)
    assert "its port is not a number" in result.message


async def test_a_password_that_the_database_rejects(on_aws: Aws, database: dict[str, str]) -> None:
    result = await judge(values(kept(on_aws, {**database, "password": "another"})))
    assert result.status is Status.FAIL
    assert result.reason not in ("CloudSecretUnusable", "SchemaAtHead")


@pytest.mark.parametrize("password", ["a/b?c", "rot@ted#1"])
async def test_a_rotated_password(on_aws: Aws, postgres: Postgres, password: str) -> None:
    """The platform strings it into a URL as it is: SQLAlchemy reads / and ? in it, and no @."""
    user = postgres.create_role(f"rotated_{random.token_hex(3)}", password)
    name = postgres.create_database(user, owner=user)
    migrate(postgres, name, owner=user)
    host = {"clusterHost": "127.0.0.1", "clusterHostRo": "127.0.0.1", "port": postgres.port, "dbname": name}
    result = await judge(values(kept(on_aws, {**host, "username": user, "password": password})))
    assert password not in repr(result)
    if "@" not in password:
        assert _is_at_head(result), result.message
        return
    assert (result.status, result.reason) == (Status.FAIL, "DatabasePasswordNotEncoded")
    assert "contains @" in result.message


async def test_this_process_may_not_read_it(
    on_aws: Aws, database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kept(on_aws, database)
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", "/nonexistent")
    result = await judge(values(name))
    assert (result.status, result.reason) == (Status.ERROR, "AWSNoCredentials")
    assert f"secret {name}" in result.message
