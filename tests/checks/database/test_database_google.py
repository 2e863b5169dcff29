"""DatabaseMigrated with its URL in Google's Secret Manager."""

import json
import secrets as random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mehc_checks.clients.google import identity
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.controlplane import ControlPlane
from testbed.google import SECRETS, Account, GoogleCloud, error
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.rulejudging import at

PROJECT = "p1-database"
PASSWORD = "pass-w0rd-of-google"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A migrated database, and the account of the operator, which may read secrets."""

    cloud: GoogleCloud
    account: Account
    fields: dict[str, object]

    async def judge(self, given: Tree, **more: object) -> CheckResult:
        with self.cloud.led():
            result = await judged("DatabaseMigrated", given, seconds=60, **more)  # type: ignore[arg-type]
        for hidden in ("remote words", PASSWORD, self.account.token):
            assert hidden not in repr(result)
        return result

    def values(
        self, content: object = None, *, state: str = "ENABLED", project: str | None = PROJECT, name: str = ""
    ) -> Tree:
        """``content`` is a new secret's, text or JSON; None for a secret that is not there."""
        made = f"db-{random.token_hex(4)}"
        if content is not None:
            text = content if isinstance(content, str | bytes) else json.dumps(content)
            self.cloud.keep(PROJECT, made, text, state=state)
        env = [] if project is None else [{"name": "DB_SECRET_GCP_PROJECT_ID", "value": project}]
        return overlaid(
            at("secrets.cloudDatabaseSecretName", name.replace("NAME", made) or made),
            at("config.values.infra.cloud_provider", "gcp"),
            at("extraEnvVars", env),
        )

    def without(self, *names: str, **more: object) -> dict[str, object]:
        return {name: value for name, value in {**self.fields, **more}.items() if name not in names}


@pytest.fixture(scope="module")
def whole(certificate_authority: CertificateAuthority, postgres: Postgres) -> Iterator[Setting]:
    with GoogleCloud(certificate_authority) as cloud:
        account = cloud.account()
        cloud.grant(account, PROJECT)
        user = f"platform_{random.token_hex(3)}"
        postgres.create_role(user, PASSWORD)
        database = postgres.create_database(user, owner=user)
        migrate(postgres, database, owner=user)
        place = {"clusterHost": postgres.host, "clusterHostRo": postgres.host, "port": postgres.port}
        fields = {"username": user, "password": PASSWORD, **place, "dbname": database}
        yield Setting(cloud=cloud, account=account, fields=fields)


@pytest.fixture
def setting(whole: Setting, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    """The operator's pod has the account."""
    monkeypatch.setenv("SSL_CERT_FILE", str(whole.cloud.ca_file))
    identity._KEPT.clear()
    identity._FAILED.clear()
    whole.cloud.state.on_node = whole.account.email
    yield whole
    identity._KEPT.clear()
    identity._FAILED.clear()
    whole.cloud.state.refusing.clear()


def _is_at_head(result: CheckResult) -> bool:
    """Whatever it says of the size of pools besides."""
    return "SchemaAtHead" in {found.reason for found in result.findings} and result.status is not Status.FAIL


@pytest.mark.parametrize("kind", ["complete", "host for both", "full name"])
async def test_the_schema_behind_a_secret_of_google(setting: Setting, kind: str) -> None:
    host = {"host": setting.fields["clusterHost"]}
    given = {
        "complete": lambda: setting.values(setting.fields),
        "host for both": lambda: setting.values(setting.without("clusterHost", "clusterHostRo", **host)),
        "full name": lambda: setting.values(
            setting.fields, project=None, name=f"projects/{PROJECT}/secrets/NAME/versions/latest"
        ),
    }[kind]()
    result = await setting.judge(given)
    assert _is_at_head(result), result.message
    assert str(result.evidence["source"]).endswith("of GCP Secret Manager")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda at: at.values(), f"does not exist in Secret Manager of project {PROJECT}, or has no version"),
        (lambda at: at.values("{}", state="DISABLED"), "its version latest is disabled"),
        (lambda at: at.values("{}", state="DESTROYED"), "its version latest is destroyed"),
        (lambda at: at.values(PASSWORD), "is not JSON"),
        (lambda at: at.values("[1]"), "is not a JSON object"),
        (lambda at: at.values(b"\xff\xfe"), "has no text"),
        (lambda at: at.values(at.without("password")), "lacks password"),
        (lambda at: at.values(at.without("clusterHost")), "lacks clusterHost"),
        (lambda at: at.values(at.without("clusterHostRo", clusterHostRo="")), "lacks clusterHostRo"),
        (lambda at: at.values(at.fields, project=None), "DB_SECRET_GCP_PROJECT_ID is not set"),
        (lambda at: at.values(at.fields, project=""), "is '', which is no project's ID"),
        (lambda at: at.values(at.fields, name="ml/db"), "letters, digits, - and _ only"),
    ],
    ids=[
        *("missing", "disabled", "destroyed", "not JSON", "a list", "binary", "no password", "no host"),
        *("no reader", "no project", "empty project", "a slash"),
    ],
)
async def test_a_secret_that_the_platform_cannot_use(setting: Setting, given: object, says: str) -> None:
    result = await setting.judge(given(setting))  # type: ignore[operator]
    assert (result.status, result.reason) == (Status.FAIL, "CloudSecretUnusable"), result.message
    assert says in result.message
    assert "DB_SECRET_GCP_PROJECT_ID" in result.remediation
    assert "default_region" not in result.remediation


async def test_a_password_that_the_server_rejects(setting: Setting) -> None:
    result = await setting.judge(setting.values(setting.without(password="another")))
    assert (result.status, result.reason) == (Status.FAIL, "PasswordRejected")
    assert "of GCP Secret Manager" in result.remediation + result.message


async def test_an_operator_that_may_not_read_it_says_who_needs_which_role(setting: Setting) -> None:
    setting.cloud.state.roles.clear()
    try:
        result = await setting.judge(setting.values(setting.fields))
    finally:
        setting.cloud.grant(setting.account, PROJECT)
    assert (result.status, result.reason) == (Status.ERROR, "GoogleAccessDenied")
    assert f"grant roles/secretmanager.secretAccessor to service account {setting.account.email}" in (
        result.remediation
    )


async def test_an_operator_without_an_identity_reports_no_failure(setting: Setting) -> None:
    setting.cloud.state.on_node = ""
    result = await setting.judge(setting.values(setting.fields))
    assert (result.status, result.reason) == (Status.ERROR, "GoogleNoIdentity")
    assert "iam.gke.io/gcp-service-account" in result.remediation


async def test_an_api_that_is_not_enabled(setting: Setting) -> None:
    words = {"service": SECRETS, "consumer": "projects/123456"}
    setting.cloud.state.refusing[PROJECT] = error(
        403, "PERMISSION_DENIED", reason="SERVICE_DISABLED", **words
    )
    result = await setting.judge(setting.values(setting.fields))
    assert (result.status, result.reason) == (Status.ERROR, "GoogleApiDisabled")
    assert f"gcloud services enable {SECRETS} in project 123456" in result.remediation


async def test_secret_manager_behind_a_name_that_does_not_resolve(setting: Setting) -> None:
    with setting.cloud.led(**{f"{SECRETS}:443": "gone.invalid:443"}):
        result = await judged("DatabaseMigrated", setting.values(setting.fields), seconds=60)
    assert result.reason == "HostUnresolvable"
    assert "the private DNS zone of googleapis.com" in result.remediation


async def test_an_operator_reads_what_a_live_workload_names_and_from_its_project_only(
    setting: Setting, control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    given = setting.values(setting.fields)

    async def found() -> set[str]:
        allowed = reach.networks(["127.0.0.0/8"])
        with reach.using(reach.Reach(restricted=True, allowed=allowed)):
            result = await setting.judge(given, cluster=cluster, namespace=namespace)
        return {each.reason for each in result.findings}

    before = len(setting.cloud.server.requests)
    assert await found() == {"NotVerified"}
    assert len(setting.cloud.server.requests) == before
    name = given["secrets"]["cloudDatabaseSecretName"]
    _deploy(control_plane, namespace, DB_SECRET_NAME=name, DB_SECRET_GCP_PROJECT_ID="p2-elsewhere")
    assert await found() == {"GoogleAccessDenied"}
    _deploy(control_plane, namespace, DB_SECRET_NAME=name, DB_SECRET_GCP_PROJECT_ID=PROJECT)
    assert "SchemaAtHead" in await found()


def _deploy(control_plane: ControlPlane, namespace: str, **env: str) -> None:
    """A gateway with ``env``."""
    listed = [{"name": name, "value": text} for name, text in {"SERVICE_IDENTIFIER": "", **env}.items()]
    pod = {"containers": [{"name": "model-engine", "image": "x", "env": listed}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": pod}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    metadata = {"name": "model-engine", "namespace": namespace}
    control_plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}])
