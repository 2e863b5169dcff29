"""From outside of the cluster, what depends on the place is Unknown; what does not is judged as inside."""

import pytest

from mehc_checks.clients.network.place import only_inside
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.outcome import Finding, Outcome, Reason, Status
from mehc_checks.engine.vantage import seen_from_outside

REJECTED = Reason("AuthRejected", Status.FAIL, "wrong", "Fix it.", "{host} rejected the password")


def found(reason: Reason, host: str) -> Finding:
    return reason(host=host, address=f"{host}:6379", detail="x", seconds="2", subject="cache")


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (found(N.HOST_UNRESOLVABLE, "redis.prod.example.com"), "NotTestableFromHere"),
        (found(N.CONNECTION_TIMEOUT, "redis.prod.example.com"), "NotTestableFromHere"),
        (found(N.TLS_UNTRUSTED, "redis.prod.example.com"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "redis"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "redis.redis.svc"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "10.1.2.3"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "redis.cache"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "redis.dev"), "NotTestableFromHere"),
        (found(N.HOST_UNRESOLVABLE, "redis.prod.exampel.com"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "ghcr.io"), "ConnectionRefused"),
        (found(N.TLS_EXPIRED, "127.0.0.1"), "NotTestableFromHere"),
        (found(N.CONNECTION_REFUSED, "redis.prod.example.com"), "ConnectionRefused"),
        (found(N.TLS_EXPIRED, "redis.prod.example.com"), "TLSExpired"),
        (found(REJECTED, "10.1.2.3"), "AuthRejected"),
    ],
)
def test_what_depends_on_the_place(finding: Finding, reason: str) -> None:
    outcome = seen_from_outside(Outcome.of([finding]))
    assert outcome.reason == reason
    assert outcome.leader.subject == "cache"
    if reason == "NotTestableFromHere":
        assert outcome.status is Status.ERROR
        assert finding.message in outcome.message


def test_the_remedy_is_the_command() -> None:
    outcome = Outcome.of([found(N.CONNECTION_REFUSED, "redis")])
    inside = seen_from_outside(outcome, "model-engine")
    assert "mehc check --in-cluster -n model-engine" in inside.remediation
    assert "mehc check --in-cluster -n NAMESPACE" in seen_from_outside(outcome).remediation


def test_a_warning_about_what_is_not_reached_is_no_warning() -> None:
    finding = N.HOST_UNRESOLVABLE(host="registry.corp", detail="x", status=Status.WARN)
    assert seen_from_outside(Outcome.of([finding])).reason == "NotTestableFromHere"


def test_a_real_failure_leads() -> None:
    both = Outcome.of([found(N.HOST_UNRESOLVABLE, "redis"), found(REJECTED, "redis")])
    assert [each.reason.name for each in seen_from_outside(both).findings] == [
        "AuthRejected",
        "NotTestableFromHere",
    ]


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("redis", True),
        ("redis.redis.svc.cluster.local", True),
        ("db.internal", True),
        ("192.168.3.4", True),
        ("fd00::1", True),
        ("8.8.8.8", False),
        ("my.use1.cache.amazonaws.com", False),
        ("redis.cache", True),
        ("redis.cache.svc", True),
        ("redis.cache.svc.", True),
        ("ghcr.io", False),
    ],
)
def test_addresses_that_only_the_cluster_has(host: str, inside: bool) -> None:
    assert only_inside(host) is inside
