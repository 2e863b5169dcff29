"""What the presets of the chart's NetworkPolicy let through, read as a network plugin does; none enforces it here."""

import ipaddress
from typing import Any

import pytest

from testbed.chart import of_kind, rendered
from testbed.helm import Helm

IMAGE = {"repository": "registry.example.com/mehc"}
POD = "a pod"
DATABASE, API = "10.20.0.7", "10.96.0.1"
REGISTRY = "93.184.216.34"
METADATA, POD_IDENTITY, DNS_CACHE = "169.254.169.254", "169.254.170.23", "169.254.20.10"


def allows(rules: list[dict[str, Any]], where: str, port: int, protocol: str) -> bool:
    """Whether a connection to ``where``, an address or a pod, is allowed by egress ``rules``."""
    return any(
        {"port": port, "protocol": protocol} in rule["ports"]
        and ("to" not in rule or any(_is_of(peer, where) for peer in rule["to"]))
        for rule in rules
    )


def _is_of(peer: dict[str, Any], where: str) -> bool:
    if where == POD:
        return peer == {"namespaceSelector": {}}
    block = peer.get("ipBlock", {"cidr": "255.255.255.255/32"})
    address = ipaddress.ip_address(where)
    return address in ipaddress.ip_network(block["cidr"]) and not any(
        address in ipaddress.ip_network(each) for each in block.get("except", ())
    )


def egress(helm: Helm, *presets: str, **values: Any) -> list[dict[str, Any]]:
    more = values.pop("egress", {})
    policy = {"enabled": True, "egress": {"presets": list(presets), **more}}
    objects = rendered(helm, {"image": IMAGE, "networkPolicy": policy, **values})
    (found,) = of_kind(objects, "NetworkPolicy")
    assert found["spec"]["policyTypes"] == ["Ingress", "Egress"]
    rules: list[dict[str, Any]] = found["spec"]["egress"]
    return rules


@pytest.fixture(scope="module")
def by_preset(helm: Helm) -> dict[str, list[dict[str, Any]]]:
    return {name: egress(helm, name) for name in ("kubernetes", "platform", "clouds", "identity")}


def test_without_a_preset_connections_stay_open(helm: Helm) -> None:
    (found,) = of_kind(rendered(helm, {"image": IMAGE, "networkPolicy": {"enabled": True}}), "NetworkPolicy")
    assert found["spec"]["policyTypes"] == ["Ingress"]
    assert "egress" not in found["spec"]


@pytest.mark.parametrize(
    ("where", "port", "protocol", "presets"),
    [
        (POD, 53, "UDP", {"kubernetes", "platform", "clouds", "identity"}),
        (DNS_CACHE, 53, "UDP", {"kubernetes", "platform", "clouds", "identity"}),
        (API, 443, "TCP", {"kubernetes", "platform", "clouds", "identity"}),
        (API, 6443, "TCP", {"kubernetes", "platform", "clouds", "identity"}),
        (DATABASE, 5432, "TCP", {"platform"}),
        (POD, 5432, "TCP", {"platform"}),
        (POD, 6379, "TCP", {"platform"}),
        (DATABASE, 6380, "TCP", {"platform"}),
        (POD, 9090, "TCP", {"platform"}),
        (POD, 5000, "TCP", {"platform"}),
        (DATABASE, 5671, "TCP", {"clouds"}),
        (METADATA, 80, "TCP", {"identity"}),
        (POD_IDENTITY, 80, "TCP", {"identity"}),
        (METADATA, 443, "TCP", set()),
        (METADATA, 5432, "TCP", set()),
        ("fd00:ec2::254", 80, "TCP", set()),
        (DATABASE, 22, "TCP", set()),
        (POD, 10250, "TCP", set()),
    ],
)
def test_a_preset_allows(
    by_preset: dict[str, list[dict[str, Any]]], where: str, port: int, protocol: str, presets: set[str]
) -> None:
    assert {name for name, rules in by_preset.items() if allows(rules, where, port, protocol)} == presets


def test_the_api_server_by_its_address(helm: Helm) -> None:
    of_kubernetes = egress(helm, "kubernetes", egress={"apiServer": [f"{API}/32"]})
    assert allows(of_kubernetes, API, 443, "TCP")
    assert not allows(of_kubernetes, REGISTRY, 443, "TCP")
    assert allows(egress(helm, "clouds", egress={"apiServer": [f"{API}/32"]}), REGISTRY, 443, "TCP")


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://proxy.example.com:3128", 3128),
        ("http://user:pw@proxy.example.com:3128/", 3128),
        ("http://proxy.example.com", 80),
        ("https://proxy.example.com", 443),
    ],
)
def test_the_proxy_is_allowed(helm: Helm, url: str, port: int) -> None:
    assert allows(egress(helm, "kubernetes", proxy={"https": url}), REGISTRY, port, "TCP")


def test_further_rules(helm: Helm) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"port": 10000, "protocol": "TCP"}]}
    rules = egress(helm, "platform", egress={"extra": [rule]})
    assert allows(rules, DATABASE, 10000, "TCP")
    assert not allows(rules, REGISTRY, 10000, "TCP")
