"""VllmImagePullable at a registry of Azure, by a token that the registry makes of one of the operator's identity."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.azure import AzureCloud, Principal
from testbed.installation import overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.registry import ImageStore, Registry
from testbed.rulejudging import at

HOST = "ours-a1b2c3d4.azurecr.io"
"""As one with a domain name label: name, hyphen, hash."""


@pytest.fixture(scope="module")
def cloud(
    certificate_authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AzureCloud]:
    with (
        Registry(storage=tmp_path_factory.mktemp("acr")) as registry,
        AzureCloud(certificate_authority) as running,
    ):
        ImageStore(registry).push_index("vllm", "0.6.3")
        running.state.registry = registry.address
        yield running


@pytest.fixture
def person(cloud: AzureCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Principal:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    made = cloud.identity()
    for name, text in made.environment(tmp_path).items():
        monkeypatch.setenv(name, text)
    return made


async def judge(cloud: AzureCloud, repository: str = "vllm", tag: str = "0.6.3") -> CheckResult:
    given = overlaid(
        at("config.values.infra", {"cloud_provider": "azure", "docker_repo_prefix": HOST}),
        at("config.values.launch.vllm_repository", repository),
        at("inferenceFramework.vllm", tag),
    )
    with cloud.led(HOST):
        result = await judged("VllmImagePullable", given, parameters={"tag": tag}, seconds=60)
    assert "remote words" not in repr(result)
    assert not any(password in repr(result) for password in cloud.state.passwords)
    return result


def verdict(result: CheckResult) -> tuple[Status, str]:
    """Of vLLM's image."""
    found = next(found for found in result.findings if not found.subject)
    return found.status, found.reason


async def test_an_identity_that_may_pull(cloud: AzureCloud, person: Principal) -> None:
    cloud.grant(person, HOST)
    result = await judge(cloud)
    assert verdict(result) == (Status.PASS, "Pullable"), result.message
    assert "with a token of the operator's Azure identity" in result.message


@pytest.mark.parametrize(
    ("repository", "tag", "reason"),
    [("vllm", "0.0.1", "TagMissing"), ("none", "0.6.3", "RepositoryMissing")],
    ids=["tag", "repository"],
)
async def test_what_the_registry_lacks(
    cloud: AzureCloud, person: Principal, repository: str, tag: str, reason: str
) -> None:
    cloud.grant(person, HOST)
    assert verdict(await judge(cloud, repository, tag)) == (Status.FAIL, reason)


async def test_an_identity_that_may_not_says_nothing_of_nodes(cloud: AzureCloud, person: Principal) -> None:
    assert verdict(await judge(cloud)) == (Status.WARN, "NodeIdentityNeeded")


async def test_no_identity(cloud: AzureCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(cloud.ca_file))
    assert verdict(await judge(cloud)) == (Status.WARN, "NodeIdentityNeeded")
