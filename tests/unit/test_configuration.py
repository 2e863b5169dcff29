"""Values read as the chart's templates, KEDA and the platform's processes read them."""

from typing import Any

import pytest

from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.values import Layer
from testbed.rulejudging import at


def configuration(path: str, value: Any) -> Configuration:
    return Configuration(WITHOUT_CLUSTER.under([Layer(source="values.yaml", values=at(path, value))]))


@pytest.mark.parametrize(
    ("path", "value", "on"),
    [
        # a template asks `if`: any text that is not empty is true
        (paths.HPA_ENABLED, "false", True),
        (paths.HPA_ENABLED, False, False),
        (paths.HPA_ENABLED, "", False),
        (paths.HPA_ENABLED, 0, False),
        (paths.HPA_ENABLED, {}, False),
        (paths.HPA_ENABLED, None, False),
        (paths.CELERY_AUTOSCALER_ENABLED, "false", True),
        (paths.RUN_MIGRATION, None, False),
        # written without quotes into the service configuration, which a process reads as YAML
        (paths.CELERY_BROKER_TYPE_REDIS, "false", False),
        (paths.CELERY_BROKER_TYPE_REDIS, "no", False),
        (paths.CELERY_BROKER_TYPE_REDIS, "true", True),
        (paths.CELERY_BROKER_TYPE_REDIS, "yes", True),
        (paths.CELERY_BROKER_TYPE_REDIS, 1, True),
        (paths.CELERY_BROKER_TYPE_REDIS, "a: b: c", True),
        (paths.DEBUG_MODE, "false", False),
        (paths.CELERY_ENABLE_SHA256, "false", False),
        # written as text that KEDA parses
        (paths.REDIS_ENABLE_TLS, "false", False),
        (paths.REDIS_ENABLE_TLS, "true", True),
        (paths.REDIS_ENABLE_TLS, "yes", False),
        # quoted, but for real booleans
        (paths.SENSITIVE_LOG_MODE, "false", True),
        (paths.SENSITIVE_LOG_MODE, False, False),
        (paths.SENSITIVE_LOG_MODE, 0, True),
        (paths.SENSITIVE_LOG_MODE, "", False),
        (paths.SENSITIVE_LOG_MODE, None, False),
    ],
)
def test_a_flag_is_read_as_the_chart_has_it_read(path: str, value: Any, on: bool) -> None:
    assert configuration(path, value).flag(path) is on


@pytest.mark.parametrize(("value", "on"), [(True, True), ("true", True), ("false", True), (False, False)])
def test_the_key_inside_infra_works_too(value: Any, on: bool) -> None:
    """The chart quotes text there, so "false" is on."""
    path = f"{paths.INFRA}.celery_broker_type_redis"
    assert configuration(path, value).flag(paths.CELERY_BROKER_TYPE_REDIS) is on


def test_null_and_absent_differ_below_config_values() -> None:
    null = configuration(paths.DB_ENGINE_POOL_SIZE, None)
    assert null.has(paths.DB_ENGINE_POOL_SIZE)
    assert null.read(paths.DB_ENGINE_POOL_SIZE) is None
    assert not configuration(paths.DB_ENGINE_ECHO, False).has(paths.DB_ENGINE_POOL_SIZE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6379, "6379"),
        (1234567, "1.234567e+06"),
        (111122223333, "1.11122223333e+11"),
        (0.00001, "1e-05"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (True, "true"),
        (["a", {"b": None}], "[a map[b:<nil>]]"),
        ("text", "text"),
    ],
)
def test_values_are_printed_as_go_does(value: Any, text: str) -> None:
    assert printed(value) == text
