"""VllmImagePullable at Artifact Registry, by a token of the operator's identity."""

from collections.abc import Iterator

import pytest

from mehc_checks.clients.google import gar, identity
from mehc_checks.core.outcome import Finding, Status
from mehc_checks.engine.report import CheckResult
from testbed.google import REGISTRY, Account, GoogleCloud
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.registry import ImageStore, Registry
from testbed.rulejudging import at


@pytest.fixture(scope="module")
def servers(
    certificate_authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GoogleCloud]:
    with (
        Registry(storage=tmp_path_factory.mktemp("gar")) as registry,
        GoogleCloud(certificate_authority) as running,
    ):
        ImageStore(registry).push_index("p1/r1/vllm", "0.6.3")
        running.state.registry = registry.address
        yield running


@pytest.fixture
def cloud(servers: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.ca_file))
    identity._KEPT.clear()
    identity._FAILED.clear()
    yield servers
    identity._KEPT.clear()
    identity._FAILED.clear()
    servers.state.on_node = ""


@pytest.fixture
def account(cloud: GoogleCloud) -> Account:
    made = cloud.account()
    cloud.state.on_node = made.email
    return made


async def judge(cloud: GoogleCloud, repository: str = "vllm", tag: str = "0.6.3") -> CheckResult:
    given = overlaid(
        at("config.values.infra", {"cloud_provider": "gcp", "docker_repo_prefix": f"{REGISTRY}/p1/r1"}),
        at("config.values.launch.vllm_repository", repository),
        at("inferenceFramework.vllm", tag),
    )
    with cloud.led():
        result = await judged("VllmImagePullable", given, parameters={"tag": tag}, seconds=60)
    for account in cloud.state.accounts.values():
        assert account.token not in repr(result)
    assert "remote words" not in repr(result)
    return result


def of_vllm(result: CheckResult) -> Finding:
    return next(found for found in result.findings if not found.subject)


async def test_an_account_that_can_pull(cloud: GoogleCloud, account: Account) -> None:
    cloud.grant(account, REGISTRY)
    found = of_vllm(await judge(cloud))
    assert (found.status, found.reason) == (Status.PASS, "Pullable"), found.message
    assert f"the operator's Google identity, service account {account.email}" in found.message


@pytest.mark.parametrize(
    ("repository", "tag", "reason"),
    [("vllm", "0.0.1", "TagMissing"), ("none", "0.6.3", "RepositoryMissing")],
    ids=["tag", "repository"],
)
async def test_what_the_registry_lacks(
    cloud: GoogleCloud, account: Account, repository: str, tag: str, reason: str
) -> None:
    cloud.grant(account, REGISTRY)
    found = of_vllm(await judge(cloud, repository, tag))
    assert (found.status, found.reason) == (Status.FAIL, reason), found.message


async def test_an_account_that_is_denied_says_nothing_of_nodes(cloud: GoogleCloud, account: Account) -> None:
    found = of_vllm(await judge(cloud))
    assert (found.status, found.reason) == (Status.WARN, "NodeIdentityNeeded")
    assert f"service account {account.email}, is denied" in found.message
    assert "roles/artifactregistry.reader" in found.remediation


async def test_no_identity(cloud: GoogleCloud) -> None:
    found = of_vllm(await judge(cloud))
    assert (found.status, found.reason) == (Status.WARN, "NodeIdentityNeeded")


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("us-docker.pkg.dev", True),
        ("europe-west4-docker.pkg.dev", True),
        ("gcr.io", True),
        ("eu.gcr.io", True),
        ("docker.pkg.dev", False),
        ("us-docker.pkg.dev.example.com", False),
        ("us-docker.pkg.dev:5000", False),
        ("evil.example-docker.pkg.dev", False),
        ("a.b.gcr.io", False),
    ],
)
def test_the_token_goes_to_registries_of_google(host: str, is_one: bool) -> None:
    assert gar.is_registry(host) is is_one
