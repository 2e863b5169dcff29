"""The pure parts of the registry client."""

import ssl

import pytest

from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.reference import InvalidReference, ecr_registry, parse

SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "host", "name", "version"),
    [
        ("ubuntu", "registry-1.docker.io", "docker.io/library/ubuntu", ""),
        ("ubuntu:24.04", "registry-1.docker.io", "docker.io/library/ubuntu", "24.04"),
        ("vllm/vllm-openai:v1", "registry-1.docker.io", "docker.io/vllm/vllm-openai", "v1"),
        ("index.docker.io/a/b", "registry-1.docker.io", "docker.io/a/b", ""),
        ("localhost/x", "localhost", "localhost/x", ""),
        ("ghcr.io/a/b__c.d-e:1", "ghcr.io", "ghcr.io/a/b__c.d-e", "1"),
        ("reg:5000/x", "reg:5000", "reg:5000/x", ""),
        ("reg:5000/x:1", "reg:5000", "reg:5000/x", "1"),
        (f"reg.io/x:1@{SHA}", "reg.io", "reg.io/x", SHA),
        ("[::1]:5000/x:1", "[::1]:5000", "[::1]:5000/x", "1"),
        ("Reg/x", "Reg", "Reg/x", ""),
    ],
)
def test_references_are_completed(text: str, host: str, name: str, version: str) -> None:
    reference = parse(text)
    assert (reference.host, reference.name, reference.version) == (host, name, version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/vllm:1",
        "https://reg.io/x:1",
        "reg.io//x",
        "reg.io/x/",
        "reg.io/X:1",
        "reg.io/x:",
        "reg.io/x:.1",
        "reg.io/x:" + "1" * 129,
        "reg.io/x@sha256:1",
        "reg.io/x y",
        "reg_1.io/x",
        "-reg.io/x",
        "reg.io/" + "x" * 256,
        "reg.io/a___b",
        "reg.io:99999/x",
        "reg.io/.a",
    ],
)
def test_what_no_runtime_accepts_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        parse(text)


@pytest.mark.parametrize(
    ("host", "account", "region"),
    [
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com", "111122223333", "us-east-1"),
        ("111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "111122223333", "us-gov-west-1"),
        ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", "111122223333", "cn-north-1"),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com.evil.example", "", ""),
        ("evil.111122223333.dkr.ecr.us-east-1.amazonaws.com", "", ""),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com:8443", "", ""),
        ("public.ecr.aws", "", ""),
    ],
)
def test_only_a_private_ecr_registry_gets_a_token(host: str, account: str, region: str) -> None:
    assert ecr_registry(host) == (account, region)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.1.2.3", True),
        ("[::1]:5000", True),
        ("insecure.example:5000", True),
        ("insecure.example", False),
        ("registry.example", False),
        ("localhost.example", False),
        ("10.0.0.1:5000", False),
    ],
)
def test_plain_http_is_for_loopback_and_what_is_listed(address: str, allowed: bool) -> None:
    access = Access(tls=ssl.create_default_context(), insecure=frozenset({"insecure.example:5000"}))
    assert access.plain_allowed(address) is allowed
