"""Pull-secret entries are chosen as the kubelet chooses them; the kubelet's own keyring is the judge."""

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mehc_checks.clients.kubernetes.texts import Secret
from mehc_checks.clients.registry.keyring import Keyring, Login
from mehc_checks.core.errors import Problem
from testbed import tools

DOCKER_CONFIG_JSON = "kubernetes.io/dockerconfigjson"
DOCKER_CFG = "kubernetes.io/dockercfg"


class Kubelet:
    """The kubelet's keyring as a subprocess: one question a line."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [str(tools.resolve(tools.CONTROL_PLANE)), "keyring"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def lookup(self, image: str, secrets: list[Secret]) -> list[tuple[str, str]] | None:
        """User names and passwords in the kubelet's order; None where it refuses to read a Secret."""
        assert self._child.stdin
        assert self._child.stdout
        manifests = [
            {
                "metadata": {"name": secret.name},
                "type": secret.type,
                "data": {key: base64.b64encode(text.encode()).decode() for key, text in secret.data.items()},
            }
            for secret in secrets
        ]
        self._child.stdin.write(json.dumps({"image": image, "secrets": manifests}) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        if "error" in answer:
            return None
        return [(each["username"], each["password"]) for each in answer["credentials"]]

    def close(self) -> None:
        self._child.communicate()


@pytest.fixture(scope="module")
def kubelet() -> Iterator[Kubelet]:
    oracle = Kubelet()
    yield oracle
    oracle.close()


def ours(image: str, secrets: list[Secret]) -> list[tuple[str, str]] | None:
    try:
        return [(login.username, login.password) for login in Keyring(secrets).lookup(image)]
    except Problem:
        return None


def secret(auths: Any, *, kind: str = DOCKER_CONFIG_JSON, name: str = "regcred") -> Secret:
    key, content = (".dockercfg", auths) if kind == DOCKER_CFG else (".dockerconfigjson", {"auths": auths})
    return Secret(name=name, namespace="ns", type=kind, data={key: json.dumps(content)})


labels = st.sampled_from(
    ["registry", "eu", "example", "com", "io", "ghcr", "a", "*", "r*y", "*.*", "", "é", "A"]
)
hosts = st.one_of(
    st.lists(labels, min_size=1, max_size=4).map(".".join),
    st.sampled_from(
        [
            "docker.io",
            "index.docker.io",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com",
            "*.dkr.ecr.*.amazonaws.com",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "user@registry.example.com",
            "user:pass@registry.example.com",
            "registry example.com",
            "regi%stry.com",
            "regi%41stry.com",
            "regi%25stry.com",
            "[::1",
            "a[b].com",
            "x]y.com",
            "{}",
        ]
    ),
)
ports = st.sampled_from(["", ":443", ":5000", ":", ":x", ":5000:1"])
paths = st.sampled_from(
    [
        "",
        "/",
        "/v1/",
        "/v2/",
        "/v2",
        "/v2/team",
        "/team",
        "/team/",
        "/team/vllm",
        "/te",
        "//",
        "/a%2Fb",
        "/%zz",
        "/a?b",
        "/a#b",
        "/a#%",
    ]
)
locations = st.builds(
    lambda scheme, host, port, path: scheme + host + port + path,
    st.sampled_from(["", "", "http://", "https://", "HTTPS://", "ftp://"]),
    hosts,
    ports,
    paths,
)
images = st.builds(
    lambda host, port, path: (host + port + "/" + path) if host else path,
    st.one_of(st.just(""), hosts),
    st.sampled_from(["", "", ":5000", ":443"]),
    st.sampled_from(["vllm", "team/vllm", "team-2/x", "library/ubuntu", "v2/team", "a/b"]),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, list[Secret]]:
    """An image and pull secrets; every entry has a login of its own, and half of the images fit an entry's host."""
    secrets = []
    chosen: list[str] = []
    count: int = draw(st.integers(0, 3))
    for number in range(count):
        auths = {}
        for entry, location in enumerate(draw(st.lists(locations, max_size=4, unique=True))):
            chosen.append(location)
            user, password = f"u{number}-{entry}", f"p{number}:{entry}"
            encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
            auths[location] = draw(
                st.sampled_from(
                    [
                        {"username": user, "password": password},
                        {"auth": encoded, "username": "overruled"},
                        {"auth": encoded.rstrip("=")},
                        {"Username": user, "PASSWORD": password, "email": "a@b"},
                    ]
                )
            )
        kind = draw(st.sampled_from([DOCKER_CONFIG_JSON, DOCKER_CONFIG_JSON, DOCKER_CFG]))
        secrets.append(secret(auths, kind=kind, name=f"s{number}"))
    image = draw(images)
    fitting: bool = draw(st.booleans())
    if chosen and fitting:
        location = draw(st.sampled_from(chosen)).replace("*", "registry")
        image = location.partition("://")[2] or location
    return image, secrets


@settings(
    max_examples=1500,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(question=questions())
def test_the_kubelet_chooses_the_same(kubelet: Kubelet, question: tuple[str, list[Secret]]) -> None:
    image, secrets = question
    theirs, mine = kubelet.lookup(image, secrets), ours(image, secrets)
    assert theirs is not None
    assert mine is not None
    # Within one Secret, entries that mean the same location come out of a Go map: in any order.
    groups = {(login.username, login.password): group for group, login in _groups(secrets)}
    assert [groups[login] for login in theirs] == [groups[login] for login in mine]
    assert sorted(theirs) == sorted(mine)


def _groups(secrets: list[Secret]) -> Iterator[tuple[tuple[bytes, str], Login]]:
    for each in secrets:
        for key, logins in Keyring([each])._logins.items():
            for login in logins:
                yield (key, each.name), login


AUTH = base64.b64encode(b"user:pass").decode()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"auths": null}',
        '{"auths": []}',
        '{"auths": "x"}',
        '{"AUTHS": {"registry.example.com": {"username": "u", "password": "p"}}}',
        '{"auths": {"registry.example.com": null}}',
        '{"auths": {"registry.example.com": []}}',
        '{"auths": {"registry.example.com": {"username": 1}}}',
        '{"auths": {"registry.example.com": {"username": null, "password": "p"}}}',
        '{"auths": {"registry.example.com": {"email": 1}}}',
        '{"auths": {"registry.example.com": {"auth": ""}}}',
        '{"auths": {"registry.example.com": {"auth": "!!"}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcg=="}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYXNz"}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNl\\ncjpwYXNz"}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYXNz "}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYQ="}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYQ=="}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYQ"}}}',
        '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYXN"}, "x": {}}}',
        '{"auths": {"registry.example.com": {"identitytoken": "t"}}}',
        '{"auths": {}, "HttpHeaders": {"a": 1}}',
        '{"auths": {}, "HttpHeaders": null}',
        '{"auths": NaN}',
        '{"auths": {}} trailing',
    ],
)
@pytest.mark.parametrize("kind", [DOCKER_CONFIG_JSON, DOCKER_CFG, "Opaque"])
def test_malformed_secrets_fail_where_the_kubelet_fails(kubelet: Kubelet, content: str, kind: str) -> None:
    key = ".dockercfg" if kind == DOCKER_CFG else ".dockerconfigjson"
    if kind == DOCKER_CFG and content.startswith('{"auths": {"registry'):
        content = content.removeprefix('{"auths": ').removesuffix("}")
    secrets = [Secret(name="s", namespace="ns", type=kind, data={key: content})]
    image = "registry.example.com/vllm"
    assert ours(image, secrets) == kubelet.lookup(image, secrets)


def test_what_applies_says_where_it_comes_from_and_hides_the_password() -> None:
    keyring = Keyring(
        [secret({"ghcr.io/team": {"auth": AUTH}, "ghcr.io": {"username": "broad", "password": "p"}})]
    )
    found = keyring.lookup("ghcr.io/team/vllm")
    assert [login.source for login in found] == [
        "user user of Secret regcred, entry ghcr.io/team",
        "user broad of Secret regcred, entry ghcr.io",
    ]
    assert "pass" not in repr(found[0])
    assert keyring.lookup("quay.io/vllm") == []


def test_secrets_of_other_types_are_named() -> None:
    assert Keyring([Secret(name="db", namespace="ns", type="Opaque", data={})]).ignored == ["db"]
