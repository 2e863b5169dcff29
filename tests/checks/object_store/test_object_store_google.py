"""ObjectStoreReachable on Google Cloud: buckets are listed, and written to where that is asked for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mehc_checks.clients.google import identity
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.controlplane import ControlPlane
from testbed.google import IAM, STORAGE, STS, Account, GoogleCloud, refused
from testbed.httpserver import Proxy
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.rulejudging import at

PROBE = ".mehc-probe/"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def servers(certificate_authority: CertificateAuthority) -> Iterator[GoogleCloud]:
    with GoogleCloud(certificate_authority) as running:
        yield running


@pytest.fixture
def cloud(servers: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.ca_file))
    identity._KEPT.clear()
    identity._FAILED.clear()
    servers.state.buckets = {"llm_files": {"model.bin": NOW}, "tunes": {}}
    yield servers
    identity._KEPT.clear()
    identity._FAILED.clear()
    servers.state.on_node = ""
    servers.state.refusing.clear()


@pytest.fixture
def account(cloud: GoogleCloud) -> Account:
    """This process's, which may list both buckets."""
    made = cloud.account()
    cloud.state.on_node = made.email
    for bucket in ("llm_files", "tunes"):
        cloud.grant(made, bucket)
    return made


def values(bucket: str = "llm_files", **more: Tree) -> Tree:
    return overlaid(
        at("config.values.infra.cloud_provider", "gcp"),
        at("config.values.infra.s3_bucket", bucket),
        at("config.values.launch.cloud_file_llm_fine_tune_repository", "gs://tunes/repository"),
        more,
    )


async def judge(
    cloud: GoogleCloud, given: Tree | None = None, *, write: bool = False, **more: object
) -> CheckResult:
    with cloud.led():
        result = await judged(
            "ObjectStoreReachable",
            given or values(),
            parameters={"write": write},
            seconds=60,
            **more,  # type: ignore[arg-type]
        )
    assert "remote words" not in repr(result)
    return result


async def test_buckets_that_can_be_listed_whatever_their_location(
    cloud: GoogleCloud, account: Account
) -> None:
    result = await judge(cloud)
    assert (result.status, result.message) == (Status.PASS, "can be listed: llm_files, tunes")
    assert all(each.method != "POST" for each in cloud.server.requests if "/b/" in each.path)


async def test_through_a_proxy(cloud: GoogleCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy knows these names, that of the token service too; the metadata server is not asked there."""
    made = cloud.account()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(made.file(tmp_path)))
    for bucket in ("llm_files", "tunes"):
        cloud.grant(made, bucket)
    with Proxy({f"{host}:443": cloud.server.address for host in (STS, IAM, STORAGE)}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        result = await judged("ObjectStoreReachable", values(), seconds=60)
        assert result.status is Status.PASS, result.message
    with Proxy({f"{host}:443": cloud.server.address for host in (STS, IAM)}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        result = await judged("ObjectStoreReachable", values(), seconds=60)
    assert (result.status, result.reason) == (Status.FAIL, "HostUnreachable")


async def test_another_token_is_asked_for_in_place_of_a_rejected_one(
    cloud: GoogleCloud, account: Account
) -> None:
    assert (await judge(cloud)).status is Status.PASS
    account.token += "0"
    assert (await judge(cloud)).reason == "GoogleTokenRejected"
    assert (await judge(cloud)).status is Status.PASS


async def test_a_bucket_that_is_not_there(cloud: GoogleCloud, account: Account) -> None:
    result = await judge(cloud, values("gone"))
    assert (result.status, result.reason) == (Status.FAIL, "BucketNotFound")
    assert result.message == "bucket gone (config.values.infra.s3_bucket) does not exist"


async def test_a_name_that_no_bucket_has(cloud: GoogleCloud, account: Account) -> None:
    result = await judge(cloud, values("gs://llm_files"))
    assert (result.status, result.reason) == (Status.FAIL, "BucketNameInvalid")


async def test_an_account_that_cannot_list(cloud: GoogleCloud, account: Account) -> None:
    cloud.state.roles.discard((account.email, "tunes"))
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "GoogleAccessDenied")
    assert f"Google denied bucket tunes to service account {account.email}" in result.message
    assert "roles/storage.objectViewer" in result.remediation


async def test_the_platforms_own_account_that_cannot_list(cloud: GoogleCloud, account: Account) -> None:
    cloud.state.roles.discard((account.email, "tunes"))
    annotations = {"iam.gke.io/gcp-service-account": account.email}
    result = await judge(cloud, values(serviceAccount={"annotations": annotations}))
    assert (result.status, result.reason) == (Status.FAIL, "GooglePlatformAccessDenied")
    assert "bucket tunes" in result.message


async def test_a_project_without_a_billing_account(cloud: GoogleCloud, account: Account) -> None:
    cloud.state.refusing["tunes"] = refused(403, "accountDisabled")
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.FAIL, "GoogleBillingDisabled")
    assert "bucket tunes is closed" in result.message
    assert "gcloud billing projects link" in result.remediation


async def test_an_operator_without_an_identity(cloud: GoogleCloud) -> None:
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "StoreNotEvaluated")
    assert "no Google identity in this process" in result.message
    assert "roles/storage.objectViewer" in result.remediation


async def test_writing_leaves_nothing_and_takes_what_was_left(cloud: GoogleCloud, account: Account) -> None:
    result = await judge(cloud, write=True)
    assert (result.status, result.reason) == (Status.ERROR, "GoogleAccessDenied")
    assert "roles/storage.objectUser" in result.remediation
    cloud.state.writers.add(account.email)
    recent = datetime.now(UTC)
    left = {f"{PROBE}old": recent - timedelta(days=1), f"{PROBE}new": recent, "old": NOW}
    cloud.state.buckets["tunes"] = dict(left)
    result = await judge(cloud, write=True)
    assert (result.status, result.evidence["written"]) == (Status.PASS, 2)
    assert cloud.state.buckets["tunes"].keys() == left.keys() - {f"{PROBE}old"}
    assert cloud.state.buckets["llm_files"].keys() == {"model.bin"}


async def test_an_operator_asks_for_what_live_objects_name(
    cloud: GoogleCloud,
    account: Account,
    control_plane: ControlPlane,
    cluster: KubernetesCluster,
    namespace: str,
) -> None:
    before = len(cloud.server.requests)
    with reach.using(reach.Reach(restricted=True, allowed=reach.networks(["127.0.0.0/8"]))):
        result = await judge(cloud, write=True, cluster=cluster, namespace=namespace)
    assert {each.reason for each in result.findings} == {"NotVerified"}
    assert len(cloud.server.requests) == before


def test_googles_own_client_agrees_with_the_server(
    cloud: GoogleCloud, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle: google-cloud-storage, with which the platform opens files, gets the same answers."""
    from google.api_core.exceptions import Forbidden, NotFound
    from google.cloud.storage import Client
    from google.oauth2.credentials import Credentials

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cloud.ca_file))
    with cloud.led():
        client = Client(project="p1", credentials=Credentials(account.token))  # type: ignore[no-untyped-call]
        assert [each.name for each in client.list_blobs("llm_files")] == ["model.bin"]
        with pytest.raises(NotFound):
            list(client.list_blobs("gone"))
        with pytest.raises(Forbidden):
            client.bucket("tunes").blob("x").delete()
        client.close()
