"""The judgement of KEDA itself, part by part: one that cannot be read hides no other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mehc_checks.checks.prometheus.reasons import PrometheusReasons
from mehc_checks.clients.kubernetes.reader import incomplete
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.core.outcome import Finding, Reason
from mehc_checks.installation.keda import CRDS, ApiService, KedaFacts, Scaled, Unknown, Workload
from mehc_checks.modelengine.scaling import DUMMY_ADDRESS, ServerAddress

R = PrometheusReasons
_KEDA: Final = "KEDA"


def keda_findings(keda: KedaFacts, address: ServerAddress) -> Iterator[Finding]:
    """What is wrong with KEDA; ``address`` is what its ScaledObjects must have."""
    if isinstance(keda.served, Unknown):
        yield _unknown(keda.served, "API group keda.sh")
    elif absent := [name for name in CRDS if name not in keda.served]:
        yield R.KEDA_NOT_INSTALLED(subject=_KEDA, crds=" and ".join(f"{name}.keda.sh" for name in absent))
        return
    yield from _workload(keda.operator, R.KEDA_OPERATOR_NOT_READY, "operator")
    yield from _workload(keda.metrics_server, R.KEDA_METRICS_SERVER_NOT_READY, "metrics server")
    yield from _external_metrics(keda.external_metrics)
    if isinstance(keda.scaled_objects, Unknown):
        yield _unknown(keda.scaled_objects, "ScaledObjects")
    else:
        yield from _scaled(keda.scaled_objects, address)
        yield from _failing(keda.scaled_objects, keda.failing)
        yield from _conflicts(keda.scaled_objects, keda.autoscalers)
    if isinstance(keda.authentication_exists, Unknown):
        yield _unknown(keda.authentication_exists, "TriggerAuthentication")
    elif not keda.authentication_exists:
        yield R.TRIGGER_AUTHENTICATION_MISSING(name=keda.authentication, namespace=keda.namespace)
    yield from _custom_metrics(keda)
    yield from map(incomplete, keda.unseen)


def _workload(found: Workload | Unknown | None, reason: Reason, what: str) -> Iterator[Finding]:
    if isinstance(found, Unknown):
        yield _unknown(found, what)
    elif found is None:
        yield reason(subject=_KEDA, detail="no Deployment found")
    elif found.ready < found.desired or found.ready == 0:
        detail = (
            f"{found.ready} of {found.desired} pods of Deployment {found.namespace}/{found.name} are ready"
        )
        yield reason(subject=_KEDA, detail=detail, namespace=found.namespace)


def _external_metrics(found: ApiService | Unknown | None) -> Iterator[Finding]:
    if isinstance(found, Unknown):
        yield _unknown(found, "external metrics")
    elif found is not None and "keda" not in found.service:
        yield R.EXTERNAL_METRICS_TAKEN(subject=_KEDA, service=f"{found.namespace}/{found.service}")
    elif state := _not_served(found):
        yield R.EXTERNAL_METRICS_UNAVAILABLE(subject=_KEDA, state=state)


def _scaled(scaled_objects: Sequence[Scaled], address: ServerAddress) -> Iterator[Finding]:
    refused = [item for item in scaled_objects if item.ready == "False" or item.why == "PartialTriggerError"]
    if refused:
        yield _of(R.SCALED_OBJECT_NOT_READY, refused, cause=refused[0].why)
    if fallen := [item for item in scaled_objects if item.fallback]:
        yield _of(R.SCALED_OBJECT_FALLBACK, fallen)
    configured = address.in_scaled_object
    if stale := [item for item in scaled_objects if any(known != configured for known in item.addresses)]:
        yield _of(R.STALE_ADDRESS, stale, url=address.shown or DUMMY_ADDRESS)


def _failing(scaled_objects: Sequence[Scaled], failing: frozenset[str] | Unknown) -> Iterator[Finding]:
    if isinstance(failing, Unknown):
        yield _unknown(failing, "Events")
    elif reported := [item for item in scaled_objects if item.name in failing]:
        yield _of(R.TRIGGER_FAILING, reported)


def _conflicts(
    scaled_objects: Sequence[Scaled], autoscalers: Mapping[str, str] | Unknown
) -> Iterator[Finding]:
    if isinstance(autoscalers, Unknown):
        yield _unknown(autoscalers, "HorizontalPodAutoscalers")
    elif both := [item for item in scaled_objects if item.target in autoscalers]:
        yield _of(R.AUTOSCALER_CONFLICT, both, autoscaler=autoscalers[both[0].target])


def _of(reason: Reason, scaled_objects: Sequence[Scaled], **words: Any) -> Finding:
    """One finding for all that it concerns: the first is named, the others are counted."""
    first, more = scaled_objects[0], len(scaled_objects) - 1
    which = f"{more + 1} ScaledObjects ({first.name}, …) are" if more else f"ScaledObject {first.name} is"
    return reason(
        subject=first.name, scaled_objects=which, name=first.name, namespace=first.namespace, **words
    )


def _custom_metrics(keda: KedaFacts) -> Iterator[Finding]:
    """Of the gateway's own autoscaler, where it has one."""
    api, served = keda.custom_metrics, keda.custom_metric_served
    if not keda.wants_custom_metric:
        return
    if isinstance(api, Unknown):
        yield _unknown(api, "custom metrics")
    elif state := _not_served(api):
        yield R.CUSTOM_METRICS_UNAVAILABLE(subject="gateway", state=state)
    elif isinstance(served, Unknown):
        yield _unknown(served, "custom metrics")
    elif not served:
        yield R.CUSTOM_METRIC_MISSING(subject="gateway")


def _not_served(api: ApiService | None) -> str:
    """Why the API server does not serve ``api``, or ""."""
    if api is None:
        return "does not exist"
    return "" if api.available else f"is not available ({api.why})"


def _unknown(error: Unknown, part: str) -> Finding:
    detail = f"{part} could not be read: {error}"
    return KubernetesReasons.INCOMPLETE_DATA(subject=part, detail=detail, fix=error.remediation)
