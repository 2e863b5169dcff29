"""PrometheusQueryable: KEDA's query works at the address that KEDA uses, and KEDA itself is healthy."""

import math
from collections.abc import Iterator
from typing import Any, Final

from mehc_checks.checks.prometheus.facts import IstioSeries, PrometheusFacts, PrometheusParameters
from mehc_checks.checks.prometheus.keda import keda_findings
from mehc_checks.checks.prometheus.reasons import PrometheusReasons
from mehc_checks.clients.prometheus.answer import Answer
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import counted
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import check
from mehc_checks.modelengine.scaling import ADDRESS_PATH, RATE_SECONDS, AddressKind, ServerAddress

R = PrometheusReasons
_WORDS: Final[dict[str, Any]] = {
    "source": ADDRESS_PATH,
    "client": "KEDA's operator",
    "trust": "Mount the authority into KEDA's operator (/custom/ca) and set parameters.caBundle or caConfigMap of "
    f"this check, or set {ADDRESS_PATH} to an http:// address inside the cluster.",
    "enable_tls": f"Set {ADDRESS_PATH} to an https:// address.",
    "disable_tls": f"Set {ADDRESS_PATH} to an http:// address, or to the TLS port.",
}
"""What narrows the reasons that every client shares."""


@check(
    "PrometheusQueryable",
    title="KEDA is healthy and can query Prometheus",
    severity=Severity.HIGH,
    reasons=PrometheusReasons,
    parameters=PrometheusParameters,
    asks=[Kind.PROMETHEUS],
    permissions=(
        Permission(resource="configmaps", scope="own"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="events", verbs=("list",), scope="endpoints"),
        Permission(
            resource="scaledobjects", group="keda.sh", verbs=("list",), scope="endpoints", followed=True
        ),
        Permission(resource="triggerauthentications", group="keda.sh", scope="endpoints", followed=True),
        Permission(
            resource="horizontalpodautoscalers",
            group="autoscaling",
            verbs=("list",),
            scope="endpoints",
            followed=True,
        ),
        Permission(resource="deployments", group="apps", verbs=("list",), scope="cluster", followed=True),
        Permission(resource="apiservices", group="apiregistration.k8s.io", scope="cluster", followed=True),
    ),
)
def prometheus_queryable(facts: PrometheusFacts) -> Outcome:
    """Judge the address, the answer, what Prometheus knows of Istio, and KEDA."""
    findings = [*_address(facts.address), *_answer(facts), *_istio(facts)]
    if facts.keda:
        findings += keda_findings(facts.keda, facts.address)
    return Outcome.of(findings, evidence=_evidence(facts))


def _address(address: ServerAddress) -> Iterator[Finding]:
    if address.kind is AddressKind.UNSET:
        yield R.ADDRESS_UNSET()
    elif address.kind is AddressKind.EMPTY:
        yield R.ADDRESS_EMPTY()
    elif address.kind is AddressKind.INVALID:
        yield R.ADDRESS_INVALID(url=address.shown, problem=address.problem)


def _answer(facts: PrometheusFacts) -> Iterator[Finding]:
    answer, url = facts.answer, facts.address.shown
    if isinstance(answer, Problem):
        yield answer.finding(**_WORDS)
    elif answer is not None:
        if answer.seconds > facts.timeout:
            yield R.TOO_SLOW(
                url=url,
                taken=f"{answer.seconds:.1f}",
                timeout=f"{facts.timeout:g}",
                milliseconds=math.ceil(answer.seconds) * 1000,
            )
        if len(answer.elements) > 1:
            detail = f"{len(answer.elements)} elements; KEDA accepts at most one"
            yield R.ANSWER_UNUSABLE(address=url, detail=detail, source=ADDRESS_PATH)


def _istio(facts: PrometheusFacts) -> Iterator[Finding]:
    """What the query's answer rests on, where there is an answer."""
    answer, istio = facts.answer, facts.istio
    if istio is None or not isinstance(answer, Answer):
        return
    words: dict[str, Any] = {"url": facts.address.shown, "milliseconds": f"{answer.seconds * 1000:.0f}"}
    if isinstance(istio, Problem):
        fix = istio.finding(**_WORDS).remediation
        yield R.ISTIO_UNKNOWN(detail=istio, fix=fix)
    elif istio.unlabelled_endpoints and not istio.endpoints:
        yield R.WORKLOAD_LABEL_MISSING(count=istio.unlabelled_endpoints, concerning=" of endpoints")
    elif istio.age is not None and istio.age > RATE_SECONDS:
        yield R.ISTIO_STALE(age=f"the newest sample is {istio.age:.0f} s old")
    elif istio.age is not None:
        yield R.QUERYABLE(**words, reading=_reading(answer, facts.endpoint))
    elif istio.unlabelled:
        yield R.WORKLOAD_LABEL_MISSING(count=istio.unlabelled, concerning="")
    elif istio.requests:
        yield R.ISTIO_SERIES_DISABLED(**words)
    elif istio.sidecars:
        yield R.NO_TRAFFIC_YET(**words, sidecars=counted(istio.sidecars, "sidecar"))
    elif istio.lately:
        yield R.ISTIO_STALE(age="no sample now, the last one within the last hour, and no sidecar is scraped")
    else:
        yield R.ISTIO_NOT_SCRAPED(**words)


def _reading(answer: Answer, endpoint: str) -> str:
    """What KEDA makes of the answer."""
    value = _value(answer)
    if value is None:
        return "the result is empty, which is normal before an endpoint has traffic"
    return f"KEDA reads {value:g} requests in flight for {endpoint}"


def _value(answer: Answer) -> float | None:
    """The number that KEDA goes by, None where it takes an empty answer for 0. NaN and infinities count as 0."""
    if not answer.elements:
        return None
    value = answer.elements[0].value
    return value if math.isfinite(value) else 0.0


def _evidence(facts: PrometheusFacts) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {
        "serverAddress": facts.address.shown or facts.address.in_scaled_object,
        "kedaTimeoutSeconds": facts.timeout,
    }
    if isinstance(facts.answer, Answer):
        evidence |= {
            "endpoint": facts.endpoint,
            "latencyMs": round(facts.answer.seconds * 1000, 1),
            "value": _value(facts.answer),
        }
    if isinstance(facts.istio, IstioSeries):
        age = facts.istio.age
        evidence |= {
            "istioSeriesAgeSeconds": None if age is None else round(age, 1),
            "sidecarsScraped": facts.istio.sidecars,
        }
    if facts.keda and facts.keda.scaled_objects is not None:
        evidence["scaledObjects"] = len(facts.keda.scaled_objects)
    return evidence
