"""Names of one part mean what they mean to the installation's pods."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.clients.network import connect, names

SEARCH = ("mehc.svc.cluster.local", "svc.cluster.local", "cluster.local", "ec2.internal")


@pytest.mark.parametrize(
    ("namespace", "search", "spelled"),
    [
        (
            "model-engine",
            SEARCH,
            (
                "redis.model-engine.svc.cluster.local.",
                "redis.svc.cluster.local.",
                "redis.cluster.local.",
                "redis.ec2.internal.",
                "redis.",
            ),
        ),
        ("mehc", SEARCH, ("redis",)),
        ("model-engine", ("corp.example.com",), ("redis",)),
        ("model-engine", (), ("redis",)),
        (
            "model-engine",
            ("mehc.svc.k8s.corp", "svc.k8s.corp"),
            ("redis.model-engine.svc.k8s.corp.", "redis.svc.k8s.corp.", "redis."),
        ),
    ],
)
def test_candidates(namespace: str, search: tuple[str, ...], spelled: tuple[str, ...]) -> None:
    assert names.candidates("redis", namespace, search) == spelled


@pytest.fixture
def in_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The resolver's file is that of a pod in the namespace mehc, as the kubelet writes it."""
    path = tmp_path / "resolv.conf"
    path.write_text(f"nameserver 10.96.0.10\nsearch {' '.join(SEARCH)}\noptions ndots:5\n")
    monkeypatch.setattr(names, "RESOLV_CONF", path)
    names._search.cache_clear()
    yield
    names._search.cache_clear()


async def test_the_service_of_the_installation_is_found_and_not_ours(
    in_a_pod: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS is that of a cluster with a Service redis in both namespaces."""
    zone = {
        "redis.model-engine.svc.cluster.local.": "10.0.0.1",
        "redis": "10.0.0.2",  # of the namespace mehc, by our own search list
        "redis.data": "10.0.0.3",
        "hosts-alias.": "10.0.0.4",
    }

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        if host == "slow.model-engine.svc.cluster.local.":
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        if host not in zone:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (zone[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await connect.resolve("redis", 6379, timeout=60) == ["10.0.0.2"]
    with names.of_namespace("model-engine"):
        assert await connect.resolve("redis", 6379, timeout=60) == ["10.0.0.1"]
        assert await connect.resolve("redis.data", 6379, timeout=60) == ["10.0.0.3"]
        assert await connect.resolve("hosts-alias", 6379, timeout=60) == ["10.0.0.4"]
        with pytest.raises(connect.NetworkProblem) as absent:
            await connect.resolve("nothing", 6379, timeout=60)
        with pytest.raises(connect.NetworkProblem) as slow:
            await connect.resolve("slow", 6379, timeout=60)
    assert (absent.value.reason.name, slow.value.reason.name) == ("HostUnresolvable", "DNSTimeout")
    assert await connect.resolve("redis", 6379, timeout=60) == ["10.0.0.2"]
