"""Section 4: autoscaling of the gateway and of endpoints."""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import INFRA, NO_INSTALL, Broken, Cloud, View, known, rule
from mehc_checks.core.outcome import Severity

_HPA: Final = "autoscaling.horizontal"
_VPA: Final = "autoscaling.vertical"
_PROMETHEUS: Final = f"{INFRA}.prometheus_server_address"
_DEAD_SCALING: Final = tuple(
    f"PrometheusQueryable/{reason}"
    for reason in (
        "AddressUnset",
        "AddressEmpty",
        "AddressInvalid",
        "ScaledObjectNotReady",
        "ScaledObjectFallback",
        "StaleServerAddress",
    )
)
"""The address itself, and KEDA's word on what was made with it, or before it was taken away."""


@rule(
    "S4-01",
    title="the number of gateways comes from one place",
    severity=Severity.INFO,
    reads=(f"{_HPA}.enabled", f"{_HPA}.minReplicas", f"{_HPA}.maxReplicas", "replicaCount.gateway"),
    consequence="replicaCount.gateway is ignored: the HorizontalPodAutoscaler decides.",
    remedy="Set autoscaling.horizontal.minReplicas to at least 2, and maxReplicas above it.",
)
def gateway_scaling(view: View) -> Iterator[Broken]:
    if not view.flag(f"{_HPA}.enabled"):
        return
    least, most = view.number(f"{_HPA}.minReplicas"), view.number(f"{_HPA}.maxReplicas")
    if least is not None and least < 2:
        yield Broken(path=f"{_HPA}.minReplicas", message=f"is {least}: one gateway is no high availability")
    if least is not None and most is not None and most < least:
        yield Broken(
            path=f"{_HPA}.maxReplicas",
            message=f"is {most}, below minReplicas {least}: the API server refuses the HorizontalPodAutoscaler",
            severity=Severity.HIGH,
        )
    for name in ("minReplicas", "maxReplicas", "targetConcurrency"):
        if view.raw(f"{_HPA}.{name}") is not None and (view.number(f"{_HPA}.{name}") or 0) < 1:
            yield Broken(
                path=f"{_HPA}.{name}",
                message=f"is {view.text(f'{_HPA}.{name}')}, not a number from 1",
                severity=Severity.HIGH,
            )


@rule(
    "S4-02",
    title="the gateway's HorizontalPodAutoscaler has its metric",
    severity=Severity.HIGH,
    reads=(f"{_HPA}.enabled", f"{_HPA}.targetConcurrency"),
    consequence="Gateway and endpoints stay at their smallest number, whatever the load.",
    remedy="Install a metrics adapter that serves request-concurrency-average of pods; the chart brings none. Or set "
    "autoscaling.horizontal.enabled to false.",
    needs_cluster=True,
)
def request_metric(view: View) -> Iterator[Broken]:
    if view.flag(f"{_HPA}.enabled") and not known(view.facts.request_metric, "the API groups of the cluster"):
        yield Broken(path=f"{_HPA}.enabled", message="is true, and the cluster serves no custom metrics")


@rule(
    "S4-03",
    title="vertical autoscaling has all that it needs",
    severity=Severity.HIGH,
    reads=(f"{_VPA}.enabled",),
    consequence="helm install ends in an error.",
    remedy="Install the VerticalPodAutoscaler, and set autoscaling.vertical.minAllowed, maxAllowed and updateMode; or "
    "set autoscaling.vertical.enabled to false.",
    explains=NO_INSTALL,
)
def vertical_scaling(view: View) -> Iterator[Broken]:
    if not view.flag(f"{_VPA}.enabled"):
        return
    for name in ("minAllowed", "maxAllowed", "updateMode"):
        if view.absent(f"{_VPA}.{name}"):
            yield Broken(
                path=f"{_VPA}.{name}", message="is not set, while autoscaling.vertical.enabled is true"
            )
    if view.installed and view.lacks_crd("verticalpodautoscalers.autoscaling.k8s.io"):
        yield Broken(path=f"{_VPA}.enabled", message="is true, and the cluster has no VerticalPodAutoscaler")


@rule(
    "S4-04",
    title="prewarming is off",
    severity=Severity.WARNING,
    reads=("autoscaling.prewarming.enabled",),
    consequence="It scales a balloon named model-engine-balloon-a100, which the chart never makes.",
    remedy="Set autoscaling.prewarming.enabled to false.",
)
def prewarming(view: View) -> Iterator[Broken]:
    if view.flag("autoscaling.prewarming.enabled"):
        yield Broken(path="autoscaling.prewarming.enabled", message="is true")


@rule(
    "S4-05",
    title="the Celery autoscaler runs where its broker is one that it scales by",
    severity=Severity.HIGH,
    reads=(
        "celery_autoscaler.enabled",
        "celery_autoscaler.num_shards",
        "serviceIdentifier",
        "celeryBrokerType",
    ),
    consequence="Async endpoints keep the number of pods that they began with.",
    remedy="On aws and azure set celery_autoscaler.enabled to true, num_shards to at least 1, and leave "
    "serviceIdentifier out, with which the chart makes no autoscaler.",
    clouds=(Cloud.AWS, Cloud.AZURE),
    explains=("ControlPlaneReady/autoscaler/ScaledDown",),
)
def celery_autoscaler(view: View) -> Iterator[Broken]:
    path = "celery_autoscaler.enabled"
    if view.table("celery_autoscaler") and not view.flag(path):
        yield Broken(path=path, message=f"is {view.text(path) or 'not set'}", explains=())
        return
    shards = view.number("celery_autoscaler.num_shards")
    if shards is not None and shards < 1:
        yield Broken(path="celery_autoscaler.num_shards", message=f"is {shards}")
    if view.text("serviceIdentifier"):
        yield Broken(
            path="serviceIdentifier", message="is set, so the chart makes no Celery autoscaler", explains=()
        )


@rule(
    "S4-06",
    title="prometheus_server_address is the URL of a Prometheus server",
    severity=Severity.HIGH,
    reads=(_PROMETHEUS, "keda.cooldownPeriod"),
    consequence="Not set, the gateway refuses sync endpoints with min_workers 0; set to empty text, it accepts "
    "them, and "
    "they never scale up from zero.",
    remedy="Set it to a URL that KEDA's operator can reach, with http:// or https://, for example "
    "http://prometheus-server.istio-system.svc.cluster.local:80.",
    explains=_DEAD_SCALING,
)
def prometheus(view: View) -> Iterator[Broken]:
    given = view.text(_PROMETHEUS)
    if view.raw(_PROMETHEUS) is not None and not given:
        yield Broken(path=_PROMETHEUS, message="is empty text, which counts as set")
    elif view.absent(_PROMETHEUS):
        yield Broken(path=_PROMETHEUS, message="is not set")
    elif not given.startswith(("http://", "https://")):
        yield Broken(path=_PROMETHEUS, message=f"is {given}, without http:// or https://")
    path = "keda.cooldownPeriod"
    if view.raw(path) is not None and (view.number(path) is None or (view.number(path) or 0) < 0):
        yield Broken(path=path, message=f"is {view.text(path)}, not a number of seconds", explains=())


@rule(
    "S4-07",
    title="each endpoint is scaled by one autoscaler",
    severity=Severity.HIGH,
    reads=(),
    consequence="A HorizontalPodAutoscaler and KEDA set the number of pods against each other.",
    remedy="Delete the older of the two; the builder deletes the other kind only when it updates the endpoint.",
    needs_cluster=True,
    explains=("PrometheusQueryable/AutoscalerConflict",),
)
def one_autoscaler(view: View) -> Iterator[Broken]:
    for name in known(view.facts.scaled_twice, "the autoscalers of the endpoints"):
        yield Broken(
            path="autoscaling", message=f"of endpoint {name} is a HorizontalPodAutoscaler and a ScaledObject"
        )
