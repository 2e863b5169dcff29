"""KEDA itself, as the Kubernetes API shows it: each part by itself, so that one that cannot be read hides no other."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.autoscalers import CustomScaling, custom_scaling
from mehc_checks.installation.context import Context
from mehc_checks.installation.metricsapi import EXTERNAL_METRICS, ApiService, api_service
from mehc_checks.modelengine import scaling
from mehc_checks.workload.read import conditions

NAMESPACES: Final = ("keda", "kube-system")
OPERATOR_NAMES: Final = ("keda-operator",)
METRICS_SERVER_NAMES: Final = ("keda-operator-metrics-apiserver", "keda-metrics-apiserver")
"""The Helm chart's name and the plain manifests' name."""

_NAME_LABEL = "app.kubernetes.io/name"
_LATELY = timedelta(minutes=10)
"""Kubernetes repeats the count of an Event that goes on every 6 minutes only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A Deployment of KEDA's. One that does not exist has no ``name``."""

    namespace: str = ""
    name: str = ""
    ready: int = 0
    desired: int = 0


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
    """Everything about KEDA that the check judges. None stands where something could not be read."""

    namespace: str
    """Of endpoints."""
    served: frozenset[str] | None
    """Resources of keda.sh/v1alpha1."""
    operator: Workload | None
    metrics_server: Workload | None
    external_metrics: ApiService | None
    scaled_objects: tuple[Scaled, ...] | None
    failing: frozenset[str]
    """Names of ScaledObjects of which KEDA lately reported a failing trigger."""
    custom: CustomScaling
    authentication: str = ""
    """The TriggerAuthentication that must exist, or ""."""
    authentication_exists: bool = True
    timeout: float = scaling.KEDA_TIMEOUT_SECONDS
    """Seconds that the operator gives a request."""
    unseen: tuple[CannotEvaluate, ...] = ()
    """What could not be read, or not all of."""


async def keda_facts(context: Context, *, namespace: str = "") -> KedaFacts:
    """Read all parts at once. ``namespace`` is where KEDA is, if not where it usually is."""
    read = Reading(context.reader)
    authentication = scaling.trigger_authentication(context.configuration)
    installation, served, scaled, failing, exists, custom = await asyncio.gather(
        _installation(read, namespace),
        read.attempt(_served(read), None),
        read.attempt(_scaled_objects(context, read), None),
        read.attempt(_failing(context, read), frozenset[str]()),
        read.attempt(_authentication(context, read, authentication), True),
        custom_scaling(context, read),
    )
    external, operator, server, timeout = installation
    return KedaFacts(
        namespace=context.endpoint_namespace,
        served=served,
        operator=operator,
        metrics_server=server,
        external_metrics=external,
        scaled_objects=scaled,
        failing=failing,
        custom=custom,
        authentication=authentication,
        authentication_exists=exists,
        timeout=timeout,
        unseen=read.unseen,
    )


async def _installation(
    read: Reading, namespace: str
) -> tuple[ApiService | None, Workload | None, Workload | None, float]:
    """KEDA's APIService, operator and metrics server, and the operator's timeout in seconds."""
    external = await read.attempt(api_service(read, EXTERNAL_METRICS), None)
    places = [namespace] if namespace else list(NAMESPACES)
    if external and "keda" in external.service:
        places = list(dict.fromkeys([external.namespace, *places]))
    listed = await asyncio.gather(*(read.attempt(_deployments(read, place), None) for place in places))
    found = [deployment for deployments in listed for deployment in deployments or ()]
    absent = None if None in listed else Workload()
    operator, server = _named(found, OPERATOR_NAMES), _named(found, METRICS_SERVER_NAMES)
    return (
        external,
        _workload(operator) if operator else absent,
        _workload(server) if server else absent,
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
    found = conditions(item.get("status", {}))
    ready, fallback = found.get("Ready"), found.get("Fallback")
    return Scaled(
        namespace=item["metadata"]["namespace"],
        name=item["metadata"]["name"],
        target=item.get("spec", {}).get("scaleTargetRef", {}).get("name", ""),
        addresses=tuple(scaling.prometheus_addresses(item)),
        ready=ready.status if ready else "",
        why=ready.reason if ready else "",
        fallback=fallback is not None and fallback.status == "True",
    )


async def _failing(context: Context, read: Reading) -> frozenset[str]:
    await context.prove_endpoint_namespace()
    events = await read.all(
        object_path("events", context.endpoint_namespace),
        fields="involvedObject.kind=ScaledObject,reason=KEDAScalerFailed,type=Warning",
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


async def _authentication(context: Context, read: Reading, name: str) -> bool:
    if not name:
        return True
    await context.prove_endpoint_namespace()
    where = context.endpoint_namespace
    return await read.exists(
        object_path("triggerauthentications", where, name, group="keda.sh", version="v1alpha1")
    )
