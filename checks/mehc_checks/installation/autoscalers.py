"""The autoscalers that the platform makes without KEDA: the gateway's, those of endpoints, and what they scale by."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.installation.context import Context
from mehc_checks.installation.metricsapi import ApiService, custom_metric_served, custom_metrics
from mehc_checks.modelengine import scaling
from mehc_checks.workload.read import conditions

_LONG: Final = timedelta(minutes=10)
"""How long a metric must be missing to be more than that of a pod that has just started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler in the endpoint namespace that is not KEDA's."""

    name: str
    target: str
    needs_metric: bool
    """It is an endpoint's, scales by the platform's metric, and may have more pods than at least."""
    failing: str = ""
    """The condition's reason where it has not read its metric for 10 minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomScaling:
    """``api`` and ``served`` (the metric) are asked for only where something scales by it.

    ``api`` is None where it was not asked for, or could not be read.
    """

    gateway: bool
    """Whether the gateway scales by the metric."""
    autoscalers: tuple[Autoscaler, ...] = ()
    api: ApiService | None = None
    served: bool = True


async def custom_scaling(context: Context, read: Reading) -> CustomScaling:
    """Read all of it; what cannot be read is noted."""
    gateway = scaling.uses_custom_metric(context.configuration)
    autoscalers = await read.attempt(_autoscalers(context, read), ())
    api, served = None, True
    if gateway or any(each.needs_metric for each in autoscalers):
        api = await read.attempt(custom_metrics(read), None)
    if api and api.available:
        served = await read.attempt(custom_metric_served(read, api), True)
    return CustomScaling(gateway=gateway, autoscalers=autoscalers, api=api, served=served)


async def _autoscalers(context: Context, read: Reading) -> tuple[Autoscaler, ...]:
    await context.prove_endpoint_namespace()
    path = object_path(
        "horizontalpodautoscalers", context.endpoint_namespace, group="autoscaling", version="v2"
    )
    since = context.clock() - _LONG
    found = [_autoscaler(item, since) for item in await read.all(path)]
    return tuple(item for item in found if not item.name.startswith("keda-hpa-"))


def _autoscaler(item: Manifest, since: datetime) -> Autoscaler:
    spec = item["spec"]
    target, most, least = spec["scaleTargetRef"]["name"], spec["maxReplicas"], spec.get("minReplicas", 1)
    metrics = {each.get("pods", {}).get("metric", {}).get("name") for each in spec.get("metrics") or []}
    active = conditions(item.get("status", {})).get("ScalingActive")
    failing = ""
    if active and active.status == "False" and active.since and active.since < since:
        failing = active.reason if active.reason.startswith("FailedGet") else ""
    return Autoscaler(
        name=item["metadata"]["name"],
        target=target,
        needs_metric=scaling.CUSTOM_METRIC in metrics
        and most > least
        and target.startswith(scaling.ENDPOINT_PREFIX),
        failing=failing,
    )
