"""The cache's Redis as the platform derives and opens it, and what it cuts out of the URL for KEDA."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from mehc_checks.clients.redis.server import Server
from mehc_checks.core.errors import Problem
from mehc_checks.modelengine import redisurl
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import Connection, cache, cache_secret, cache_url
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret, CloudSecretReasons
from mehc_checks.modelengine.values import Layer, Values

Vector = dict[str, Any]
VECTORS: Final[list[Vector]] = json.loads(
    Path(__file__).with_name("vectors").joinpath("cache_redis.json").read_text()
)
DELIBERATE: Final = {
    redisurl.LOCALHOST: "a URL without a host makes the client connect to its own pod: the URL is reported"
}
"""Where we differ from the platform, by the host that it connects to, and why."""
AT_START: Final = {R.NO_SOURCE, R.WRONG_CLOUD, CloudSecretReasons.CLOUD_SECRET_UNUSABLE}
"""What we say where the platform fails when it starts."""


def configuration(given: Vector) -> Configuration:
    infra = {"cloud_provider": given["cloud_provider"], "redis_port": given.get("infra_redis_port")}
    top = {name: given[name] for name in ("redisHost", "redisPort") if name in given}
    tree = {"config": {"values": {"infra": infra, "launch": given["launch"]}}, **top}
    return Configuration(
        Values.merged([Layer(source="", values={}), Layer(source="values.yaml", values=tree)])
    )


def secret(name: str, content: Any) -> CloudSecret:
    """What AWS holds by the vector's word."""
    if content in (None, "UNREADABLE"):
        return CloudSecret(name=name, trouble="does not exist")
    return CloudSecret.of(name, content if isinstance(content, str) else json.dumps(content))


def shown(server: Server | None, expected: Vector) -> Vector | None:
    """``server`` in the words of a vector. Of Azure, only the pods know user and token."""
    if server is None:
        return None
    login = {"username": server.username or None, "password": server.password or None}
    if expected["username"] in ("OBJ", "None"):
        login = {name: expected[name] for name in login}
    found = {"host": server.host, "port": server.port, "database": server.db, **login, "tls": server.tls}
    return {**found, "tls_verify": server.verify} if server.tls else found


def verified(expected: Vector) -> Vector:
    """``expected``; whether the certificate is verified counts, not how."""
    if "tls_verify" in expected:
        return {**expected, "tls_verify": expected["tls_verify"] != "none"}
    return expected


def reason(problem: Problem | None) -> Any:
    return problem.reason if problem else None


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']} {vector['kind']}")
def test_the_cache_is_opened_as_the_platform_opens_it(vector: Vector) -> None:
    given, out = vector["in"], vector["out"]
    values = configuration(given)
    name = cache_secret(values)
    secrets = {name: secret(name, given.get("aws_secret"))} if name else {}
    found: Connection = cache(values, secrets, RedisEnvironment())
    if "connects" in out and out["connects"]["host"] in DELIBERATE:
        assert reason(found.problem) is R.URL_INVALID
        assert found.server is None
    elif "connects" in out:
        assert shown(found.server, out["connects"]) == verified(out["connects"])
    elif "start_error" in out:
        assert reason(found.problem) in AT_START
        assert found.server is None
    else:
        assert reason(found.problem) in (R.URL_INVALID, CloudSecretReasons.CLOUD_SECRET_UNUSABLE)
        assert found.server is None


CUT: Final = [vector for vector in VECTORS if isinstance(vector["out"].get("cache_url"), str)]


@pytest.mark.parametrize("vector", CUT, ids=lambda vector: f"{vector['id']} {vector['kind']}")
def test_keda_is_given_what_the_platform_cuts_out(vector: Vector) -> None:
    out = vector["out"]
    url = out["cache_url"]
    assert redisurl.keda_address(url) == out.get("keda_address", "")
    assert redisurl.keda_database(url) == out["keda_database"]
    if "AADTOKEN" not in url:  # nor is KEDA given anything of Redis on Azure
        name = cache_secret(configuration(vector["in"]))
        secrets = {name: secret(name, vector["in"].get("aws_secret"))} if name else {}
        assert cache_url(configuration(vector["in"]), secrets) == url
