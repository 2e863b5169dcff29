"""ObjectStoreReachable on Azure: containers are listed, and written to where that is asked for."""

from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.azure import LOGIN, AzureCloud, Principal
from testbed.httpserver import Proxy
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.rulejudging import at

HOST = "ours.blob.core.windows.net"
PROBE = ".mehc-probe/"

VALUES = overlaid(
    at("config.values.infra.cloud_provider", "azure"),
    at("config.values.launch.cloud_file_llm_fine_tune_repository", "azure://files/repository"),
    {"azure": {"abs_account_name": "ours", "abs_container_name": "bundles"}},
)


@pytest.fixture(scope="module")
def cloud(certificate_authority: CertificateAuthority) -> Iterator[AzureCloud]:
    with AzureCloud(certificate_authority) as running:
        yield running


@pytest.fixture
def person(cloud: AzureCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    cloud.state.containers = {(HOST, "bundles"): {"model.bin": formatdate(usegmt=True)}, (HOST, "files"): {}}
    made = cloud.identity()
    for name, text in made.environment(tmp_path).items():
        monkeypatch.setenv(name, text)
    return made


async def judge(cloud: AzureCloud, client: str = "another", *, write: bool = False) -> CheckResult:
    given = overlaid(VALUES, {"azure": {"client_id": client}})
    with cloud.led(HOST):
        result = await judged("ObjectStoreReachable", given, parameters={"write": write}, seconds=60)
    assert "remote words" not in repr(result)
    return result


async def test_containers_that_can_be_listed(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    result = await judge(cloud)
    assert (result.status, result.message) == (Status.PASS, "can be listed: bundles, files")


async def test_a_container_that_is_not_there(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    del cloud.state.containers[HOST, "bundles"]
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.FAIL, "BucketNotFound")
    assert result.message == "container bundles (azure.abs_container_name) does not exist"


async def test_an_identity_that_may_not_list(cloud: AzureCloud, person: Principal) -> None:
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "AzureAccessDenied")
    assert "Storage Blob Data Reader" in result.remediation
    result = await judge(cloud, client=person.client)
    assert (result.status, result.reason) == (Status.FAIL, "AzurePlatformAccessDenied")


async def test_a_token_that_is_not_accepted_is_asked_for_again(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    assert (await judge(cloud)).status is Status.PASS
    cloud.state.tokens.clear()
    result = await judge(cloud, client=person.client)
    assert (result.status, result.reason) == (Status.ERROR, "AzureTokenRejected")
    assert (await judge(cloud)).status is Status.PASS


async def test_through_a_proxy(cloud: AzureCloud, person: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy knows these names."""
    cloud.grant(person, HOST)
    with Proxy({f"{name}:443": cloud.server.address for name in (LOGIN, HOST)}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        result = await judged("ObjectStoreReachable", VALUES, seconds=60)
        assert result.status is Status.PASS, result.message
    with Proxy({f"{LOGIN}:443": cloud.server.address}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        result = await judged("ObjectStoreReachable", VALUES, seconds=60)
    assert (result.status, result.reason) == (Status.FAIL, "HostUnreachable")
    assert "the proxy returned HTTP 502" in result.message


async def test_a_firewall(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    cloud.state.firewalled.add(HOST)
    try:
        result = await judge(cloud)
    finally:
        cloud.state.firewalled.clear()
    assert (result.status, result.reason) == (Status.ERROR, "AzureFirewallDenied")


async def test_a_write_leaves_nothing_and_takes_away_what_another_left(
    cloud: AzureCloud, person: Principal
) -> None:
    cloud.grant(person, HOST)
    result = await judge(cloud, write=True)
    assert (result.status, result.reason) == (Status.ERROR, "AzureAccessDenied")
    assert "Storage Blob Data Contributor" in result.remediation
    cloud.state.writers.add((person.object, HOST))
    fresh = formatdate(usegmt=True)
    left = {f"{PROBE}old": "Mon, 01 Jan 2024 00:00:00 GMT", f"{PROBE}fresh": fresh}
    cloud.state.containers[HOST, "bundles"].update(left)
    result = await judge(cloud, write=True)
    assert result.status is Status.PASS, result.message
    assert result.evidence["written"] == 2
    assert {*cloud.state.containers[HOST, "bundles"]} == {"model.bin", f"{PROBE}fresh"}


async def test_no_identity(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    result = await judge(cloud)
    assert (result.status, result.reason) == (Status.ERROR, "StoreNotEvaluated")
    assert "no Azure identity in this process" in result.message


def test_the_vendors_own_client_agrees_with_the_server(cloud: AzureCloud, person: Principal) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
    from azure.identity import WorkloadIdentityCredential
    from azure.storage.blob import BlobServiceClient

    trust = {"connection_verify": str(cloud.ca_file), "retry_total": 0}
    with cloud.led(HOST):
        credential = WorkloadIdentityCredential(disable_instance_discovery=True, **trust)
        with BlobServiceClient(f"https://{HOST}", credential, **trust) as client:
            bundles = client.get_container_client("bundles")
            with pytest.raises(HttpResponseError) as caught:
                list(bundles.list_blob_names())
            assert caught.value.error_code == "AuthorizationPermissionMismatch"
            cloud.grant(person, HOST)
            assert list(bundles.list_blob_names()) == ["model.bin"]
            with pytest.raises(ResourceNotFoundError):
                list(client.get_container_client("none").list_blob_names())
        credential.close()
