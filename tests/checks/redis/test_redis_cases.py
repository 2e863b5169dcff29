"""Cases from public reports about Redis, on real servers; those of the broker's ACL are in test_broker_permissions."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.outcome import Status
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, overlaid
from testbed.judging import judged
from testbed.pki import CertificateAuthority
from testbed.redis import Redis
from testbed.rulejudging import at

TOKEN: Final = "oracle"
INFRA, LAUNCH = "config.values.infra", "config.values.launch"


@pytest.fixture(scope="module")
def servers(certificate_authority: CertificateAuthority) -> Iterator[Mapping[str, Redis]]:
    with (
        Redis() as plain,
        Redis(password=TOKEN) as locked,
        Redis(tls=True, ca=certificate_authority, password=TOKEN) as secured,
    ):
        yield {"plain": plain, "locked": locked, "secured": secured}


@pytest.fixture(autouse=True)
def trusting(certificate_authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_authority.ca_file))


@dataclass(frozen=True, kw_only=True)
class Case:
    """``values`` lie over an installation on premises whose cache is sound and whose broker is ``server``.

    ``expected`` are status and reason by connection; ``says`` is in the message or the remedy of the worst.
    """

    id: str
    server: str
    expected: Mapping[str, tuple[Status, str]]
    values: Callable[[Redis], Tree] = lambda _: {}
    secret: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()


WORKS: Final = (Status.PASS, "RedisReachable")


def azure(server: Redis, *, tls: bool) -> Tree:
    return overlaid(
        at(f"{INFRA}.cloud_provider", "azure"),
        at(f"{LAUNCH}.cache_redis_onprem_url", None),
        at(f"{LAUNCH}.cache_redis_azure_host", f"{server.host}:{server.port}"),
        at("redis.enableTLS", tls),
        {"azure": {"servicebus_namespace": "bus"}, "celeryBrokerType": "servicebus"},
        {"celery_broker_type_redis": None},
    )


CASES: Final = (
    Case(
        id="R-10: a redis_aws_secret_name left over on premises",
        server="plain",
        values=lambda _: at(f"{INFRA}.redis_aws_secret_name", "left-over"),
        expected={"broker": WORKS},
    ),
    Case(
        id="R-20: one key, which is not the one that the chart reads",
        server="secured",
        values=lambda _: at("redis.authSecretName", "redis-auth"),
        secret={"redis-password": TOKEN},
        expected={"broker": (Status.FAIL, "RedisTokenNotFound")},
        says=("has no key auth_token", "CreateContainerConfigError", "redis.authSecretKey"),
    ),
    Case(
        id="R-21: authSecretKey names the new one of two keys",
        server="secured",
        values=lambda _: at("redis", {"authSecretName": "redis-auth", "authSecretKey": "redis-password"}),
        secret={"auth_token": "old-token", "redis-password": TOKEN},
        expected={"broker": WORKS},
    ),
    Case(
        id="R-22: authSecretKey names a key of a foreign Secret",
        server="secured",
        values=lambda _: at("redis", {"authSecretName": "redis-auth", "authSecretKey": "redis-password"}),
        secret={"redis-password": TOKEN, "sentinel-password": "x"},
        expected={"broker": WORKS},
    ),
    Case(
        id="R-30: plain text with a password, which charts up to 0.2.7 cannot",
        server="locked",
        values=lambda server: overlaid(
            at("redis", {"auth": TOKEN, "enableTLS": False}),
            at(f"{LAUNCH}.cache_redis_onprem_url", server.url()),
        ),
        expected={
            "cache": WORKS,
            "broker": (Status.FAIL, "ServerNotTLS"),
            "keda": (Status.FAIL, "KedaAddressInvalid"),
        },
        says=("up to chart 0.2.7",),
    ),
    Case(
        id="R-31: a token with reserved characters",
        server="locked",
        values=lambda _: at("redis.auth", "p@ss/w#rd"),
        expected={"broker": (Status.FAIL, "RedisURLInvalid")},
        says=("redis.auth", "characters that end a URL's password"),
    ),
    Case(
        id="R-40a: Azure, where KEDA has no connection to Redis; enableTLS off",
        server="secured",
        values=lambda server: azure(server, tls=False),
        expected={"cache": (Status.ERROR, "AzureTokenNotEvaluated")},
    ),
    Case(
        id="R-40b: Azure, enableTLS on",
        server="secured",
        values=lambda server: azure(server, tls=True),
        expected={"cache": (Status.ERROR, "AzureTokenNotEvaluated")},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_case(
    case: Case,
    servers: Mapping[str, Redis],
    cluster: KubernetesCluster,
    control_plane: ControlPlane,
    namespace: str,
) -> None:
    server = servers[case.server]
    if case.secret:
        secret: dict[str, Any] = {"metadata": {"name": "redis-auth"}, "stringData": dict(case.secret)}
        path = f"/api/v1/namespaces/{namespace}/secrets"
        await asyncio.to_thread(control_plane.api, "POST", path, secret)
    given = overlaid(
        at(f"{INFRA}.cloud_provider", "onprem"),
        at(f"{LAUNCH}.cache_redis_onprem_url", servers["plain"].url()),
        {"redisHost": server.host, "redisPort": server.port, "celery_broker_type_redis": True},
        case.values(server),
    )
    result = await judged("RedisReachable", given, cluster=cluster, namespace=namespace)
    found = {each.subject: (each.status, each.reason) for each in result.findings}
    assert found == {**found, **case.expected}
    assert [name for name, (status, _) in found.items() if status is Status.FAIL] == [
        name for name, (status, _) in case.expected.items() if status is Status.FAIL
    ]
    told = "\n".join(f"{each.message}\n{each.remediation}" for each in result.findings)
    assert all(words in told for words in case.says), told
    assert TOKEN not in told
    if "azure" in case.id.lower():
        assert "keda" not in found
