"""How endpoints are scaled: where KEDA asks what, and what the platform makes for it.

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

from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration

ADDRESS_PATH: Final = paths.PROMETHEUS_SERVER_ADDRESS
KEDA_CRDS: Final = ("scaledobjects", "triggerauthentications")
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


def server_address(configuration: Configuration) -> ServerAddress:
    """Where KEDA will ask, by the gateway's rule: only an absent address is none, an empty one is a dummy."""
    given = configuration.values.text(ADDRESS_PATH)
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


def trigger_authentication(configuration: Configuration) -> str:
    """The TriggerAuthentication that the chart puts into the endpoint namespace and ScaledObjects name, or ""."""
    if configuration.flag(paths.AZURE):
        return AZURE_TRIGGER_AUTHENTICATION
    return REDIS_TRIGGER_AUTHENTICATION if configuration.flag(paths.REDIS_ENABLE_AUTH) else ""


def uses_custom_metric(configuration: Configuration) -> bool:
    """Whether the chart makes a HorizontalPodAutoscaler for the gateway."""
    return configuration.flag(paths.HPA_ENABLED)


def prometheus_addresses(scaled: Mapping[str, Any]) -> list[str]:
    """The ``serverAddress`` of each Prometheus trigger of a ScaledObject, without blanks around it."""
    triggers = scaled.get("spec", {}).get("triggers") or []
    return [
        str(trigger.get("metadata", {}).get("serverAddress", "")).strip()
        for trigger in triggers
        if trigger.get("type") == "prometheus"
    ]
