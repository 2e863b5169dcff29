"""RedisReachable on Azure: the user is the identity's object ID, the password a token of Microsoft Entra."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult
from testbed.azure import AzureCloud, Principal
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.redis import Redis
from testbed.rulejudging import at

AUDIENCE = "https://redis.azure.com"
DATA_CONTRIBUTOR = "~* &* +@all -@dangerous +cluster|info +cluster|nodes +cluster|slots"
"""Azure's built-in access policy of that name, as its documentation has it."""
HOST = "my-cache.redis.cache.windows.net"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A cache whose ACL has the platform's token as a password, as Azure's access policy Data Contributor would."""

    cloud: AzureCloud
    redis: Redis
    platform: Principal

    def admit(self, who: Principal, rules: str) -> None:
        token = self.cloud.token(who, AUDIENCE)
        self.redis.call("ACL", "SETUSER", who.object, "reset", "on", f">{token}", *rules.split())

    async def judge(self, **azure: str) -> CheckResult:
        known = {"client_id": self.platform.client, "object_id": self.platform.object}
        given: Tree = overlaid(
            at("config.values.infra.cloud_provider", "azure"),
            at("config.values.launch.cache_redis_azure_host", f"{HOST}:{self.redis.port}"),
            {"redis": {"enableTLS": True}, "celeryBrokerType": "servicebus", "azure": {**known, **azure}},
        )
        with self.cloud.led(**{f"{HOST}:{self.redis.port}": f"{self.redis.host}:{self.redis.port}"}):
            result = await judged("RedisReachable", given, seconds=60)
        assert not any(text in repr(result) for text in self.cloud.state.tokens.values())
        return result


@pytest.fixture(scope="module")
def setting(certificate_authority: CertificateAuthority) -> Iterator[Setting]:
    certificate = certificate_authority.issue(HOST, names=(HOST,))
    users = {"default": "off"}
    with (
        AzureCloud(certificate_authority) as cloud,
        Redis(tls=True, ca=certificate_authority, certificate=certificate, users=users) as redis,
    ):
        yield Setting(cloud=cloud, redis=redis, platform=cloud.identity())


@pytest.fixture
def by_platform(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    _run_as(setting.platform, setting, tmp_path, monkeypatch)
    setting.admit(setting.platform, DATA_CONTRIBUTOR)
    return setting


def _run_as(who: Principal, setting: Setting, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(setting.cloud.ca_file))
    for name, text in who.environment(folder).items():
        monkeypatch.setenv(name, text)


async def test_the_whole_conversation_by_a_token(by_platform: Setting) -> None:
    result = await by_platform.judge()
    assert (result.status, result.reason) == (Status.PASS, "RedisReachable"), result.message
    assert "cacheLatencyMs" in result.evidence


async def test_a_policy_that_lacks_what_the_platform_sends(by_platform: Setting) -> None:
    by_platform.admit(by_platform.platform, "~* &* +@read +info")
    result = await by_platform.judge()
    assert (result.status, result.reason) == (Status.FAIL, "AzureAccessPolicyDenies")
    assert "Data Contributor" in result.remediation
    assert "ACL SETUSER" not in result.remediation


async def test_an_object_id_that_is_not_the_identitys(by_platform: Setting) -> None:
    result = await by_platform.judge(object_id="11111111-2222-3333-4444-555555555555")
    assert (result.status, result.reason) == (Status.FAIL, "AzureCacheLoginRejected")
    assert by_platform.platform.object in result.message
    assert "azure.object_id" in result.remediation


async def test_another_identity_tests_the_path_only(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = setting.cloud.identity()
    _run_as(own, setting, tmp_path, monkeypatch)
    result = await setting.judge()
    assert (result.status, result.reason) == (Status.ERROR, "AzureTokenNotEvaluated")
    assert f"mehc has the identity of client {own.client}" in result.message


async def test_no_identity_tests_the_path_only(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(setting.cloud.ca_file))
    result = await setting.judge()
    assert (result.status, result.reason) == (Status.ERROR, "AzureTokenNotEvaluated")
    assert "no Azure identity in this process" in result.message
