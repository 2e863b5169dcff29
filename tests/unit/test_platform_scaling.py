"""The address and the ScaledObject, as values alone decide them."""

from typing import Any

import pytest

from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.scaling import (
    AddressKind,
    concurrency_query,
    prometheus_addresses,
    read_address,
    server_address,
    trigger_authentication,
    uses_custom_metric,
)
from mehc_checks.modelengine.values import Layer, Values
from testbed.scaledobjects import scaled_object


def effective(tree: dict[str, Any]) -> Configuration:
    return Configuration(Values.merged([Layer(source="test", values=tree)]))


def with_address(address: object) -> Configuration:
    return effective({"config": {"values": {"infra": {"prometheus_server_address": address}}}})


@pytest.mark.parametrize(
    ("address", "kind", "in_scaled_object"),
    [
        (None, AddressKind.UNSET, "dummy-value"),
        ("", AddressKind.EMPTY, "dummy-value"),
        ("prometheus", AddressKind.INVALID, "prometheus"),
        ("http://prometheus", AddressKind.URL, "http://prometheus"),
    ],
)
def test_only_an_absent_address_is_none(address: object, kind: AddressKind, in_scaled_object: str) -> None:
    found = server_address(with_address(address))
    assert (found.kind, found.in_scaled_object) == (kind, in_scaled_object)


@pytest.mark.parametrize(
    ("given", "host", "port", "tls"),
    [
        ("http://prometheus", "prometheus", 80, False),
        ("https://prometheus/path", "prometheus", 443, True),
        ("http://[::1]:9090", "::1", 9090, False),
        ("http://under_score.svc:", "under_score.svc", 80, False),
        ("http://user:p%40ss@prometheus:9090", "prometheus", 9090, False),
    ],
)
def test_host_and_port(given: str, host: str, port: int, tls: bool) -> None:
    found = read_address(given)
    assert (found.kind, found.host, found.port, found.tls) == (AddressKind.URL, host, port, tls)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://user:secret@prometheus:9090/x@y", "http://prometheus:9090/x@y"),
        ("http://user:se@cret@prometheus", "http://prometheus"),
        ("http://prometheus/x@y", "http://prometheus/x@y"),
        ("ftp://user:secret@prometheus", "ftp://prometheus"),
    ],
)
def test_credentials_are_not_shown(given: str, shown: str) -> None:
    assert read_address(given).shown == shown


@pytest.mark.parametrize(
    ("url", "address", "database"),
    [
        ("redis://redis:6379/0", "redis:6379", "0"),
        ("redis://:word@redis:6379/2", ":word@redis:6379", "2"),
        ("rediss://user:word@redis:6380/15", "redis:6380", "15"),
        ("redis://redis:6379", "redis:6379", "0"),
        ("redis://redis:6379/1?timeout=2", "redis:6379", "0"),
    ],
)
def test_the_redis_trigger_is_cut_out_of_the_cache_url(url: str, address: str, database: str) -> None:
    made = scaled_object(with_address("http://prometheus"), "end_1", namespace="endpoints", cache_url=url)
    prometheus, redis = made["spec"]["triggers"]
    assert made["metadata"]["name"] == "launch-endpoint-id-end-1"
    assert redis["metadata"]["listName"] == "launch-endpoint-autoscaling:end_1"
    assert (redis["metadata"]["address"], redis["metadata"]["databaseIndex"]) == (address, database)
    assert "authenticationRef" not in redis
    assert prometheus["metadata"]["query"] == concurrency_query("launch-endpoint-id-end-1")
    assert prometheus_addresses(made) == ["http://prometheus"]


def test_authentication_is_the_clouds() -> None:
    assert trigger_authentication(effective({})) == ""
    assert (
        trigger_authentication(effective({"redis": {"enableAuth": True}})) == "keda-trigger-auth-redis-secret"
    )
    azure = {"azure": {"client_id": "x"}, "redis": {"enableAuth": True}}
    assert trigger_authentication(effective(azure)) == "azure-workload-identity"


@pytest.mark.parametrize(
    ("enabled", "made"), [(True, True), ("false", True), (False, False), ("", False), (None, False)]
)
def test_the_gateways_autoscaler_is_by_a_templates_truth(enabled: object, made: bool) -> None:
    assert uses_custom_metric(effective({"autoscaling": {"horizontal": {"enabled": enabled}}})) is made
