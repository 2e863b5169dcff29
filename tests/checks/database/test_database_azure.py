"""DatabaseMigrated with its address in Azure Key Vault, and a token of Microsoft Entra for the password."""

import secrets as random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.azure import AzureCloud, Principal
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.rulejudging import at

VAULT = "kv-db.vault.azure.net"
AUDIENCE = "https://ossrdbms-aad.database.windows.net"
SERVER = "my-db.postgres.database.azure.com"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A migrated database whose owner's password is the token of the platform's identity."""

    cloud: AzureCloud
    postgres: Postgres
    platform: Principal
    user: str
    database: str

    @property
    def address(self) -> str:
        return f"{SERVER}:{self.postgres.port}/{self.database}"

    async def judge(self, given: Tree, **more: object) -> CheckResult:
        routes = {f"{SERVER}:{self.postgres.port}": f"{self.postgres.host}:{self.postgres.port}"}
        with self.cloud.led(VAULT, **routes):
            result = await judged("DatabaseMigrated", given, seconds=60, **more)  # type: ignore[arg-type]
        for text in self.cloud.state.tokens.values():
            assert text not in repr(result)
        assert "remote words" not in repr(result)
        return result

    def values(self, content: str | None, *, enabled: bool = True, **azure: str) -> Tree:
        """``content`` is a new secret's; None for a secret that is not there."""
        name = f"db-{random.token_hex(4)}"
        if content is not None:
            self.cloud.keep("kv-db", name, content, enabled=enabled)
        known = {"keyvault_name": "kv-db", "identity_name": self.user, "client_id": self.platform.client}
        return overlaid(
            at("secrets.cloudDatabaseSecretName", name),
            at("config.values.infra.cloud_provider", "azure"),
            {"azure": {**known, **azure}},
        )


@pytest.fixture(scope="module")
def setting(certificate_authority: CertificateAuthority, postgres_tls: Postgres) -> Iterator[Setting]:
    with AzureCloud(certificate_authority) as cloud:
        platform = cloud.identity()
        cloud.grant(platform, VAULT)
        user = f"platform_{random.token_hex(3)}"
        token = cloud.token(platform, AUDIENCE)
        postgres_tls.create_role(user, token)
        database = postgres_tls.create_database(user, owner=user)
        migrate(postgres_tls, database, owner=user)
        yield Setting(cloud=cloud, postgres=postgres_tls, platform=platform, user=user, database=database)


@pytest.fixture
def by_platform(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """The operator has the platform's identity."""
    _run_as(setting.platform, setting, tmp_path, monkeypatch)
    return setting


@pytest.fixture
def own(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """The operator has an identity of its own."""
    made = setting.cloud.identity()
    _run_as(made, setting, tmp_path, monkeypatch)
    return made


def _run_as(who: Principal, setting: Setting, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(setting.cloud.ca_file))
    for name, text in who.environment(folder).items():
        monkeypatch.setenv(name, text)


def _is_at_head(result: CheckResult) -> bool:
    """Whatever it says of the size of pools besides."""
    return "SchemaAtHead" in {found.reason for found in result.findings} and result.status is not Status.FAIL


async def test_the_schema_behind_a_secret_of_azure(by_platform: Setting) -> None:
    result = await by_platform.judge(by_platform.values(by_platform.address))
    assert _is_at_head(result), result.message
    assert str(result.evidence["source"]).endswith("of Azure Key Vault")


async def test_an_operator_of_its_own_identity_reads_the_secret_and_leaves_the_login_open(
    setting: Setting, own: Principal
) -> None:
    given = setting.values(setting.address)
    result = await setting.judge(given)
    assert (result.status, result.reason) == (Status.ERROR, "AzureAccessDenied")
    assert "Key Vault Secrets User" in result.remediation
    assert own.object in result.remediation
    setting.cloud.grant(own, VAULT)
    result = await setting.judge(given)
    assert (result.status, result.reason) == (Status.ERROR, "EntraLoginNotTested")
    assert f"the login of {setting.user} was not tested" in result.message
    assert own.client in result.message


async def test_what_is_denied_to_the_platform_itself_fails(by_platform: Setting) -> None:
    by_platform.cloud.state.roles.clear()
    try:
        result = await by_platform.judge(by_platform.values(by_platform.address))
    finally:
        by_platform.cloud.grant(by_platform.platform, VAULT)
    assert (result.status, result.reason) == (Status.FAIL, "AzurePlatformAccessDenied")


async def test_a_user_that_the_database_does_not_bind_to_the_identity(by_platform: Setting) -> None:
    result = await by_platform.judge(by_platform.values(by_platform.address, identity_name="nobody"))
    assert (result.status, result.reason) == (Status.FAIL, "EntraLoginRejected")
    assert "pgaadauth_create_principal('nobody'" in result.remediation


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist in Azure Key Vault kv-db"),
        ("", "is blank"),
        ("host:5432/db\n", "has white space at its ends"),
        ('{"clusterHost": "host"}', "is JSON"),
        ("postgresql://user:pass-w0rd@host/db", "is a whole URL"),
        ("host:5432", "names no database"),
    ],
    ids=["none", "blank", "newline", "JSON", "URL", "no database"],
)
async def test_a_secret_that_is_no_address(by_platform: Setting, content: str | None, says: str) -> None:
    result = await by_platform.judge(by_platform.values(content))
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable")
    assert says in result.message
    assert "azure.keyvault_name" in result.remediation
    assert "pass-w0rd" not in repr(result)


async def test_a_secret_that_is_disabled(by_platform: Setting) -> None:
    result = await by_platform.judge(by_platform.values("host:5432/db", enabled=False))
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable")
    assert "is disabled in Key Vault kv-db" in result.message


@pytest.mark.parametrize(
    ("vault", "reason", "says"),
    [
        ("no-such-vault.invalid", "CloudSecretUnusable", "is no vault's name"),
        ("", "CloudSecretUnusable", "it is not set"),
    ],
    ids=["a host", "empty"],
)
async def test_a_vault_that_is_none(by_platform: Setting, vault: str, reason: str, says: str) -> None:
    result = await by_platform.judge(by_platform.values("x:1/y", keyvault_name=vault))
    assert (result.status, result.reason) == (Status.FAIL, reason)
    assert says in result.message


async def test_a_vault_whose_name_does_not_resolve(by_platform: Setting) -> None:
    given = by_platform.values("x:1/y", keyvault_name="gone")
    routes = {"gone.vault.azure.net:443": "gone.invalid:443"}
    with by_platform.cloud.led(**routes):
        result = await judged("DatabaseMigrated", given, seconds=60)
    assert (result.status, result.reason) == (Status.FAIL, "HostUnresolvable")
    assert "azure.keyvault_name" in result.remediation


async def test_an_operator_reads_what_a_live_workload_names_and_sends_its_token_to_azures_servers_only(
    by_platform: Setting, control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    given = by_platform.values(by_platform.address)
    elsewhere = by_platform.values(f"db.example.com:{by_platform.postgres.port}/{by_platform.database}")
    hidden = by_platform.values(f"{by_platform.address}?host=db.example.com&application_name=")

    async def found(values: Tree) -> set[str]:
        allowed = reach.networks(["127.0.0.0/8"])
        with reach.using(reach.Reach(restricted=True, allowed=allowed)):
            result = await by_platform.judge(values, cluster=cluster, namespace=namespace)
        return {each.reason for each in result.findings}

    assert await found(given) == {"NotVerified"}
    for values, reason in (
        (given, "SchemaAtHead"),
        (elsewhere, "AzureTokenWithheld"),
        (hidden, "AzureTokenWithheld"),
    ):
        _deploy(control_plane, namespace, values)
        assert reason in await found(values)


def _deploy(control_plane: ControlPlane, namespace: str, values: Tree) -> None:
    """A gateway whose environment says what ``values`` do."""
    azure = values["azure"]
    env = {
        "SERVICE_IDENTIFIER": "",
        "DB_SECRET_NAME": values["secrets"]["cloudDatabaseSecretName"],
        "KEYVAULT_NAME": azure["keyvault_name"],
        "AZURE_IDENTITY_NAME": azure["identity_name"],
        "AZURE_CLIENT_ID": azure["client_id"],
    }
    listed = [{"name": name, "value": text} for name, text in env.items()]
    pod = {"containers": [{"name": "model-engine", "image": "x", "env": listed}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    metadata = {"name": "model-engine", "namespace": namespace}
    control_plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}])
