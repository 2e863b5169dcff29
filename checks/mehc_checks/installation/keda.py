"""KEDA itself, as the Kubernetes API shows it: each part by itself, so that one that may not be read hides no other."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from mehc_checks.clients.kubernetes.api import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import scaling

T = TypeVar("T")

CRDS: Final = ("scaledobjects", "triggerauthentications")
NAMESPACES: Final = ("keda", "kube-system")
OPERATOR_NAMES: Final = ("keda-operator",)
METRICS_SERVER_NAMES: Final = ("keda-operator-metrics-apiserver", "keda-metrics-apiserver")
"""The Helm chart's name and the plain manifests' name."""
EXTERNAL_METRICS: Final = "v1beta1.external.metrics.k8s.io"
CUSTOM_METRICS: Final = "v1beta1.custom.metrics.k8s.io"

_NAME_LABEL = "app.kubernetes.io/name"
_LATELY = timedelta(minutes=10)
"""Kubernetes repeats the count of an Event that goes on every 6 minutes only."""

Unknown = CannotEvaluate
"""Stands in a fact's place when it could not be read, and says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiService:
    """An APIService: who serves it, and whether the API server reaches that. ``why`` is the condition's reason."""

    namespace: str
    service: str
    available: bool
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A Deployment of KEDA's."""

    namespace: str
    name: str
    ready: int
    desired: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """An endpoint's ScaledObject. ``ready`` is the condition's status, "" before KEDA's first look."""

    namespace: str
    name: str
    target: str
    addresses: tuple[str, ...]
    ready: str = ""
    why: str = ""
    fallback: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class KedaFacts:
    """Everything about KEDA that the check judges."""

    namespace: str
    """Of endpoints."""
    served: frozenset[str] | Unknown
    """Resources of keda.sh/v1alpha1."""
    operator: Workload | Unknown | None
    metrics_server: Workload | Unknown | None
    external_metrics: ApiService | Unknown | None
    scaled_objects: tuple[Scaled, ...] | Unknown
    failing: frozenset[str] | Unknown
    """Names of ScaledObjects of which KEDA lately reported a failing trigger."""
    autoscalers: Mapping[str, str] | Unknown
    """Target → the HorizontalPodAutoscaler of it that is not KEDA's."""
    authentication: str = ""
    """The TriggerAuthentication that must exist, or ""."""
    authentication_exists: bool | Unknown = True
    wants_custom_metric: bool = False
    """Whether the gateway scales by a custom metric; the next two are about that."""
    custom_metrics: ApiService | Unknown | None = None
    custom_metric_served: bool | Unknown = True
    timeout: float = scaling.KEDA_TIMEOUT_SECONDS
    """Seconds that the operator gives a request."""
    unseen: tuple[CannotEvaluate, ...] = ()
    """Lists that were too long to be read whole."""


async def keda_facts(context: Context, *, namespace: str = "") -> KedaFacts:
    """Read all parts at once. ``namespace`` is where KEDA is, if not where it usually is."""
    read, where = Reading(context.reader), context.endpoint_namespace
    authentication = scaling.trigger_authentication(context.values)
    custom = scaling.uses_custom_metric(context.values)
    (installation, served, scaled, failing, autoscalers), (exists, api, metric) = await asyncio.gather(
        asyncio.gather(
            _installation(read, namespace),
            attempt(_served(read)),
            attempt(_scaled_objects(context, read)),
            attempt(_failing(context, read, where)),
            attempt(_autoscalers(context, read, where)),
        ),
        asyncio.gather(
            attempt(_authentication(context, read, where, authentication)),
            attempt(_api_service(read, CUSTOM_METRICS if custom else "")),
            attempt(_custom_metric(read, custom)),
        ),
    )
    external, operator, server, timeout = installation
    return KedaFacts(
        namespace=where,
        served=served,
        operator=operator,
        metrics_server=server,
        external_metrics=external,
        scaled_objects=scaled,
        failing=failing,
        autoscalers=autoscalers,
        authentication=authentication,
        authentication_exists=exists,
        wants_custom_metric=custom,
        custom_metrics=api,
        custom_metric_served=metric,
        timeout=timeout,
        unseen=read.unseen,
    )


async def attempt(asked: Awaitable[T]) -> T | Unknown:
    """The answer, or why there is none."""
    try:
        return await asked
    except CannotEvaluate as error:
        return error


async def _installation(
    read: Reading, namespace: str
) -> tuple[ApiService | Unknown | None, Workload | Unknown | None, Workload | Unknown | None, float]:
    """KEDA's APIService, operator and metrics server, and the operator's timeout in seconds."""
    external = await attempt(_api_service(read, EXTERNAL_METRICS))
    places = [namespace] if namespace else list(NAMESPACES)
    if isinstance(external, ApiService) and "keda" in external.service:
        places = list(dict.fromkeys([external.namespace, *places]))
    found: list[Mapping[str, Any]] = []
    refused: Unknown | None = None
    for listed in await asyncio.gather(*(attempt(_deployments(read, place)) for place in places)):
        if isinstance(listed, CannotEvaluate):
            refused = refused or listed
        else:
            found += listed
    operator, server = _named(found, OPERATOR_NAMES), _named(found, METRICS_SERVER_NAMES)
    return (
        external,
        _workload(operator) if operator else refused,
        _workload(server) if server else refused,
        _timeout(operator),
    )


async def _deployments(read: Reading, namespace: str) -> tuple[Manifest, ...]:
    names = ",".join((*OPERATOR_NAMES, *METRICS_SERVER_NAMES))
    path = object_path("deployments", namespace, group="apps")
    return await read.all(path, labels=f"{_NAME_LABEL} in ({names})")


def _named(deployments: list[Mapping[str, Any]], names: tuple[str, ...]) -> Mapping[str, Any] | None:
    for deployment in deployments:
        if deployment["metadata"].get("labels", {}).get(_NAME_LABEL) in names:
            return deployment
    return None


def _workload(deployment: Mapping[str, Any]) -> Workload:
    desired = deployment.get("spec", {}).get("replicas")
    return Workload(
        namespace=deployment["metadata"]["namespace"],
        name=deployment["metadata"]["name"],
        ready=deployment.get("status", {}).get("readyReplicas") or 0,
        desired=1 if desired is None else desired,
    )


def _timeout(operator: Mapping[str, Any] | None) -> float:
    template = (operator or {}).get("spec", {}).get("template", {}).get("spec", {})
    for container in template.get("containers") or []:
        for variable in container.get("env") or []:
            text = str(variable.get("value") or "")
            if variable.get("name") == "KEDA_HTTP_DEFAULT_TIMEOUT" and text.isdecimal() and int(text) > 0:
                return int(text) / 1000
    return scaling.KEDA_TIMEOUT_SECONDS


async def _served(read: Reading) -> frozenset[str]:
    group = await read.get("/apis/keda.sh/v1alpha1")
    return frozenset(str(resource["name"]) for resource in (group or {}).get("resources") or [])


async def _api_service(read: Reading, name: str) -> ApiService | None:
    path = cluster_path("apiservices", name, group="apiregistration.k8s.io")
    found = await read.get(path) if name else None
    if found is None:
        return None
    service = found.get("spec", {}).get("service") or {}
    available = _condition(found, "Available")
    return ApiService(
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        available=available.get("status") == "True",
        why=available.get("reason", "not yet probed"),
    )


async def scaled_objects(context: Context) -> tuple[Scaled, ...]:
    """Those of endpoints, by name; other people's in the namespace are none of ours.

    Raises what ``Context.prove_endpoint_namespace`` and ``Cluster.get`` raise.
    """
    return await _scaled_objects(context, Reading(context.reader))


async def _scaled_objects(context: Context, read: Reading) -> tuple[Scaled, ...]:
    await context.prove_endpoint_namespace()
    path = object_path("scaledobjects", context.endpoint_namespace, group="keda.sh", version="v1alpha1")
    found = [_scaled(item) for item in await read.all(path)]
    return tuple(
        sorted(
            (item for item in found if item.name.startswith(scaling.ENDPOINT_PREFIX)),
            key=lambda item: item.name,
        )
    )


def _scaled(item: Mapping[str, Any]) -> Scaled:
    ready = _condition(item, "Ready")
    return Scaled(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        target=item.get("spec", {}).get("scaleTargetRef", {}).get("name", ""),
        addresses=tuple(scaling.prometheus_addresses(item)),
        ready=ready.get("status", ""),
        why=ready.get("reason", ""),
        fallback=_condition(item, "Fallback").get("status") == "True",
    )


async def _failing(context: Context, read: Reading, namespace: str) -> frozenset[str]:
    await context.prove_endpoint_namespace()
    events = await read.all(
        object_path("events", namespace),
        fields="involvedObject.kind=ScaledObject,reason=KEDAScalerFailed",
    )
    since = context.clock() - _LATELY
    return frozenset(event["involvedObject"]["name"] for event in events if _last(event) > since)


def _last(event: Mapping[str, Any]) -> datetime:
    """When the Event was last observed."""
    series = event.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(text)


async def _autoscalers(context: Context, read: Reading, namespace: str) -> dict[str, str]:
    await context.prove_endpoint_namespace()
    path = object_path("horizontalpodautoscalers", namespace, group="autoscaling", version="v2")
    return {
        item["spec"]["scaleTargetRef"]["name"]: name
        for item in await read.all(path)
        if not (name := item["metadata"]["name"]).startswith("keda-hpa-")
    }


async def _authentication(context: Context, read: Reading, namespace: str, name: str) -> bool:
    if not name:
        return True
    await context.prove_endpoint_namespace()
    path = object_path("triggerauthentications", namespace, name, group="keda.sh", version="v1alpha1")
    return await read.exists(path)


async def _custom_metric(read: Reading, asked: bool) -> bool:
    """Whether the adapter lists the metric; it does so as soon as one pod has it."""
    if not asked:
        return True
    listed = await read.get("/apis/custom.metrics.k8s.io/v1beta1")
    names = {str(resource["name"]) for resource in (listed or {}).get("resources") or []}
    return f"pods/{scaling.CUSTOM_METRIC}" in names


def _condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    for condition in item.get("status", {}).get("conditions") or []:
        if condition.get("type") == kind:
            found: Mapping[str, Any] = condition
            return found
    return {}
