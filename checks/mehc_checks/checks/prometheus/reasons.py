"""What PrometheusQueryable can find."""

from typing import Final

from mehc_checks.clients.prometheus.reasons import PrometheusApiReasons
from mehc_checks.core.outcome import Reason, Status
from mehc_checks.modelengine.scaling import (
    ADDRESS_PATH,
    CUSTOM_METRIC,
    DUMMY_ADDRESS,
    ISTIO_SERIES,
    RATE_SECONDS,
)

_ANY: Final = {"name": "NAME", "namespace": "NAMESPACE"}
_UNANSWERED: Final = tuple(
    f"PrometheusQueryable/{name}"
    for name in (
        "PrometheusAddressUnset",
        "PrometheusAddressEmpty",
        "PrometheusAddressInvalid",
        "SlowerThanKeda",
        *(reason.name for reason in PrometheusApiReasons.all() if reason.status is Status.FAIL),
    )
)
"""With these, KEDA's query has no answer."""
_UNREADABLE: Final = (
    *_UNANSWERED,
    "PrometheusQueryable/KedaOperatorNotReady",
    "PrometheusQueryable/TriggerAuthenticationMissing",
    "RedisReachable/cache",
    "RedisReachable/keda",
)
"""With these, KEDA cannot read a trigger."""
_UPDATE_ENDPOINTS: Final = (
    "Then update every endpoint that scales to zero: its ScaledObject keeps the old address."
)


class PrometheusReasons(PrometheusApiReasons):
    """The address and the network, the answer, Istio's series, KEDA."""

    QUERYABLE = Reason(
        "Queryable",
        Status.PASS,
        "KEDA's query works, Istio's series are fresh, and KEDA is healthy. An empty result is normal for an endpoint "
        "without traffic: KEDA reads 0.",
        message="{url} answered in {milliseconds} ms; {reading}",
    )
    NO_TRAFFIC_YET = Reason(
        "NoTrafficYet",
        Status.PASS,
        "KEDA's query works and Prometheus scrapes the sidecars. Istio creates its request series with the first "
        "request.",
        message="{url} answered in {milliseconds} ms and scrapes {sidecars}; no request was made yet",
    )
    ADDRESS_UNSET = Reason(
        "PrometheusAddressUnset",
        Status.FAIL,
        "Without an address the gateway rejects sync endpoints with min_workers: 0 (HTTP 400).",
        message=f"{ADDRESS_PATH} must be set",
        remedy=f"Set {ADDRESS_PATH} to the URL of Prometheus, then restart the gateway and the endpoint builder. If no "
        "endpoint scales to zero, disable this check.",
    )
    ADDRESS_EMPTY = Reason(
        "PrometheusAddressEmpty",
        Status.FAIL,
        f"The gateway accepts an empty address, and KEDA is given {DUMMY_ADDRESS} in its place: every poll fails and "
        "nothing scales.",
        message=f"{ADDRESS_PATH} is empty: KEDA is given the address {DUMMY_ADDRESS!r}",
        remedy=f"Set {ADDRESS_PATH} to the URL of Prometheus, or remove it. {_UPDATE_ENDPOINTS}",
    )
    ADDRESS_INVALID = Reason(
        "PrometheusAddressInvalid",
        Status.FAIL,
        "KEDA's HTTP client rejects the address.",
        message="{url!r} is not a valid address: {problem}",
        remedy=f"Set {ADDRESS_PATH} to a URL of the form http[s]://HOST[:PORT][/PREFIX].",
    )
    TOO_SLOW = Reason(
        "SlowerThanKeda",
        Status.FAIL,
        "The answer takes longer than KEDA waits, so every poll fails.",
        message="{url} answered in {taken} s; KEDA gives up after {timeout} s",
        remedy="Give Prometheus more memory and CPU, or set KEDA_HTTP_DEFAULT_TIMEOUT of Deployment keda-operator to "
        "more than {milliseconds} (milliseconds).",
        defaults={"milliseconds": "what the answer took"},
    )
    ISTIO_NOT_SCRAPED = Reason(
        "IstioNotScraped",
        Status.FAIL,
        f"Prometheus has neither {ISTIO_SERIES} nor a scraped sidecar: KEDA always reads 0, and endpoints never grow "
        "beyond one worker.",
        message=f"{{url}} has no {ISTIO_SERIES} and scrapes no Istio sidecar",
        remedy="Configure this Prometheus to scrape Istio's sidecars (port 15020, path /stats/prometheus), and enable "
        "sidecar injection for endpoint pods.",
    )
    ISTIO_STALE = Reason(
        "IstioSeriesStale",
        Status.FAIL,
        f"The newest sample of {ISTIO_SERIES} is older than the query's window of {RATE_SECONDS} s, so KEDA reads 0.",
        message=f"{ISTIO_SERIES}: {{age}}; KEDA's query looks back {RATE_SECONDS} s",
        remedy="Fix the scraping of Istio's sidecars: see Status > Targets in Prometheus, and compare the clocks of "
        "the nodes.",
    )
    WORKLOAD_LABEL_MISSING = Reason(
        "WorkloadLabelMissing",
        Status.FAIL,
        f"{ISTIO_SERIES} lacks the label destination_workload, or it is always unknown. KEDA's query selects by it and "
        "always reads 0.",
        message=f"none of {{count}} series of {ISTIO_SERIES}{{concerning}} names its destination_workload, by which "
        "KEDA selects",
        remedy="Remove what drops destination_workload: metric_relabel_configs of Prometheus, tagOverrides in kubectl "
        "get telemetries -A. If it is unknown, enable sidecar injection for the pods that are called and restart them.",
    )
    ISTIO_SERIES_DISABLED = Reason(
        "IstioSeriesDisabled",
        Status.FAIL,
        f"Prometheus has istio_requests_total but not {ISTIO_SERIES}, which KEDA's query reads: it always reads 0.",
        message=f"{{url}} has istio_requests_total but no {ISTIO_SERIES}",
        remedy="Enable the metric REQUEST_DURATION in Istio (kubectl get telemetries -A), and remove what drops it "
        "(metric_relabel_configs of Prometheus, native histograms without classic ones).",
    )
    ISTIO_UNKNOWN = Reason(
        "IstioSeriesUnknown",
        Status.ERROR,
        "KEDA's query works, but the query for Istio's series failed: an Istio that is not scraped cannot be told from "
        "one without traffic.",
        message="cannot tell whether Istio is scraped: {detail}",
        remedy="{fix}",
        defaults={"fix": "Fix the error that the message names."},
    )
    KEDA_NOT_INSTALLED = Reason(
        "KedaNotInstalled",
        Status.FAIL,
        "The API server does not serve KEDA's CRDs; endpoints with min_workers: 0 end in UPDATE_FAILED.",
        message="the API server does not serve {crds}",
        remedy="Install KEDA with its CRDs: helm upgrade --install keda kedacore/keda -n keda --create-namespace.",
    )
    KEDA_OPERATOR_NOT_READY = Reason(
        "KedaOperatorNotReady",
        Status.FAIL,
        "KEDA's operator is missing or not ready: nothing is scaled from zero.",
        message="KEDA's operator is not ready: {detail}",
        remedy="Run kubectl describe deployment -n {namespace} -l app.kubernetes.io/name=keda-operator. If KEDA is in "
        "another namespace, set parameters.kedaNamespace of this check.",
        defaults={"namespace": "keda"},
    )
    KEDA_METRICS_SERVER_NOT_READY = Reason(
        "KedaMetricsServerNotReady",
        Status.FAIL,
        "KEDA's metrics server is missing or not ready: nothing is scaled beyond one worker.",
        message="KEDA's metrics server is not ready: {detail}",
        remedy="Run kubectl describe deployment -n {namespace} -l app.kubernetes.io/name="
        "keda-operator-metrics-apiserver. If KEDA is in another namespace, set parameters.kedaNamespace of this check.",
        defaults={"namespace": "keda"},
    )
    EXTERNAL_METRICS_UNAVAILABLE = Reason(
        "ExternalMetricsUnavailable",
        Status.FAIL,
        "The API server cannot serve external metrics, so KEDA's HorizontalPodAutoscalers get none.",
        message="APIService v1beta1.external.metrics.k8s.io {state}",
        remedy="Run kubectl describe apiservice v1beta1.external.metrics.k8s.io: check its Service, its certificate "
        "and the path from the API server to it.",
    )
    EXTERNAL_METRICS_TAKEN = Reason(
        "ExternalMetricsTaken",
        Status.FAIL,
        "Another adapter serves external metrics. A cluster has one APIService for them, and it must be KEDA's.",
        message="external metrics are served by {service}, not by KEDA",
        remedy="Disable external metrics in {service}, then reinstall KEDA.",
        defaults={"service": "the other adapter"},
    )
    SCALED_OBJECT_NOT_READY = Reason(
        "ScaledObjectNotReady",
        Status.FAIL,
        "KEDA rejects an endpoint's ScaledObject, or its triggers fail.",
        message="{scaled_objects} not ready ({cause})",
        remedy="Run kubectl describe scaledobject -n {namespace} {name}: conditions and Events name the cause.",
        defaults=_ANY,
        explained_by=_UNREADABLE,
    )
    SCALED_OBJECT_FALLBACK = Reason(
        "ScaledObjectFallback",
        Status.FAIL,
        "KEDA cannot read a metric and holds the endpoint at its fallback, which is min_workers: 0.",
        message="{scaled_objects} at the fallback: KEDA cannot read a metric",
        remedy="Run kubectl describe scaledobject -n {namespace} {name} and fix the trigger that its Events name; KEDA "
        "then leaves the fallback.",
        defaults=_ANY,
        explained_by=_UNREADABLE,
    )
    STALE_ADDRESS = Reason(
        "StaleServerAddress",
        Status.FAIL,
        "A ScaledObject was created before the configured address changed, and keeps the old one.",
        message="{scaled_objects} using a serverAddress other than the configured {url!r}",
        remedy="Update the endpoint, or correct serverAddress: kubectl edit scaledobject -n {namespace} {name}.",
        defaults=_ANY,
    )
    TRIGGER_FAILING = Reason(
        "TriggerFailing",
        Status.WARN,
        "KEDA reported a failing trigger in the last 10 minutes. The condition Ready can still be True: with a "
        "fallback of 0, KEDA lets the endpoint go to zero without changing it.",
        message="{scaled_objects} failing to read a trigger, by KEDA's Events of the last 10 minutes",
        remedy="Run kubectl describe scaledobject -n {namespace} {name}: Events name the trigger and the error.",
        defaults=_ANY,
    )
    TRIGGER_AUTHENTICATION_MISSING = Reason(
        "TriggerAuthenticationMissing",
        Status.FAIL,
        "The chart's TriggerAuthentication is missing in the endpoint namespace; triggers that reference it fail.",
        message="TriggerAuthentication {name} does not exist in namespace {namespace}",
        remedy="Run helm upgrade, which creates TriggerAuthentication {name} in namespace {namespace}.",
        defaults=_ANY,
    )
    AUTOSCALER_CONFLICT = Reason(
        "AutoscalerConflict",
        Status.FAIL,
        "An endpoint has a ScaledObject and a HorizontalPodAutoscaler of its own; both set its number of pods.",
        message="{scaled_objects} in conflict with HorizontalPodAutoscaler {autoscaler}",
        remedy="Delete one: with min_workers: 0 kubectl delete hpa -n {namespace} {autoscaler}, otherwise kubectl "
        "delete scaledobject -n {namespace} {name}.",
        defaults={**_ANY, "autoscaler": "NAME"},
    )
    CUSTOM_METRICS_UNAVAILABLE = Reason(
        "CustomMetricsUnavailable",
        Status.FAIL,
        "No adapter serves custom metrics: endpoints with min_workers above 0 stay at min_workers, and the gateway (a "
        "warning only) stays at minReplicas.",
        message="APIService v1beta1.custom.metrics.k8s.io {state}; {whose} by custom metrics",
        remedy="Install prometheus-adapter with a rule for "
        f"{CUSTOM_METRIC} of pods; neither model engine nor KEDA includes an adapter for custom metrics.",
    )
    CUSTOM_METRIC_MISSING = Reason(
        "CustomMetricMissing",
        Status.FAIL,
        f"The adapter of custom metrics does not serve {CUSTOM_METRIC} of pods: endpoints with min_workers above 0 "
        "stay at min_workers, and the gateway (a warning only) stays at minReplicas.",
        message=f"the adapter of custom metrics does not serve pods/{CUSTOM_METRIC}; {{whose}} by it",
        remedy=f"Add a rule for {CUSTOM_METRIC} of pods to the adapter's configuration.",
    )
    AUTOSCALER_METRIC_FAILING = Reason(
        "AutoscalerMetricFailing",
        Status.WARN,
        "Custom metrics are served, but the HorizontalPodAutoscaler of an endpoint has not read its metric for 10 "
        "minutes: it does not scale.",
        message=f"{{whose}} by pods/{CUSTOM_METRIC} and cannot read it ({{cause}})",
        remedy="Run kubectl describe hpa -n {namespace} {name}: conditions and Events name the cause. The adapter's "
        f"rule must cover {CUSTOM_METRIC} of these pods.",
        defaults=_ANY,
    )
