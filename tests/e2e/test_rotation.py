"""A rotated password: wrong at the server is found, and right again in the Secret is right at the next probe run."""

import json
from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.healthchecks import PROBE_NOW, Cluster
from testbed.installation import Tree, aws_values, only, overlaid
from testbed.modelengine import migrate
from testbed.operatorprocess import Operator
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.rulejudging import at
from testbed.waiting import eventually

LONG = 240.0
FIRST, SECOND, THIRD = "first-Pa55", "second/Pa55", "third@Pa55"
ROLE = "rotated"


@pytest.fixture
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with Operator(control_plane) as running:
        yield running


def secrets(postgres: Postgres, redis: Redis, password: str) -> list[Tree]:
    """Of the database, and values that have Redis' URL."""
    url = redis.url(15, user="default", password=password)
    values = overlaid(
        aws_values(cache_redis_aws_url=url), at("secrets.kubernetesDatabaseSecretName", "database")
    )
    content = {
        "database": {"database_url": postgres.url(ROLE, password, ROLE)},
        "overrides": {"values.yaml": json.dumps(values)},
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        for name, data in content.items()
    ]


def test_a_rotated_password_is_right_at_the_next_probe_run(
    control_plane: ControlPlane, namespace: str, postgres: Postgres, operator: Operator
) -> None:
    cluster = Cluster(control_plane, namespace)
    postgres.create_role(ROLE, FIRST)
    postgres.create_database(ROLE, owner=ROLE)
    migrate(postgres, ROLE, owner=ROLE)

    def said(check: str) -> list[str]:
        (one,) = (each for each in cluster.get()["status"]["checks"] if each["name"] == check)
        return [found["reason"] for found in one["findings"]]

    def probed(number: str) -> None:
        cluster.patch({"metadata": {"annotations": {PROBE_NOW: number}}})
        eventually(
            lambda: cluster.get()["status"].get("lastHandledProbeNow"), lambda done: done == number, LONG
        )

    with Redis(password=FIRST) as redis:
        control_plane.apply(secrets(postgres, redis, FIRST), namespace=namespace)
        reference = {"secretKeyRef": {"name": "overrides", "key": "values.yaml"}}
        checks = only("DatabaseMigrated", "RedisReachable")
        cluster.apply(
            {"valuesFrom": [reference], "timeout": "30s", "interval": "1h", "confirmations": 1, **checks}
        )
        cluster.probed()
        for number, (before, after) in enumerate(((FIRST, SECOND), (SECOND, THIRD))):
            assert "PasswordRejected" not in said("DatabaseMigrated")
            assert "AuthRejected" not in said("RedisReachable")
            postgres.execute(f"ALTER ROLE {ROLE} PASSWORD '{after}'")
            redis.call("CONFIG", "SET", "requirepass", after)
            probed(f"server {number}")
            assert "PasswordRejected" in said("DatabaseMigrated")
            assert "AuthRejected" in said("RedisReachable")
            control_plane.apply(secrets(postgres, redis, after), namespace=namespace)
            probed(f"Secret {number}")
            assert before != after
        assert "PasswordRejected" not in said("DatabaseMigrated")
        assert "AuthRejected" not in said("RedisReachable")
        told = json.dumps([cluster.get()["status"], cluster.events()]) + operator.log_text()
        assert not [password for password in (FIRST, SECOND, THIRD) if password in told]
