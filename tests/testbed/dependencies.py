"""Servers that an installation depends upon, each with the check that asks it and the values that lead there."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mehc_checks.engine.check import catalogue
from testbed.aws import Aws
from testbed.healthchecks import Cluster
from testbed.installation import DATABASE_SECRET, Tree, aws_values, overlaid
from testbed.modelengine import migrate
from testbed.postgres import Postgres
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import ImageStore, Registry

AWS_KEYS: Final = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""The environment of an operator that asks the store."""
Server = Redis | Postgres | Prometheus | Registry | Aws


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependency:
    """A server that runs. ``parameters`` are the check's."""

    check: str
    server: Server
    values: Tree
    parameters: Tree = field(default_factory=dict)

    def spec(self, **others: Any) -> Tree:
        """Of a resource whose one check is this one."""
        checks: Tree = {name: {"enabled": False} for name in catalogue() if name != self.check}
        return {
            "checks": {**checks, self.check: {"parameters": self.parameters}},
            "values": self.values,
            **others,
        }


def redis_values(server: Redis) -> Tree:
    return overlaid(aws_values(cache_redis_aws_url=server.url()), {"redis": {"enableTLS": server.tls}})


@contextlib.contextmanager
def redis(_: Cluster) -> Iterator[Dependency]:
    with Redis() as server:
        yield Dependency(check="RedisReachable", server=server, values=redis_values(server))


@contextlib.contextmanager
def postgres(cluster: Cluster) -> Iterator[Dependency]:
    with Postgres() as server:
        server.create_role("modelengine", "password")
        server.create_database("sound", owner="modelengine")
        migrate(server, "sound", revision="head")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": DATABASE_SECRET},
            "stringData": {"database_url": server.url("modelengine", "password", "sound")},
        }
        cluster.plane.apply(secret, namespace=cluster.namespace)
        yield Dependency(check="DatabaseMigrated", server=server, values=aws_values())


@contextlib.contextmanager
def prometheus(_: Cluster) -> Iterator[Dependency]:
    with Prometheus() as server:
        given = {"config": {"values": {"infra": {"prometheus_server_address": server.url()}}}}
        yield Dependency(check="PrometheusQueryable", server=server, values=overlaid(aws_values(), given))


@contextlib.contextmanager
def registry(_: Cluster) -> Iterator[Dependency]:
    with tempfile.TemporaryDirectory() as storage, Registry(storage=Path(storage)) as server:
        ImageStore(server).push("vllm", "1")
        infra = {"docker_repo_prefix": server.address, "docker_registry_type": "onprem"}
        given = {"config": {"values": {"infra": infra, "launch": {"vllm_repository": "vllm"}}}}
        yield Dependency(
            check="VllmImagePullable",
            server=server,
            values=overlaid(aws_values(), given),
            parameters={"tag": "1"},
        )


@contextlib.contextmanager
def store(_: Cluster) -> Iterator[Dependency]:
    """Its bucket is gone when the server is started again."""
    with Aws() as server:
        server.client("s3").create_bucket(Bucket="models")
        infra = {"cloud_provider": "onprem", "s3_bucket": "models"}
        given = {"s3EndpointUrl": server.url, "config": {"values": {"infra": infra}}}
        yield Dependency(check="ObjectStoreReachable", server=server, values=overlaid(aws_values(), given))


ALL: Final[tuple[Callable[[Cluster], AbstractContextManager[Dependency]], ...]] = (
    redis,
    postgres,
    prometheus,
    registry,
    store,
)


def reasons(cluster: Cluster, dependency: Dependency) -> set[str]:
    """What the status says of the dependency, of the resource that has the check's name."""
    checks = cluster.get(dependency.check.lower())["status"]["checks"]
    (found,) = (each for each in checks if each["name"] == dependency.check)
    return {found["reason"], *(each["reason"] for each in found.get("findings", ()))}
