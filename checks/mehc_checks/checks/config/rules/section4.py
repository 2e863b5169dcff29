"""Section 4: autoscaling of the gateway and of endpoints."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_INSTALL, critical, high, info, warning
from mehc_checks.checks.config.rules.rule import Cloud, View, known, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths

_DEAD_SCALING: Final = tuple(
    f"PrometheusQueryable/{reason}"
    for reason in (
        "PrometheusAddressUnset",
        "PrometheusAddressEmpty",
        "PrometheusAddressInvalid",
        "ScaledObjectNotReady",
        "ScaledObjectFallback",
        "StaleServerAddress",
    )
)
"""The address itself, and KEDA's word on what was made with it, or before it was taken away."""
_PAGE: Final = re.compile(r"/(?:graph|query|targets|alerts|api/v1(?:/\w+)?)/?(?:\?.*)?$")
"""Pages of Prometheus' web UI and paths of its API, as they are copied from a browser."""
_REJECTED: Final = "The API server rejects the HorizontalPodAutoscaler, and helm install fails."

GATEWAY_NOT_REDUNDANT: Final = info(
    "GatewayNotRedundant",
    "The gateway is down whenever its only pod is; replicaCount.gateway is ignored where the HPA is on.",
    message="{path} is {value}: a single gateway has no high availability",
    remedy="Set {path} to at least 2.",
)
HPA_LIMITS_REVERSED: Final = critical(
    "HPALimitsReversed",
    _REJECTED,
    message="{path} is {value}, below minReplicas {least}: the API server rejects the HorizontalPodAutoscaler",
    remedy="Set {path} to at least {least}, or lower autoscaling.horizontal.minReplicas.",
    explains=NO_INSTALL,
)
HPA_NUMBER_INVALID: Final = critical(
    "HPANumberInvalid",
    _REJECTED,
    message="{path} is {given}, but must be {wanted}: the API server rejects the HorizontalPodAutoscaler",
    remedy="Set {path} to {wanted}.",
    explains=NO_INSTALL,
)


@rule(
    "S4-01",
    title="the gateway's autoscaler has limits that Kubernetes accepts",
    reads=(paths.HPA_ENABLED, paths.HPA_MIN_REPLICAS, paths.HPA_MAX_REPLICAS, paths.REPLICAS_GATEWAY),
    faults=(GATEWAY_NOT_REDUNDANT, HPA_LIMITS_REVERSED, HPA_NUMBER_INVALID),
)
def gateway_scaling(view: View) -> Iterator[Finding]:
    if not view.flag(paths.HPA_ENABLED):
        return
    least, most = view.number(paths.HPA_MIN_REPLICAS), view.number(paths.HPA_MAX_REPLICAS)
    if least == 1:
        yield GATEWAY_NOT_REDUNDANT.at(paths.HPA_MIN_REPLICAS, value=least)
    if least is not None and most is not None and 1 <= most < least:
        yield HPA_LIMITS_REVERSED.at(paths.HPA_MAX_REPLICAS, value=most, least=least)
    for problem in view.problems_below(
        paths.HPA_MIN_REPLICAS, paths.HPA_MAX_REPLICAS, paths.HPA_TARGET_CONCURRENCY
    ):
        if view.seen(problem.path):
            yield HPA_NUMBER_INVALID.at(problem.path, given=problem.given, wanted=problem.wanted)


CUSTOM_METRICS_NOT_SERVED: Final = high(
    "CustomMetricsNotServed",
    "Gateway and endpoints stay at their smallest number of pods, whatever the load.",
    message="{path} is on, but the cluster serves no custom metrics: the gateway is never scaled",
    remedy="Install a metrics adapter that serves request-concurrency-average of pods, or set {path} to false.",
    explains=("PrometheusQueryable/CustomMetricsUnavailable", "PrometheusQueryable/CustomMetricMissing"),
)


@rule(
    "S4-02",
    title="the gateway's autoscaler has its metric",
    reads=(paths.HPA_ENABLED, paths.HPA_TARGET_CONCURRENCY),
    faults=(CUSTOM_METRICS_NOT_SERVED,),
    needs_cluster=True,
)
def request_metric(view: View) -> Iterator[Finding]:
    if view.flag(paths.HPA_ENABLED) and not known(view.facts.request_metric, "the API groups of the cluster"):
        yield CUSTOM_METRICS_NOT_SERVED.at(paths.HPA_ENABLED)


VPA_SETTING_MISSING: Final = critical(
    "VPASettingMissing",
    "helm install fails.",
    message="{path} is {given}, but autoscaling.vertical.enabled is on: helm install fails",
    remedy="Set {path}, or set autoscaling.vertical.enabled to false.",
    explains=NO_INSTALL,
)
VPA_NOT_INSTALLED: Final = critical(
    "VPANotInstalled",
    "helm install fails.",
    message="{path} is on, but the cluster has no VerticalPodAutoscaler CRD",
    remedy="Install the VerticalPodAutoscaler, or set {path} to false.",
    explains=NO_INSTALL,
)


@rule(
    "S4-03",
    title="vertical autoscaling has all that it needs",
    reads=(paths.VPA_ENABLED,),
    faults=(VPA_SETTING_MISSING, VPA_NOT_INSTALLED),
)
def vertical_scaling(view: View) -> Iterator[Finding]:
    if not view.flag(paths.VPA_ENABLED):
        return
    for problem in view.problems_below(f"{paths.VPA}.minAllowed", f"{paths.VPA}.maxAllowed"):
        if view.seen(problem.path):
            yield VPA_SETTING_MISSING.at(problem.path, given=problem.given)
    if view.absent(f"{paths.VPA}.updateMode"):
        yield VPA_SETTING_MISSING.at(f"{paths.VPA}.updateMode", given="not set")
    if view.installed and view.lacks_crd("verticalpodautoscalers.autoscaling.k8s.io"):
        yield VPA_NOT_INSTALLED.at(paths.VPA_ENABLED)


PREWARMING_ON: Final = warning(
    "PrewarmingOn",
    "Nothing is prewarmed: it scales a balloon model-engine-balloon-a100, which the chart never creates.",
    message="{path} is on, but it scales a balloon that the chart never creates (model-engine-balloon-a100)",
    remedy="Set {path} to false.",
)


@rule("S4-04", title="prewarming is off", reads=(paths.PREWARMING_ENABLED,), faults=(PREWARMING_ON,))
def prewarming(view: View) -> Iterator[Finding]:
    if view.flag(paths.PREWARMING_ENABLED):
        yield PREWARMING_ON.at(paths.PREWARMING_ENABLED)


_NOT_SCALED: Final = "Async endpoints keep the number of pods that they started with."
CELERY_AUTOSCALER_OFF: Final = high(
    "CeleryAutoscalerOff",
    _NOT_SCALED,
    message="{path} is {value}: async endpoints are never scaled",
    remedy="Set {path} to true.",
)
CELERY_AUTOSCALER_WITHOUT_SHARDS: Final = high(
    "CeleryAutoscalerWithoutShards",
    _NOT_SCALED,
    message="{path} is {value}: the Celery autoscaler has no pod, and async endpoints are never scaled",
    remedy="Set {path} to at least 1.",
    explains=("ControlPlaneReady/autoscaler/ScaledDown",),
)
CELERY_AUTOSCALER_LEFT_OUT: Final = high(
    "CeleryAutoscalerLeftOut",
    _NOT_SCALED,
    message="{path} is set, so the chart creates no Celery autoscaler: async endpoints are never scaled",
    remedy="Remove {path}, or run the Celery autoscaler of another installation over this endpoint namespace.",
)


@rule(
    "S4-05",
    title="the Celery autoscaler runs where its broker is one that it scales by",
    reads=(
        paths.CELERY_AUTOSCALER_ENABLED,
        paths.CELERY_AUTOSCALER_SHARDS,
        paths.SERVICE_IDENTIFIER,
        paths.CELERY_BROKER_TYPE,
    ),
    faults=(CELERY_AUTOSCALER_OFF, CELERY_AUTOSCALER_WITHOUT_SHARDS, CELERY_AUTOSCALER_LEFT_OUT),
    clouds=(Cloud.AWS, Cloud.AZURE),
)
def celery_autoscaler(view: View) -> Iterator[Finding]:
    path = paths.CELERY_AUTOSCALER_ENABLED
    if view.table("celery_autoscaler") and not view.flag(path):
        yield CELERY_AUTOSCALER_OFF.at(path, value=view.text(path) or "not set")
        return
    shards = view.number(paths.CELERY_AUTOSCALER_SHARDS)
    if shards is not None and shards < 1:
        yield CELERY_AUTOSCALER_WITHOUT_SHARDS.at(paths.CELERY_AUTOSCALER_SHARDS, value=shards)
    if view.text(paths.SERVICE_IDENTIFIER):
        yield CELERY_AUTOSCALER_LEFT_OUT.at(paths.SERVICE_IDENTIFIER)


_EXAMPLE: Final = "http://prometheus-server.istio-system.svc.cluster.local:80"
PROMETHEUS_ADDRESS_EMPTY: Final = high(
    "PrometheusAddressEmpty",
    "Sync endpoints are accepted but never scale up from zero: the gateway takes an empty string as configured.",
    message="{path} is an empty string: sync endpoints are accepted but never scale up from zero",
    remedy=f"Set {{path}} to a URL that KEDA's operator can reach, for example {_EXAMPLE}.",
    explains=_DEAD_SCALING,
)
PROMETHEUS_ADDRESS_UNSET: Final = high(
    "PrometheusAddressUnset",
    "The gateway rejects sync endpoints with min_workers 0.",
    message="{path} is not set: the gateway rejects sync endpoints with min_workers 0",
    remedy=f"Set {{path}} to a URL that KEDA's operator can reach, for example {_EXAMPLE}.",
    explains=_DEAD_SCALING,
)
PROMETHEUS_ADDRESS_INVALID: Final = high(
    "PrometheusAddressInvalid",
    "KEDA cannot query it, and sync endpoints never scale up from zero.",
    message="{path} is {value}, not a URL with http:// or https://: KEDA cannot query it",
    remedy=f"Set {{path}} to a URL with its scheme, for example {_EXAMPLE}.",
    explains=_DEAD_SCALING,
)
PROMETHEUS_ADDRESS_IS_PAGE: Final = high(
    "PrometheusAddressIsPage",
    "KEDA appends /api/v1/query to the address, and no such path is served there.",
    message="{path} ends in {page}: KEDA appends /api/v1/query to it and gets no answer",
    remedy="Remove {page} from {path}.",
    explains=(*_DEAD_SCALING, "PrometheusQueryable/NotPrometheus", "PrometheusQueryable/PathNotFound"),
)
COOLDOWN_INVALID: Final = high(
    "CooldownInvalid",
    "ScaledObjects are rejected, and sync endpoints do not scale.",
    message="{path} is {value}, not a number of seconds",
    remedy="Set {path} to a whole number of seconds, for example 300.",
)


@rule(
    "S4-06",
    title="prometheus_server_address is the URL of a Prometheus server",
    reads=(paths.PROMETHEUS_SERVER_ADDRESS, paths.KEDA_COOLDOWN_PERIOD),
    faults=(
        PROMETHEUS_ADDRESS_EMPTY,
        PROMETHEUS_ADDRESS_UNSET,
        PROMETHEUS_ADDRESS_INVALID,
        PROMETHEUS_ADDRESS_IS_PAGE,
        COOLDOWN_INVALID,
    ),
)
def prometheus(view: View) -> Iterator[Finding]:
    path = paths.PROMETHEUS_SERVER_ADDRESS
    given = view.text(path)
    if view.raw(path) is not None and not given:
        yield PROMETHEUS_ADDRESS_EMPTY.at(path)
    elif view.absent(path):
        yield PROMETHEUS_ADDRESS_UNSET.at(path)
    elif not given.startswith(("http://", "https://")):
        yield PROMETHEUS_ADDRESS_INVALID.at(path, value=given)
    elif page := _PAGE.search(given):
        yield PROMETHEUS_ADDRESS_IS_PAGE.at(path, page=page[0])
    path = paths.KEDA_COOLDOWN_PERIOD
    if view.raw(path) is not None and (view.number(path) is None or (view.number(path) or 0) < 0):
        yield COOLDOWN_INVALID.at(path, value=view.text(path) or "empty")


TWO_AUTOSCALERS: Final = high(
    "TwoAutoscalers",
    "A HorizontalPodAutoscaler and KEDA set the number of pods against each other.",
    message="endpoint {value} has a HorizontalPodAutoscaler and a ScaledObject, which set its pods against each other",
    remedy="Delete the older of the two objects named {value} in the endpoint namespace, or update the endpoint.",
    explains=("PrometheusQueryable/AutoscalerConflict",),
)


@rule(
    "S4-07",
    title="each endpoint is scaled by one autoscaler",
    reads=(),
    faults=(TWO_AUTOSCALERS,),
    needs_cluster=True,
)
def one_autoscaler(view: View) -> Iterator[Finding]:
    for name in known(view.facts.scaled_twice, "the autoscalers of the endpoints"):
        yield TWO_AUTOSCALERS.at("autoscaling", value=name)
