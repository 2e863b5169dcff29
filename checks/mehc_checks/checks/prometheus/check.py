"""PrometheusQueryable: the query KEDA will run works at the address KEDA will use, and KEDA itself is healthy."""

import math
from collections.abc import Iterator, Mapping, Sequence

from mehc_checks.checks.prometheus.gather import (
    IstioSeries,
    PrometheusFacts,
    PrometheusParameters,
    prometheus_facts,
)
from mehc_checks.checks.prometheus.promql import Answer, PrometheusFailure, Trouble
from mehc_checks.core.errors import Forbidden
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.installation.keda import CRDS, ApiService, KedaFacts, Scaled, Unknown, Workload
from mehc_checks.modelengine.scaling import (
    ADDRESS_PATH,
    CUSTOM_METRIC,
    DUMMY_ADDRESS,
    ISTIO_SERIES,
    RATE_SECONDS,
    AddressKind,
    ServerAddress,
)

_ADDRESS = f"Set {ADDRESS_PATH} to "
_CA = (
    "Mount the authority into KEDA's operator (/custom/ca) and give it in parameters.caBundle or caConfigMap, "
    f"or set {ADDRESS_PATH} to an http:// address inside the cluster."
)
_SCALED_LATER = "Endpoints keep the old address: update each afterwards, or patch its ScaledObject."


class PrometheusReasons(ReasonSet):
    """Reasons of PrometheusQueryable."""

    QUERYABLE = Reason(
        "Queryable",
        Status.PASS,
        "The query works, Istio's series are fresh, and nothing is wrong with KEDA. An empty answer is normal for an "
        "endpoint without traffic: KEDA reads 0.",
    )
    NO_TRAFFIC_YET = Reason(
        "NoTrafficYet",
        Status.PASS,
        "The query works and Prometheus scrapes the sidecars; Istio makes its request series with the first request.",
    )
    ADDRESS_UNSET = Reason(
        "AddressUnset",
        Status.FAIL,
        "Without an address the gateway rejects sync endpoints with min_workers: 0 (HTTP 400).",
        f"{_ADDRESS}the URL of Prometheus, then restart gateway and endpoint builder. If no endpoint shall scale to "
        "zero, disable this check.",
    )
    ADDRESS_EMPTY = Reason(
        "AddressEmpty",
        Status.FAIL,
        f"An empty address passes the gateway's check, and ScaledObjects get {DUMMY_ADDRESS}: scaling is dead, "
        "silently.",
        f"{_ADDRESS}the URL of Prometheus, or remove the value. {_SCALED_LATER}",
    )
    ADDRESS_INVALID = Reason(
        "AddressInvalid",
        Status.FAIL,
        "The address is no URL that KEDA's HTTP client takes.",
        f"{_ADDRESS}http[s]://host[:port][/prefix].",
    )
    HOST_UNRESOLVABLE = Reason(
        "HostUnresolvable",
        Status.FAIL,
        "The host's name does not resolve.",
        f"{_ADDRESS}the name of the Service with its namespace: http://prometheus-server.istio-system.svc:80.",
    )
    CONNECTION_REFUSED = Reason(
        "ConnectionRefused",
        Status.FAIL,
        "Nothing listens at that port, or the Service has no ready pod.",
        f"Start Prometheus, or correct the port in {ADDRESS_PATH}.",
    )
    NO_ANSWER = Reason(
        "NoAnswer",
        Status.FAIL,
        "Nothing comes back in time; typically a firewall or a network policy drops the packets.",
        "Let KEDA's namespace reach Prometheus (network policy, security group).",
    )
    CONNECTION_FAILED = Reason(
        "ConnectionFailed",
        Status.FAIL,
        "There is no route, or the connection was cut off before an answer.",
        "Let KEDA's namespace reach Prometheus, and look at what stands in between (service mesh with strict mTLS, "
        "proxy).",
    )
    TLS_UNTRUSTED = Reason(
        "TLSUntrusted", Status.FAIL, "The certificate is of an authority that is not trusted.", _CA
    )
    TLS_EXPIRED = Reason(
        "TLSExpired", Status.FAIL, "The certificate has expired.", "Renew the certificate of Prometheus."
    )
    TLS_WRONG_HOST = Reason(
        "TLSWrongHost",
        Status.FAIL,
        "The certificate is for another name.",
        f"{_ADDRESS}a name that the certificate is for.",
    )
    TLS_FAILED = Reason(
        "TLSHandshakeFailed",
        Status.FAIL,
        "The TLS handshake fails: versions, ciphers, or a client certificate is asked for, which KEDA has none of.",
        "Make Prometheus accept TLS 1.2 or newer without a client certificate.",
    )
    TLS_NOT_SPOKEN = Reason(
        "TLSNotSpoken",
        Status.FAIL,
        "The address says https and the port does not speak TLS.",
        f"{_ADDRESS}an http:// address, or to the TLS port.",
    )
    TLS_REQUIRED = Reason(
        "TLSRequired",
        Status.FAIL,
        "The address says http and the port speaks TLS.",
        f"{_ADDRESS}an https:// address.",
    )
    CREDENTIALS_REQUIRED = Reason(
        "CredentialsRequired",
        Status.FAIL,
        "Prometheus, or what stands before it, wants credentials, and KEDA's trigger has none but those in the URL.",
        f"{_ADDRESS}an address inside the cluster that asks for none, or that holds them: http://user:password@host.",
    )
    ACCESS_DENIED = Reason(
        "AccessDenied",
        Status.FAIL,
        "What answers denies access.",
        "Allow KEDA's operator in the authorization policy or proxy before Prometheus.",
    )
    PATH_NOT_FOUND = Reason(
        "PathNotFound",
        Status.FAIL,
        "There is no query API below that path: a prefix is missing, wrong, or too much.",
        f"{_ADDRESS}the address with the path of Prometheus' --web.external-url or --web.route-prefix.",
    )
    NOT_PROMETHEUS = Reason(
        "NotPrometheus",
        Status.FAIL,
        "Something else answers: a web page, a login portal, Grafana, Alertmanager.",
        f"{_ADDRESS}host and port of Prometheus itself.",
    )
    QUERY_REJECTED = Reason(
        "QueryRejected",
        Status.FAIL,
        "Prometheus understands and rejects the query; often it would load more samples than --query.max-samples.",
        "Raise the limit that the message names, or have fewer series scraped.",
    )
    SERVER_ERROR = Reason(
        "ServerError",
        Status.FAIL,
        "Prometheus, or what stands before it, answers 5xx or 429.",
        "Look at the log of Prometheus; it may be starting up or overloaded.",
    )
    ANSWER_UNUSABLE = Reason(
        "AnswerUnusable",
        Status.FAIL,
        "The answer is no vector of at most one number, and KEDA takes nothing else.",
        f"{_ADDRESS}one Prometheus, not to something that merges several without adding up.",
    )
    TOO_SLOW = Reason(
        "SlowerThanKeda",
        Status.FAIL,
        "The answer takes longer than KEDA waits, so each poll fails.",
        "Give Prometheus more memory and CPU, or set KEDA_HTTP_DEFAULT_TIMEOUT (milliseconds) of KEDA's operator "
        "above {seconds} s.",
    )
    ISTIO_NOT_SCRAPED = Reason(
        "IstioNotScraped",
        Status.FAIL,
        f"Prometheus has neither {ISTIO_SERIES} nor a scraped sidecar: KEDA reads 0 for ever, and endpoints never "
        "grow beyond one worker.",
        "Have this Prometheus scrape Istio's sidecars (port 15020, /stats/prometheus), and endpoint pods injected.",
    )
    ISTIO_STALE = Reason(
        "IstioSeriesStale",
        Status.FAIL,
        f"The newest sample of {ISTIO_SERIES} is older than the query's window of {RATE_SECONDS} s, so KEDA reads 0.",
        "Mend the scraping of the sidecars; see Status > Targets of Prometheus, and the clocks.",
    )
    ISTIO_UNKNOWN = Reason(
        "IstioSeriesUnknown",
        Status.ERROR,
        "KEDA's query works, but the question whether Istio is scraped gets no answer.",
        "See the message; without this, an Istio that is not scraped looks like no traffic.",
    )
    KEDA_NOT_INSTALLED = Reason(
        "KedaNotInstalled",
        Status.FAIL,
        "The API server does not serve KEDA's resources; endpoints with min_workers: 0 end in UPDATE_FAILED.",
        "Install KEDA with its CRDs.",
    )
    KEDA_OPERATOR_NOT_READY = Reason(
        "KedaOperatorNotReady",
        Status.FAIL,
        "KEDA's operator is not there or not ready: nothing is scaled from zero.",
        "Look at Deployment keda-operator; if KEDA is in another namespace, set parameters.kedaNamespace.",
    )
    KEDA_METRICS_SERVER_NOT_READY = Reason(
        "KedaMetricsServerNotReady",
        Status.FAIL,
        "KEDA's metrics server is not there or not ready: nothing is scaled beyond one worker.",
        "Look at Deployment keda-operator-metrics-apiserver; if KEDA is elsewhere, set parameters.kedaNamespace.",
    )
    EXTERNAL_METRICS_UNAVAILABLE = Reason(
        "ExternalMetricsUnavailable",
        Status.FAIL,
        "The API server has no external metrics, so HorizontalPodAutoscalers of KEDA get none.",
        "Look at APIService v1beta1.external.metrics.k8s.io: its Service, its certificate, the way from the API "
        "server.",
    )
    EXTERNAL_METRICS_TAKEN = Reason(
        "ExternalMetricsTaken",
        Status.FAIL,
        "Another adapter serves external metrics; a cluster has one APIService for them, and KEDA's must be it.",
        "Remove the other adapter's external metrics, then install KEDA again.",
    )
    SCALED_OBJECT_NOT_READY = Reason(
        "ScaledObjectNotReady",
        Status.FAIL,
        "KEDA refuses an endpoint's ScaledObject, or all its triggers fail.",
        "kubectl describe scaledobject {name}: its conditions and Events say why.",
    )
    SCALED_OBJECT_FALLBACK = Reason(
        "ScaledObjectFallback",
        Status.FAIL,
        "KEDA cannot read a metric and holds the endpoint at its fallback, which is min_workers: 0.",
        "Mend what the other findings name; KEDA leaves the fallback by itself.",
    )
    STALE_ADDRESS = Reason(
        "StaleServerAddress",
        Status.FAIL,
        "A ScaledObject has another address than the configured one: it was made before a change.",
        "Update the endpoint, or patch serverAddress of ScaledObject {name}.",
    )
    TRIGGER_FAILING = Reason(
        "TriggerFailing",
        Status.WARN,
        "KEDA lately reported a failing trigger. Its condition may still say Ready: with a fallback of 0, KEDA lets "
        "the endpoint go to zero and says no more.",
        "kubectl describe scaledobject {name}: the Events say which trigger and why.",
    )
    TRIGGER_AUTHENTICATION_MISSING = Reason(
        "TriggerAuthenticationMissing",
        Status.FAIL,
        "The chart's TriggerAuthentication is not in the endpoint namespace, and triggers that name it fail.",
        "Run the chart's upgrade (redis.enableAuth, azure), or create TriggerAuthentication {name}.",
    )
    AUTOSCALER_CONFLICT = Reason(
        "AutoscalerConflict",
        Status.FAIL,
        "An endpoint has a ScaledObject and a HorizontalPodAutoscaler of its own; they work against each other.",
        "Delete the one that does not fit min_workers: the HorizontalPodAutoscaler at 0, the ScaledObject above.",
    )
    CUSTOM_METRICS_UNAVAILABLE = Reason(
        "CustomMetricsUnavailable",
        Status.WARN,
        "The gateway's HorizontalPodAutoscaler needs custom metrics, and no adapter serves them: it stays at its "
        "minimum.",
        "Install an adapter (prometheus-adapter); neither the platform nor KEDA brings one.",
    )
    CUSTOM_METRIC_MISSING = Reason(
        "CustomMetricMissing",
        Status.WARN,
        f"The adapter of custom metrics does not know {CUSTOM_METRIC} of pods: the gateway stays at its minimum.",
        f"Add a rule for {CUSTOM_METRIC} to the adapter.",
    )
    PART_UNKNOWN = Reason(
        "KedaStateUnknown",
        Status.ERROR,
        "A part of KEDA's state could not be read; the rest is judged.",
        "{remedy}",
    )
    FORBIDDEN = Reason(
        "KedaStateForbidden",
        Status.ERROR,
        "The Kubernetes API refuses to show a part of KEDA's state; the rest is judged.",
        "{remedy}",
    )


R = PrometheusReasons
_OF_TROUBLE: dict[Trouble, Reason] = {trouble: getattr(R, trouble.name) for trouble in Trouble}


@check(
    "PrometheusQueryable",
    title="the query that KEDA will run works where KEDA will ask, and KEDA is healthy",
    severity=Severity.HIGH,
    gather=prometheus_facts,
    reasons=PrometheusReasons,
    parameters=PrometheusParameters,
    permissions=(
        Permission(resource="configmaps", scope="own"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="events", verbs=("list",), scope="endpoints"),
        Permission(resource="scaledobjects", group="keda.sh", verbs=("list",), scope="endpoints"),
        Permission(resource="triggerauthentications", group="keda.sh", scope="endpoints"),
        Permission(
            resource="horizontalpodautoscalers", group="autoscaling", verbs=("list",), scope="endpoints"
        ),
        Permission(resource="deployments", group="apps", verbs=("list",), scope="cluster"),
        Permission(resource="apiservices", group="apiregistration.k8s.io", scope="cluster"),
    ),
)
def prometheus_queryable(facts: PrometheusFacts) -> Outcome:
    """Judge the address, the answer, what Prometheus knows of Istio, and KEDA."""
    findings = [*_address(facts.address), *_answer(facts), *_istio(facts)]
    if facts.keda:
        findings += _keda(facts.keda, facts.address)
    return Outcome.of(findings, evidence=_evidence(facts))


def _address(address: ServerAddress) -> Iterator[Finding]:
    if address.kind is AddressKind.UNSET:
        yield R.ADDRESS_UNSET.finding(f"{ADDRESS_PATH} is not set")
    elif address.kind is AddressKind.EMPTY:
        yield R.ADDRESS_EMPTY.finding(f"{ADDRESS_PATH} is empty, so KEDA is told to ask {DUMMY_ADDRESS!r}")
    elif address.kind is AddressKind.INVALID:
        yield R.ADDRESS_INVALID.finding(f"{address.shown!r} is no address for KEDA: {address.problem}")


def _answer(facts: PrometheusFacts) -> Iterator[Finding]:
    answer, where = facts.answer, facts.address.shown
    if isinstance(answer, PrometheusFailure):
        yield _failed(answer, facts)
    elif answer is not None:
        if answer.seconds > facts.timeout:
            yield R.TOO_SLOW.finding(
                f"{where} answers in {answer.seconds:.1f} s; KEDA gives up after {facts.timeout:g} s",
                seconds=math.ceil(answer.seconds),
            )
        if len(answer.elements) > 1:
            yield R.ANSWER_UNUSABLE.finding(
                f"{where} answers the sum with {len(answer.elements)} elements; KEDA takes one at most"
            )


def _failed(failure: PrometheusFailure, facts: PrometheusFacts) -> Finding:
    detail, kedas = str(failure), facts.timeout
    if failure.trouble is not Trouble.TOO_SLOW:
        return _OF_TROUBLE[failure.trouble].finding(detail)
    if facts.patience < kedas:
        return R.NO_ANSWER.finding(detail)
    return R.TOO_SLOW.finding(f"{detail}; KEDA gives up after {kedas:g} s", seconds=math.ceil(facts.patience))


def _istio(facts: PrometheusFacts) -> Iterator[Finding]:
    """What the query's answer rests on, where there is an answer."""
    answer, istio = facts.answer, facts.istio
    if istio is None or not isinstance(answer, Answer):
        return
    where = facts.address.shown
    if isinstance(istio, PrometheusFailure):
        yield R.ISTIO_UNKNOWN.finding(f"whether Istio is scraped is unknown: {istio}")
    elif istio.age is not None and istio.age > RATE_SECONDS:
        yield R.ISTIO_STALE.finding(
            f"the newest sample of {ISTIO_SERIES} is {istio.age:.0f} s old; KEDA's query looks {RATE_SECONDS} s back"
        )
    elif istio.age is not None:
        yield R.QUERYABLE.finding(
            f"{where} answers in {answer.seconds * 1000:.0f} ms; {_read(answer, facts)}"
        )
    elif istio.proxies:
        yield R.NO_TRAFFIC_YET.finding(
            f"{where} answers in {answer.seconds * 1000:.0f} ms and scrapes {istio.proxies} sidecars; "
            "there was no request yet"
        )
    elif istio.lately:
        yield R.ISTIO_STALE.finding(
            f"{ISTIO_SERIES} had samples within the last hour and has none now, and no sidecar is scraped"
        )
    else:
        yield R.ISTIO_NOT_SCRAPED.finding(f"{where} has no {ISTIO_SERIES} and no sidecar of Istio")


def _read(answer: Answer, facts: PrometheusFacts) -> str:
    """What KEDA makes of the answer."""
    value = _value(answer)
    if value is None:
        return "the answer is empty, which is normal before an endpoint has traffic"
    return f"KEDA reads {value:g} requests in flight for {facts.endpoint}"


def _value(answer: Answer) -> float | None:
    """The number that KEDA goes by, None where it takes an empty answer for 0. NaN and infinities count as 0."""
    if not answer.elements:
        return None
    value = answer.elements[0].value
    return value if math.isfinite(value) else 0.0


def _keda(keda: KedaFacts, address: ServerAddress) -> Iterator[Finding]:
    if isinstance(keda.served, Unknown):
        yield _unknown(keda.served, "API group keda.sh")
    elif absent := [name for name in CRDS if name not in keda.served]:
        yield R.KEDA_NOT_INSTALLED.finding(
            f"the API server does not serve {' and '.join(f'{name}.keda.sh' for name in absent)}",
            subject="KEDA",
        )
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
        name = keda.authentication
        yield R.TRIGGER_AUTHENTICATION_MISSING.finding(
            f"TriggerAuthentication {name} is not in the endpoint namespace", name=name
        )
    yield from _custom_metrics(keda)


def _workload(found: Workload | Unknown | None, reason: Reason, what: str) -> Iterator[Finding]:
    if isinstance(found, Unknown):
        yield _unknown(found, what)
    elif found is None:
        yield reason.finding(f"no Deployment of KEDA's {what} was found", subject="KEDA")
    elif found.ready < found.desired or found.ready == 0:
        yield reason.finding(
            f"KEDA's {what} {found.namespace}/{found.name} has {found.ready} of {found.desired} pods ready",
            subject="KEDA",
        )


def _external_metrics(found: ApiService | Unknown | None) -> Iterator[Finding]:
    if isinstance(found, Unknown):
        yield _unknown(found, "external metrics")
    elif found is None:
        yield R.EXTERNAL_METRICS_UNAVAILABLE.finding(
            "APIService v1beta1.external.metrics.k8s.io does not exist", subject="KEDA"
        )
    elif "keda" not in found.service:
        yield R.EXTERNAL_METRICS_TAKEN.finding(
            f"external metrics are served by {found.namespace}/{found.service}, not by KEDA", subject="KEDA"
        )
    elif not found.available:
        yield R.EXTERNAL_METRICS_UNAVAILABLE.finding(
            f"APIService v1beta1.external.metrics.k8s.io is not available ({found.why})", subject="KEDA"
        )


def _scaled(scaled_objects: Sequence[Scaled], address: ServerAddress) -> Iterator[Finding]:
    refused = [item for item in scaled_objects if item.ready == "False" or item.why == "PartialTriggerError"]
    if refused:
        yield _of(R.SCALED_OBJECT_NOT_READY, refused, f"not ready ({refused[0].why})")
    if fallen := [item for item in scaled_objects if item.fallback]:
        yield _of(R.SCALED_OBJECT_FALLBACK, fallen, "at the fallback")
    configured = address.in_scaled_object
    if stale := [item for item in scaled_objects if any(known != configured for known in item.addresses)]:
        what = f"made with another serverAddress than the configured {address.shown or DUMMY_ADDRESS!r}"
        yield _of(R.STALE_ADDRESS, stale, what)


def _failing(scaled_objects: Sequence[Scaled], failing: frozenset[str] | Unknown) -> Iterator[Finding]:
    if isinstance(failing, Unknown):
        yield _unknown(failing, "Events")
    elif reported := [item for item in scaled_objects if item.name in failing]:
        yield _of(R.TRIGGER_FAILING, reported, "lately reported by KEDA with a failing trigger")


def _conflicts(
    scaled_objects: Sequence[Scaled], autoscalers: Mapping[str, str] | Unknown
) -> Iterator[Finding]:
    if isinstance(autoscalers, Unknown):
        yield _unknown(autoscalers, "HorizontalPodAutoscalers")
    elif both := [item for item in scaled_objects if item.target in autoscalers]:
        other = autoscalers[both[0].target]
        yield _of(R.AUTOSCALER_CONFLICT, both, f"in conflict with HorizontalPodAutoscaler {other}")


def _of(reason: Reason, scaled_objects: Sequence[Scaled], what: str) -> Finding:
    """One finding for all that it concerns: the first is named, the others are counted."""
    first, more = scaled_objects[0].name, len(scaled_objects) - 1
    who = f"ScaledObject {first} and {more} more are" if more else f"ScaledObject {first} is"
    return reason.finding(f"{who} {what}", subject=first, name=first)


def _custom_metrics(keda: KedaFacts) -> Iterator[Finding]:
    """Of the gateway's own autoscaler, where it has one."""
    api, served = keda.custom_metrics, keda.custom_metric_served
    if not keda.wants_custom_metric:
        return
    if isinstance(api, Unknown):
        yield _unknown(api, "custom metrics")
    elif api is None or not api.available:
        state = "does not exist" if api is None else f"is not available ({api.why})"
        yield R.CUSTOM_METRICS_UNAVAILABLE.finding(
            f"APIService v1beta1.custom.metrics.k8s.io {state}", subject="gateway"
        )
    elif isinstance(served, Unknown):
        yield _unknown(served, "custom metrics")
    elif not served:
        yield R.CUSTOM_METRIC_MISSING.finding(
            f"the adapter of custom metrics does not list pods/{CUSTOM_METRIC}", subject="gateway"
        )


def _unknown(error: Unknown, part: str) -> Finding:
    reason = R.FORBIDDEN if isinstance(error, Forbidden) else R.PART_UNKNOWN
    return reason.finding(f"{part}: {error}", subject=part, remedy=error.remediation)


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
            "sidecarsScraped": facts.istio.proxies,
        }
    if facts.keda and not isinstance(facts.keda.scaled_objects, Unknown):
        evidence["scaledObjects"] = len(facts.keda.scaled_objects)
    return evidence
