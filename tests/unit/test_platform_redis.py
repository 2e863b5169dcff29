"""How the connections to Redis are derived from the values; the platform's own answers are in tests/platform."""

import json
from typing import Any

import pytest

from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason
from mehc_checks.modelengine.broker import broker_is_redis
from mehc_checks.modelengine.brokerredis import broker_connection, broker_secret
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.kedaredis import keda, keda_secret
from mehc_checks.modelengine.redis import cache, cache_secret
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret
from mehc_checks.modelengine.values import Layer, Values

NOTHING = RedisEnvironment()
TOKEN = "p@ss/w#rd"
"""Of pods without a variable of Redis."""


def values(
    cloud: str = "aws", launch: dict[str, Any] | None = None, infra: dict[str, Any] | None = None, **top: Any
) -> Configuration:
    tree = {
        "config": {"values": {"infra": {"cloud_provider": cloud, **(infra or {})}, "launch": launch or {}}},
        **top,
    }
    return Configuration(Values.merged([Layer(source="", values={}), Layer(source="test", values=tree)]))


ALL = {
    "cache_redis_onprem_url": "redis://onprem:1/1",
    "cache_redis_gcp_url": "redis://gcp:1/1",
    "cache_redis_aws_url": "redis://aws:1/1",
    "cache_redis_aws_secret_name": "secret",
    "cache_redis_azure_host": "azure:6380",
}


def kept(fields: dict[str, str]) -> CloudSecret:
    """A secret that was read."""
    return CloudSecret(name="secret", text=json.dumps(fields), fields=fields)


def reason(problem: Problem | None) -> Reason | None:
    return problem.reason if problem else None


def but(*names: str) -> dict[str, str]:
    """All sources but some, by their cloud."""
    return {key: value for key, value in ALL.items() if not any(name in key for name in names)}


@pytest.mark.parametrize(
    ("cloud", "launch", "expected"),
    [
        ("aws", ALL, "redis://onprem:1/1"),
        ("azure", ALL, "redis://onprem:1/1"),
        ("onprem", but("onprem"), "redis://aws:1/1"),
        ("onprem", {}, "redis://redis:6379/0"),
        ("gcp", but("onprem"), "redis://gcp:1/1"),
        ("gcp", but("onprem", "gcp"), R.NO_SOURCE),
        ("aws", but("onprem"), "redis://aws:1/1"),
        ("aws", but("onprem", "aws_url"), "redis://secret:1/1"),
        ("aws", but("onprem", "aws"), R.WRONG_CLOUD),
        ("", {"cache_redis_aws_url": "redis://aws:1/1"}, R.WRONG_CLOUD),
        ("azure", but("onprem"), R.WRONG_CLOUD),
        ("azure", but("onprem", "aws_url"), R.WRONG_CLOUD),
        ("azure", but("onprem", "aws"), "rediss://azure:6380/0"),
        ("aws", {}, R.NO_SOURCE),
    ],
)
def test_the_cache_source_that_wins(cloud: str, launch: dict[str, Any], expected: object) -> None:
    found = cache(values(cloud, launch), {"secret": kept({"cache-url": "redis://secret:1/1"})}, NOTHING)
    assert (str(found.server) if found.server else reason(found.problem)) == expected


@pytest.mark.parametrize(
    ("url", "host", "port", "db"),
    [
        ("redis://h:6379/15", "h", 6379, 15),
        ("redis://h:6379", "h", 6379, 0),
        ("rediss://user:pw@h:6380/2", "h", 6380, 2),
        ("redis://h:6379/0?socket_timeout=3", "h", 6379, 0),
        ("redis://[::1]:6379/1", "::1", 6379, 1),
    ],
)
def test_what_keda_is_given(url: str, host: str, port: int, db: int) -> None:
    found = keda(values(launch={"cache_redis_aws_url": url}), {}, NOTHING)
    assert found is not None
    assert found.server is not None
    server = found.server
    assert (server.host, server.port, server.db) == (host, port, db)
    assert (server.username, server.password, server.tls) == ("", "", False)


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("redis://:pw@h:6379/0", "<credentials>@h:6379"),
        ("redis://h/0", "h"),
        ("rediss://u:pw@h/0", "h"),
        ("redis://u:pw/x@h:1/0", "<credentials>"),
    ],
)
def test_what_keda_cannot_dial(url: str, detail: str) -> None:
    found = keda(values(launch={"cache_redis_aws_url": url}), {}, NOTHING)
    assert found is not None
    assert found.problem is not None
    assert (found.problem.reason, found.problem.words["shown"]) == (R.KEDA_ADDRESS_INVALID, detail)
    assert "pw" not in str(found.problem)


@pytest.mark.parametrize(
    ("cloud", "forced", "expected"),
    [
        ("aws", None, False),
        ("aws", True, True),
        ("aws", "false", False),
        ("aws", "true", True),
        ("azure", None, False),
        ("azure", True, True),
        ("gcp", None, True),
        ("onprem", None, True),
    ],
)
def test_whether_the_broker_is_redis(cloud: str, forced: object, expected: bool) -> None:
    assert broker_is_redis(values(cloud, celery_broker_type_redis=forced)) is expected


def test_keda_has_no_connection_to_redis_on_azure() -> None:
    azure = {"cache_redis_azure_host": "azure:6380"}
    assert keda(values("azure", launch=azure, redis={"enableTLS": True}), {}, NOTHING) is None
    assert keda(values("azure", launch={"cache_redis_onprem_url": "redis://h:1/0"}), {}, NOTHING) is None


def test_a_token_switches_the_brokers_tls_on_without_verification() -> None:
    found = broker_connection(values("onprem"), RedisEnvironment(host="h", port="6390", token="token"), {})
    assert found is not None
    assert found.server is not None
    server = found.server
    assert (str(server), server.verify, server.password) == ("rediss://h:6390/0", False, "token")
    plain = broker_connection(values("onprem", infra={"redis_host": "infra"}), NOTHING, {})
    assert plain is not None
    assert str(plain.server) == "redis://infra:6379/0"


@pytest.mark.parametrize(
    ("token", "tls", "expected"),
    [
        ("token", None, "rediss://h:6379/0"),
        ("token", False, "redis://h:6379/0"),
        ("", True, "rediss://h:6379/0"),
    ],
)
def test_a_newer_platform_configures_the_brokers_tls_apart(
    token: str, tls: bool | None, expected: str
) -> None:
    found = broker_connection(
        values("onprem"),
        RedisEnvironment(host="h", token=token, tls=tls, of_newer_platform=tls is not None),
        {},
    )
    assert found is not None
    assert found.server is not None
    assert (str(found.server), found.server.password) == (expected, token)


def test_a_newer_platform_keeps_credentials_out_of_kedas_address() -> None:
    installed = values("onprem", launch={"cache_redis_onprem_url": "redis://:token@h:6379/0"})
    found = keda(installed, {}, RedisEnvironment(tls=False, of_newer_platform=True))
    assert found is not None
    assert str(found.server) == "redis://h:6379/0"
    older = keda(installed, {}, NOTHING)
    assert older is not None
    assert reason(older.problem) is R.KEDA_ADDRESS_INVALID


@pytest.mark.parametrize(
    ("cloud", "launch", "expected"),
    [
        ("onprem", {"cache_redis_onprem_url": "redis://h:6379/0"}, TOKEN),
        ("onprem", {"cache_redis_aws_url": "redis://h:6379/0"}, TOKEN),
        ("onprem", {}, TOKEN),
        ("aws", {"cache_redis_onprem_url": "redis://h:6379/0"}, TOKEN),
        ("onprem", {"cache_redis_onprem_url": "redis://:own@h:6379/0"}, "own"),
        ("aws", {"cache_redis_aws_url": "redis://h:6379/0"}, ""),
    ],
)
def test_a_newer_platform_puts_the_token_into_the_caches_url(
    cloud: str, launch: dict[str, str], expected: str
) -> None:
    """On premises, and where the URL has no credentials."""
    newer = RedisEnvironment(token=TOKEN, of_newer_platform=True)
    found = cache(values(cloud, launch), {}, newer)
    assert found.server is not None
    assert found.server.password == expected
    older = cache(values(cloud, launch), {}, RedisEnvironment(token=TOKEN))
    assert older.server is not None
    assert older.server.password == (expected if expected == "own" else "")


def test_a_newer_platform_encodes_the_token() -> None:
    found = broker_connection(
        values("onprem"), RedisEnvironment(host="h", token=TOKEN, of_newer_platform=True), {}
    )
    assert found is not None
    assert found.server is not None
    assert found.server.password == TOKEN


@pytest.mark.parametrize(
    ("fields", "expected", "verify"),
    [
        ({}, "redis://h:1/0", False),
        ({"scheme": "redis://"}, "redis://h:1/0", False),
        ({"scheme": "rediss://"}, "rediss://h:1/0", False),
        ({"scheme": "rediss://", "query_params": "?ssl_cert_reqs=none"}, "rediss://h:1/0", False),
        ({"scheme": "rediss://", "query_params": "?ssl_cert_reqs=required"}, "rediss://h:1/0", True),
        ({"scheme": "rediss://", "query_params": "?ssl_ca_certs=/ca.pem"}, "rediss://h:1/0", True),
        ({"query_params": "?ssl_cert_reqs=CERT_OPTIONAL"}, "rediss://h:1/0", True),
        ({"query_params": "?heartbeat=3"}, "redis://h:1/0", False),
    ],
)
def test_the_brokers_url_of_a_secret(fields: dict[str, str], expected: str, verify: bool) -> None:
    given = {"host": "h", "port": "1", "auth_token": "to%2Fken", **fields}
    installed = values(infra={"redis_aws_secret_name": "secret"}, celery_broker_type_redis=True)
    found = broker_connection(installed, NOTHING, {"secret": kept(given)})
    assert found is not None
    assert found.server is not None, found.problem
    server = found.server
    assert (str(server), server.verify, server.password) == (expected, verify, "to/ken")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (values(launch=ALL), set()),
        (values(launch=but("onprem", "aws_url")), {"secret"}),
        (values("gcp", launch=but("onprem", "gcp", "aws_url")), set()),
        (values(infra={"redis_aws_secret_name": "b"}), {"b"}),
        (values(infra={"redis_aws_secret_name": "b"}, celery_broker_type_redis=True), {"b"}),
        (values("onprem", infra={"redis_aws_secret_name": "b"}), set()),
        (values(redis={"kedaSecretName": "k"}), set()),
        (values(redis={"kedaSecretName": "k", "enableAuth": True}), {"k"}),
        (values("onprem", redis={"kedaSecretName": "k", "enableAuth": True}), set()),
    ],
)
def test_only_secrets_that_count_are_read(installed: Configuration, expected: set[str]) -> None:
    named = {cache_secret(installed), broker_secret(installed) or "", keda_secret(installed)}
    assert named - {""} == expected
