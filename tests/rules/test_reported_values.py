"""Values of public reports and guides, and what they must be told."""

from typing import Any

import pytest

from mehc_checks.checks.config.rules.evaluate import evaluate
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.values import Layer
from testbed.installation import Tree, overlaid
from testbed.rulejudging import at
from testbed.sound import AWS, AZURE, BY_CLOUD, ONPREM


def found(values: Tree) -> set[tuple[str, str, str]]:
    """Severity, reason and path of all findings but those that inform."""
    judged = evaluate(WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=values)]))
    return {
        (str(found.severity), found.reason.name, found.subject)
        for one in judged
        for found in one.findings
        if str(found.severity) != "info"
    }


def without(values: Tree, key: str) -> Tree:
    return {name: value for name, value in values.items() if name != key}


@pytest.mark.parametrize("cloud", BY_CLOUD)
def test_a_block_that_templates_read(cloud: str) -> None:
    told = found(without(BY_CLOUD[cloud], "triton"))
    assert ("critical", "BlockMissing", "triton") in told


@pytest.mark.parametrize("key", ["imageBuilderServiceAccount", "podDisruptionBudget"])
def test_blocks_that_helm_does_without(key: str) -> None:
    assert found(without(AWS, key)) == found(AWS) == set()


def test_a_boolean_is_no_token() -> None:
    told = found(overlaid(ONPREM, at("redis.auth", True)))
    assert ("high", "RedisTokenNotText", "redis.auth") in told


def test_both_database_jobs() -> None:
    told = found(overlaid(AWS, at("db", {"runDbInitScript": True, "runDbMigrationScript": True})))
    assert told == {("critical", "InitAndMigration", "db.runDbInitScript")}


def test_azure_reaches_its_cache_by_tls_without_redis_enable_tls() -> None:
    host = at("config.values.launch.cache_redis_azure_host", "x.redis.cache.windows.net:6380")
    assert found(overlaid(AZURE, host)) == found(AZURE)


UNREAD: dict[str, Any] = {
    "config.values.infra": {
        "onprem_redis_host": "r",
        "onprem_redis_port": "6379",
        "onprem_redis_password": None,
        "disable_aws": True,
        "disable_sqs_broker": True,
        "force_celery_redis": True,
        "aws_endpoint_url": "https://oss",
        "redis_password": None,
    },
    "secrets": {
        "kubernetesRedisSecretName": "redis-cluster",
        "kubernetesObjectStorageSecretName": "s3",
        "kubernetesDatabaseSecretKey": "uri",
    },
    "gpuMappings": {},
}


def test_each_key_that_nothing_reads_is_told() -> None:
    values = overlaid(ONPREM, *(at(path, keys) for path, keys in UNREAD.items()))
    told = {path for severity, name, path in found(values) if (severity, name) == ("warning", "KeyUnknown")}
    assert told == {
        *(f"config.values.infra.{key}" for key in UNREAD["config.values.infra"]),
        *(f"secrets.{key}" for key in UNREAD["secrets"]),
        "gpuMappings",
    }


def test_a_key_in_a_block_that_is_read_otherwise() -> None:
    assert found(overlaid(AWS, at("aws.enabled", False))) == {("warning", "KeyUnknown", "aws.enabled")}
