"""The broker's Redis as the platform strings its URL together, and as Celery connects by it."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from mehc_checks.clients.redis.server import Server
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.brokerredis import broker_connection, broker_secret
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.environment import RedisEnvironment
from mehc_checks.modelengine.redis import given as read
from mehc_checks.modelengine.redisreasons import RedisConnectionReasons as R
from mehc_checks.modelengine.secrets import CloudSecret, CloudSecretReasons
from mehc_checks.modelengine.values import Layer, Values

Vector = dict[str, Any]
VECTORS: Final[list[Vector]] = json.loads(
    Path(__file__).with_name("vectors").joinpath("broker_urls.json").read_text()
)
AMQP: Final = 5672
"""The port of what Celery takes for another broker: a URL without ``redis://`` or ``rediss://``."""
DELIBERATE: Final = {
    "none": "without a host the platform asks for a host named None: we report that none is set",
    "127.0.0.1": "with an empty host Celery asks its own pod: we report the secret that has it",
}
"""Where we differ from the platform, by the host that it connects to, and why."""


def configuration(given: Vector) -> Configuration:
    """Of a cloud whose processes would not use Redis, the vectors have the URL too: the flag makes it the broker's."""
    infra = {"cloud_provider": given["cloud_provider"]}
    if "redis_aws_secret_name" in given:
        infra["redis_aws_secret_name"] = given["redis_aws_secret_name"]
    if "infra_redis_host" in given:
        infra["redis_host"] = given["infra_redis_host"]
    top = {name: given[name] for name in ("redisHost", "redisPort") if name in given}
    tree = {"config": {"values": {"infra": infra}}, **top, "celery_broker_type_redis": True}
    return Configuration(
        Values.merged([Layer(source="", values={}), Layer(source="values.yaml", values=tree)])
    )


def environment(given: Vector) -> RedisEnvironment:
    """Of the chart, which makes REDIS_HOST and REDIS_PORT of redisHost and redisPort."""
    values, token = configuration(given), given.get("auth_token", "")
    return RedisEnvironment(
        host=read(values, paths.REDIS_HOST), port=read(values, paths.REDIS_PORT), token=token
    )


def secret(name: str, content: Any) -> CloudSecret:
    """What AWS holds by the vector's word."""
    if content in (None, "UNREADABLE"):
        return CloudSecret(name=name, trouble="does not exist")
    return CloudSecret.of(name, content if isinstance(content, str) else json.dumps(content))


def shown(server: Server | None) -> Vector | None:
    """``server`` in the words of a vector."""
    if server is None:
        return None
    found = {
        "host": server.host,
        "port": server.port,
        "database": server.db,
        "username": server.username or None,
        "password": server.password or None,
        "tls": server.tls,
    }
    return {**found, "tls_verify": server.verify} if server.tls else found


def verified(expected: Vector) -> Vector:
    """``expected``; whether the certificate is verified counts, not how."""
    if "tls_verify" in expected:
        return {**expected, "tls_verify": expected["tls_verify"] != "none"}
    return expected


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']} {vector['kind']}")
def test_the_broker_is_reached_as_celery_reaches_it(vector: Vector) -> None:
    given, out = vector["in"], vector["out"]
    values = configuration(given)
    name = broker_secret(values)
    secrets = {name: secret(name, given.get("aws_secret"))} if name else {}
    found = broker_connection(values, environment(given), secrets)
    assert found is not None
    connects = out.get("connects")
    if connects and connects["port"] != AMQP and connects["host"] not in DELIBERATE:
        assert shown(found.server) == verified(connects)
        return
    assert found.server is None
    assert found.problem is not None
    unusable = CloudSecretReasons.CLOUD_SECRET_UNUSABLE
    assert found.problem.reason in ((unusable,) if name is not None else (R.URL_INVALID, R.NO_SOURCE))
