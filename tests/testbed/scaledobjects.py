"""The ScaledObject that model engine makes for a sync endpoint with ``min_workers: 0``.

Sources: ``k8s_endpoint_resource_delegate.py``, ``k8s_resource_types.py`` and the chart's ``keda-scaled-object.yaml``.
"""

from typing import Any

from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.scaling import (
    REDIS_TRIGGER_AUTHENTICATION,
    ServerAddress,
    concurrency_query,
    resource_name,
    server_address,
)


def scaled_object(
    configuration: Configuration,
    endpoint_id: str,
    *,
    namespace: str,
    cache_url: str = "",
    max_workers: int = 1,
) -> dict[str, Any]:
    """The ScaledObject of a sync endpoint with ``min_workers: 0`` and a concurrency of 1.

    Holds the Prometheus trigger, and with ``cache_url`` the Redis list that announces demand (on Azure a Service
    Bus queue does that).
    """
    name = resource_name(endpoint_id)
    triggers = [prometheus_trigger(server_address(configuration), name)]
    if cache_url:
        triggers.append(redis_trigger(configuration, endpoint_id, cache_url))
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": 5,
            "cooldownPeriod": int(configuration.text(paths.KEDA_COOLDOWN_PERIOD) or 300),
            "minReplicaCount": 0,
            "maxReplicaCount": max_workers,
            "fallback": {"failureThreshold": 3, "replicas": 0},
            "triggers": triggers,
        },
    }


def prometheus_trigger(address: ServerAddress, name: str) -> dict[str, Any]:
    """The trigger that scales on from one replica. It names no authentication: KEDA asks anonymously."""
    return {
        "type": "prometheus",
        "metadata": {
            "serverAddress": address.in_scaled_object,
            "metricName": "request_concurrency_average",
            "query": concurrency_query(name),
            "threshold": "1",
        },
    }


def redis_trigger(configuration: Configuration, endpoint_id: str, cache_url: str) -> dict[str, Any]:
    """The trigger that scales from zero to one.

    Host and port are cut out of the cache URL by text, and only ``rediss`` loses its credentials; of the rest of the
    URL only the database counts, if a number ends it.
    """
    scheme, _, rest = cache_url.partition("://")
    address = rest.split("/")[0]
    if scheme == "rediss":
        address = address.rpartition("@")[2]
    last = cache_url.rpartition("/")[2]
    trigger: dict[str, Any] = {
        "type": "redis",
        "metadata": {
            "address": address,
            "passwordFromEnv": "",
            "listName": f"launch-endpoint-autoscaling:{endpoint_id}",
            "listLength": "100",
            "activationListLength": "0",
            "enableTLS": _lower(configuration.flag(paths.REDIS_ENABLE_TLS)),
            "unsafeSsl": _lower(configuration.flag(paths.REDIS_UNSAFE_SSL)),
            "databaseIndex": last if last.isdecimal() else "0",
        },
    }
    if configuration.flag(paths.REDIS_ENABLE_AUTH):
        trigger["authenticationRef"] = {"name": REDIS_TRIGGER_AUTHENTICATION}
    return trigger


def _lower(flag: bool) -> str:
    return "true" if flag else "false"
