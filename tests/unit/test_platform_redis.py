import json
from typing import Any

import pytest

from mehc_checks.modelengine.redis import Trouble, broker, broker_is_redis, cache, keda, secret_names
from mehc_checks.modelengine.secrets import CloudSecret
from mehc_checks.modelengine.values import Layer, Values


def values(
    cloud: str = "aws", launch: dict[str, Any] | None = None, infra: dict[str, Any] | None = None, **top: Any
) -> Values:
    tree = {
        "config": {"values": {"infra": {"cloud_provider": cloud, **(infra or {})}, "launch": launch or {}}},
        **top,
    }
    return Values.merged([Layer(source="test", values=tree)])


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
        ("gcp", but("onprem", "gcp"), Trouble.NO_SOURCE),
        ("aws", but("onprem"), "redis://aws:1/1"),
        ("aws", but("onprem", "aws_url"), "redis://secret:1/1"),
        ("aws", but("onprem", "aws"), "rediss://azure:6380/0"),
        ("azure", but("onprem"), Trouble.WRONG_CLOUD),
        ("azure", but("onprem", "aws_url"), Trouble.WRONG_CLOUD),
        ("azure", but("onprem", "aws"), "rediss://azure:6380/0"),
        ("aws", {}, Trouble.NO_SOURCE),
    ],
)
def test_the_cache_source_that_wins(cloud: str, launch: dict[str, Any], expected: object) -> None:
    way = cache(values(cloud, launch), {"secret": kept({"cache-url": "redis://secret:1/1"})})
    assert (str(way.server) if way.server else way.trouble) == expected


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
    way = keda(values(launch={"cache_redis_aws_url": url}), {})
    assert way is not None
    assert way.server is not None
    assert (way.server.host, way.server.port, way.server.db) == (host, port, db)
    assert (way.server.username, way.server.password, way.server.tls) == ("", "", False)


@pytest.mark.parametrize(
    ("url", "detail"),
    [("redis://:pw@h:6379/0", "<credentials>@h:6379"), ("redis://h/0", "h"), ("rediss://u:pw@h/0", "h")],
)
def test_what_keda_cannot_dial(url: str, detail: str) -> None:
    way = keda(values(launch={"cache_redis_aws_url": url}), {})
    assert way is not None
    assert (way.trouble, way.detail) == (Trouble.KEDA_ADDRESS, detail)


@pytest.mark.parametrize(
    ("cloud", "forced", "expected"),
    [
        ("aws", None, False),
        ("aws", True, True),
        ("aws", "false", False),
        ("azure", None, False),
        ("azure", True, True),
        ("gcp", None, True),
        ("onprem", None, True),
    ],
)
def test_whether_the_broker_is_redis(cloud: str, forced: object, expected: bool) -> None:
    assert broker_is_redis(values(cloud, celery_broker_type_redis=forced)) is expected


def test_a_token_switches_the_brokers_tls_on_without_verification() -> None:
    way = broker(values("onprem", redisHost="h", redisPort="6390"), "token", {})
    assert way is not None
    assert way.server is not None
    assert (str(way.server), way.server.verify, way.server.password) == ("rediss://h:6390/0", False, "token")
    plain = broker(values("onprem", infra={"redis_host": "infra"}), "", {})
    assert plain is not None
    assert str(plain.server) == "redis://infra:6379/0"


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
    way = broker(installed, "", {"secret": kept(given)})
    assert way is not None
    assert way.server is not None, way.detail
    assert (str(way.server), way.server.verify, way.server.password) == (expected, verify, "to/ken")


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (values(launch=ALL), set()),
        (values(launch=but("onprem", "aws_url")), {"secret"}),
        (values("gcp", launch=but("onprem", "gcp", "aws_url")), set()),
        (values(infra={"redis_aws_secret_name": "b"}), set()),
        (values(infra={"redis_aws_secret_name": "b"}, celery_broker_type_redis=True), {"b"}),
        (values("onprem", infra={"redis_aws_secret_name": "b"}), {"b"}),
        (values(redis={"kedaSecretName": "k"}), set()),
        (values(redis={"kedaSecretName": "k", "enableAuth": True}), {"k"}),
        (values("onprem", redis={"kedaSecretName": "k", "enableAuth": True}), set()),
    ],
)
def test_only_secrets_that_count_are_read(installed: Values, expected: set[str]) -> None:
    assert secret_names(installed) == expected
