"""How endpoints are scaled from and to zero: the ScaledObject that model engine creates, as KEDA reads it.

Sources: model engine's ``k8s_endpoint_resource_delegate.py`` and ``k8s_resource_types.py``, the chart's
``keda-scaled-object.yaml``, ``trigger_authentication.yaml`` and ``gateway_hpa.yaml``, and KEDA's
``prometheus_scaler.go``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Values

ADDRESS_PATH: Final = "config.values.infra.prometheus_server_address"
DUMMY_ADDRESS: Final = "dummy-value"
"""What stands in a ScaledObject as serverAddress when the gateway has none: KEDA fails on it at every poll."""

ENDPOINT_PREFIX: Final = "launch-endpoint-id-"
ISTIO_SERIES: Final = "istio_request_duration_milliseconds_sum"
RATE_SECONDS: Final = 120
"""The window of the query's rate: older samples make it empty."""

KEDA_TIMEOUT_SECONDS: Final = 3.0
"""KEDA's default for a whole request, redirects and body included (KEDA_HTTP_DEFAULT_TIMEOUT, in ms)."""

REDIS_TRIGGER_AUTHENTICATION: Final = "keda-trigger-auth-redis-secret"
AZURE_TRIGGER_AUTHENTICATION: Final = "azure-workload-identity"
CUSTOM_METRIC: Final = "request-concurrency-average"
"""Of pods; the HorizontalPodAutoscalers of the gateway and of endpoints with min_workers > 0 scale by it."""

_HOST = re.compile(r"[^\s/?#@<>\"{}|\\^`%]+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class AddressKind(StrEnum):
    """What the values say about Prometheus."""

    UNSET = "unset"
    """The gateway rejects ``min_workers: 0`` of sync endpoints with 400."""
    EMPTY = "empty"
    """The gateway accepts it, and KEDA gets ``dummy-value``."""
    INVALID = "invalid"
    """KEDA's HTTP client refuses it before it asks anybody."""
    URL = "url"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerAddress:
    """The address as given, without blanks around it. ``problem`` says why it is invalid."""

    kind: AddressKind
    given: str = ""
    problem: str = ""
    tls: bool = False
    host: str = ""
    port: int = 0
    login: bool = False
    """Whether it holds a user name: KEDA then sends basic authentication."""

    @property
    def in_scaled_object(self) -> str:
        """The trigger's ``serverAddress``."""
        return self.given or DUMMY_ADDRESS

    @property
    def shown(self) -> str:
        """The address without user name and password."""
        scheme, separator, rest = self.given.partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else self.given


def server_address(values: Values) -> ServerAddress:
    """Where KEDA will ask, by the gateway's rule: only an absent address is none, an empty one is a dummy."""
    given = values.text(ADDRESS_PATH)
    if given is None:
        return ServerAddress(kind=AddressKind.UNSET)
    return read_address(given)


def read_address(given: str) -> ServerAddress:
    """``given`` as Go's URL parser and HTTP client take it when KEDA has trimmed it and appends its path."""
    if not given:
        return ServerAddress(kind=AddressKind.EMPTY)
    given = given.strip()

    def invalid(problem: str) -> ServerAddress:
        return ServerAddress(kind=AddressKind.INVALID, given=given, problem=problem)

    if _CONTROL.search(given):
        return invalid("it contains white space")
    if _BROKEN_ESCAPE.search(given):
        return invalid("it contains a % that escapes nothing")
    try:
        url = urlsplit(given)
        port = url.port
    except ValueError:
        return invalid("its host or port cannot be read")
    if url.scheme not in ("http", "https") or "://" not in given:
        return invalid("it does not begin with http:// or https://")
    if not url.hostname or not _HOST.fullmatch(url.hostname):
        return invalid("it names no host")
    if port == 0:
        return invalid("its port is 0")
    if "?" in given or "#" in given:
        return invalid("it has a query or a fragment, which swallows the path that KEDA appends")
    return ServerAddress(
        kind=AddressKind.URL,
        given=given,
        tls=url.scheme == "https",
        host=url.hostname,
        port=port or (443 if url.scheme == "https" else 80),
        login=url.username is not None,
    )


def resource_name(endpoint_id: str) -> str:
    """The name of an endpoint's Deployment, HorizontalPodAutoscaler and ScaledObject."""
    return ENDPOINT_PREFIX + endpoint_id.replace("_", "-")


def concurrency_query(name: str) -> str:
    """PromQL: the average number of requests in flight at the endpoint's workload."""
    return f'sum(rate({ISTIO_SERIES}{{destination_workload="{name}"}}[2m])) / 1000'


def trigger_authentication(values: Values) -> str:
    """The TriggerAuthentication that the chart puts into the endpoint namespace and ScaledObjects name, or ""."""
    if values.get("azure"):
        return AZURE_TRIGGER_AUTHENTICATION
    return REDIS_TRIGGER_AUTHENTICATION if Configuration(values).flag("redis.enableAuth") else ""


def uses_custom_metric(values: Values) -> bool:
    """Whether the chart makes a HorizontalPodAutoscaler for the gateway."""
    return Configuration(values).flag("autoscaling.horizontal.enabled")


def scaled_object(
    values: Values, endpoint_id: str, *, namespace: str, cache_url: str = "", max_workers: int = 1
) -> dict[str, Any]:
    """The ScaledObject of a sync endpoint with ``min_workers: 0`` and a concurrency of 1.

    Holds the Prometheus trigger, and with ``cache_url`` the Redis list that announces demand (on Azure a Service
    Bus queue does that).
    """
    name = resource_name(endpoint_id)
    triggers = [prometheus_trigger(server_address(values), name)]
    if cache_url:
        triggers.append(redis_trigger(values, endpoint_id, cache_url))
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": 5,
            "cooldownPeriod": int(values.text("keda.cooldownPeriod") or 300),
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
            "query": concurrency_query(name),
            "threshold": "1",
        },
    }


def redis_trigger(values: Values, endpoint_id: str, cache_url: str) -> dict[str, Any]:
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
            "enableTLS": _lower(Configuration(values).flag("redis.enableTLS")),
            "unsafeSsl": _lower(Configuration(values).flag("redis.unsafeSsl")),
            "databaseIndex": last if last.isdecimal() else "0",
        },
    }
    if Configuration(values).flag("redis.enableAuth"):
        trigger["authenticationRef"] = {"name": REDIS_TRIGGER_AUTHENTICATION}
    return trigger


def prometheus_addresses(scaled: Mapping[str, Any]) -> list[str]:
    """The ``serverAddress`` of each Prometheus trigger of a ScaledObject, without blanks around it."""
    triggers = scaled.get("spec", {}).get("triggers") or []
    return [
        str(trigger.get("metadata", {}).get("serverAddress", "")).strip()
        for trigger in triggers
        if trigger.get("type") == "prometheus"
    ]


def _lower(flag: bool) -> str:
    return "true" if flag else "false"
