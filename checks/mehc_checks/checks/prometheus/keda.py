"""The judgement of KEDA itself, part by part: one that cannot be read hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mehc_checks.checks.prometheus.reasons import PrometheusReasons
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.core.outcome import Finding, Reason, Severity, Status
from mehc_checks.core.text import counted
from mehc_checks.modelengine.scaling import DUMMY_ADDRESS, KEDA_CRDS, ServerAddress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mehc_checks.installation.autoscalers import Autoscaler
    from mehc_checks.installation.keda import KedaFacts, Scaled, Workload
    from mehc_checks.installation.metricsapi import ApiService

R = PrometheusReasons
_KEDA: Final = "KEDA"


def keda_findings(keda: KedaFacts, address: ServerAddress) -> Iterator[Finding]:
    """What is wrong with KEDA; ``address`` is what its ScaledObjects must have."""
    yield from map(incomplete, keda.unseen)
    yield from _custom_metrics(keda)
    if keda.served is not None and (absent := [name for name in KEDA_CRDS if name not in keda.served]):
        yield R.KEDA_NOT_INSTALLED(subject=_KEDA, crds=" and ".join(f"{name}.keda.sh" for name in absent))
        return
    yield from _workload(keda.operator, R.KEDA_OPERATOR_NOT_READY)
    yield from _workload(keda.metrics_server, R.KEDA_METRICS_SERVER_NOT_READY)
    yield from _external_metrics(keda.external_metrics)
    yield from _scaled(keda.scaled_objects or (), address)
    yield from _failing(keda.scaled_objects or (), keda.failing)
    yield from _conflicts(keda.scaled_objects or (), keda.custom.autoscalers)
    if not keda.authentication_exists:
        yield R.TRIGGER_AUTHENTICATION_MISSING(name=keda.authentication, namespace=keda.namespace)


def _workload(found: Workload | None, reason: Reason) -> Iterator[Finding]:
    if found is None:
        return
    if not found.name:
        yield reason(subject=_KEDA, detail="no Deployment found")
    elif found.ready < found.desired or found.ready == 0:
        where = f"{found.namespace}/{found.name}"
        detail = f"{found.ready} of {counted(found.desired, 'pod')} of Deployment {where} ready"
        yield reason(subject=_KEDA, detail=detail, namespace=found.namespace)


def _external_metrics(found: ApiService | None) -> Iterator[Finding]:
    if found is None:
        return
    if found.name and "keda" not in found.service:
        yield R.EXTERNAL_METRICS_TAKEN(subject=_KEDA, service=f"{found.namespace}/{found.service}")
    elif found.state:
        yield R.EXTERNAL_METRICS_UNAVAILABLE(subject=_KEDA, state=found.state)


def _scaled(scaled_objects: Sequence[Scaled], address: ServerAddress) -> Iterator[Finding]:
    refused = [item for item in scaled_objects if item.ready == "False" or item.why == "PartialTriggerError"]
    if refused:
        yield _of(R.SCALED_OBJECT_NOT_READY, refused, cause=refused[0].why)
    if fallen := [item for item in scaled_objects if item.fallback]:
        yield _of(R.SCALED_OBJECT_FALLBACK, fallen)
    configured = address.in_scaled_object
    if stale := [item for item in scaled_objects if any(known != configured for known in item.addresses)]:
        yield _of(R.STALE_ADDRESS, stale, url=address.shown or DUMMY_ADDRESS)


def _failing(scaled_objects: Sequence[Scaled], failing: frozenset[str]) -> Iterator[Finding]:
    if reported := [item for item in scaled_objects if item.name in failing]:
        yield _of(R.TRIGGER_FAILING, reported)


def _conflicts(scaled_objects: Sequence[Scaled], autoscalers: Sequence[Autoscaler]) -> Iterator[Finding]:
    by_target = {item.target: item.name for item in autoscalers}
    if both := [item for item in scaled_objects if item.target in by_target]:
        yield _of(R.AUTOSCALER_CONFLICT, both, autoscaler=by_target[both[0].target])


def _of(reason: Reason, scaled_objects: Sequence[Scaled], **words: Any) -> Finding:
    """One finding for all that it concerns: the first is named, the others are counted."""
    first, more = scaled_objects[0], len(scaled_objects) - 1
    which = f"{more + 1} ScaledObjects ({first.name}, …) are" if more else f"ScaledObject {first.name} is"
    return reason(
        subject=first.name, scaled_objects=which, name=first.name, namespace=first.namespace, **words
    )


def _custom_metrics(keda: KedaFacts) -> Iterator[Finding]:
    """Of the autoscalers that the platform makes without KEDA: the gateway's, and those of endpoints."""
    api, scaling = keda.custom.api, [item for item in keda.custom.autoscalers if item.needs_metric]
    if api is None:
        return
    if api.state or not keda.custom.served:
        broken = R.CUSTOM_METRICS_UNAVAILABLE if api.state else R.CUSTOM_METRIC_MISSING
        if keda.custom.gateway:
            whose = "the gateway's HorizontalPodAutoscaler scales"
            yield broken(subject="gateway", status=Status.WARN, state=api.state, whose=whose)
        if scaling:
            yield broken(
                subject="endpoints", severity=Severity.WARNING, state=api.state, whose=_whose(scaling)
            )
    elif failing := [item for item in scaling if item.failing]:
        words: dict[str, Any] = {
            "whose": _whose(failing),
            "name": failing[0].name,
            "namespace": keda.namespace,
        }
        yield R.AUTOSCALER_METRIC_FAILING(subject=failing[0].name, cause=failing[0].failing, **words)


def _whose(autoscalers: Sequence[Autoscaler]) -> str:
    first, more = autoscalers[0].name, len(autoscalers) - 1
    if more:
        return f"{more + 1} HorizontalPodAutoscalers of endpoints ({first}, …) scale"
    return f"HorizontalPodAutoscaler {first} scales"
