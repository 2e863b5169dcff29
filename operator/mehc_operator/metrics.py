"""What the operator tells Prometheus: ``/metrics``, described in docs/metrics.md.

Two kinds. Counters and histograms are about this process. The series of the resources are read off the
operator's state at each scrape, so those of a resource end with it, and a process that does not lead has none.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.health import Health
from mehc_operator.conditions import DEGRADED, READY
from mehc_operator.status import ConditionStatus, StatusReport

MUTED: Final = "Muted"
"""In place of the status of a check that must not alert."""
OTHER: Final = "Other"
"""In place of a reason that no check declares: a label must have a bounded set of values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """A resource as this process knows it: its last judgement, and the time between two probe runs.

    ``interval`` is None while no further run is due by itself.
    """

    namespace: str
    name: str
    status: StatusReport
    interval: timedelta | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A row of docs/metrics.md. ``name`` is as queries write it."""

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...] = ()


disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of no use to Prometheus
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
DESCRIBED: Final[list[Described]] = []

_OF_EACH: Final = ("namespace", "name")
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def _described(name: str, kind: str, meaning: str, *labels: str) -> tuple[str, str, tuple[str, ...]]:
    """The arguments that every class of the client takes, noted for the page."""
    DESCRIBED.append(Described(name=name, kind=kind, meaning=meaning, labels=labels))
    return name, meaning, labels


LEADER: Final = Gauge(
    *_described("mehc_leader", "gauge", "1 while this replica is the leader, else 0."),
    registry=REGISTRY,
)
PROBE_DURATION: Final = Histogram(
    *_described("mehc_probe_duration_seconds", "histogram", "Duration of a check, by check.", "check"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
RUN_DURATION: Final = Histogram(
    *_described("mehc_probe_run_duration_seconds", "histogram", "Duration of a probe run of one resource."),
    buckets=_SECONDS,
    registry=REGISTRY,
)
STATUS_WRITES: Final = Counter(
    *_described(
        "mehc_status_writes_total",
        "counter",
        "Attempts to write a status by result: written, retried (the API was unavailable), gone (the resource was "
        "deleted) or refused.",
        "result",
    ),
    registry=REGISTRY,
)
EVENTS: Final = Counter(
    *_described(
        "mehc_events_total", "counter", "Kubernetes Events posted, by type: Normal or Warning.", "type"
    ),
    registry=REGISTRY,
)
WIRES: Final = Gauge(
    *_described(
        "mehc_tripwires",
        "gauge",
        "Idle connections that are held to servers, by kind of the server.",
        "kind",
    ),
    registry=REGISTRY,
)
WIRES_LOST: Final = Counter(
    *_described(
        "mehc_tripwires_lost_total",
        "counter",
        "Held connections that have ended, by kind of the server and by cause: closed, or moved (its name leads to "
        "another address). Each has asked for probe runs.",
        "kind",
        "cause",
    ),
    registry=REGISTRY,
)
WIRES_GIVEN_UP: Final = Counter(
    *_described(
        "mehc_tripwires_given_up_total",
        "counter",
        "Connections that are no longer held, or once in an hour: the server is sound and closes them, or has a "
        "public address.",
        "kind",
    ),
    registry=REGISTRY,
)
for _kind in Kind:  # from the start: what has not happened is 0, and not absent
    WIRES.labels(kind=_kind)
    WIRES_GIVEN_UP.labels(kind=_kind)
    for _cause in ("closed", "moved"):
        WIRES_LOST.labels(kind=_kind, cause=_cause)
API_REQUESTS: Final = Counter(
    *_described(
        "mehc_api_requests_total",
        "counter",
        "Requests to the Kubernetes API by verb and HTTP status of the response; error if there was none.",
        "verb",
        "code",
    ),
    registry=REGISTRY,
)
LOOP_LAG: Final = Gauge(
    *_described(
        "mehc_event_loop_lag_seconds",
        "gauge",
        "By how much the process was late at worst in the last half to one minute: it has too little CPU where this "
        "stays above 1. Timeouts of probes do not count it.",
    ),
    registry=REGISTRY,
)
LATENESS: Final = Gauge(
    *_described(
        "mehc_probe_run_lateness_seconds",
        "gauge",
        "For how long the most belated probe run has been due and has not begun.",
    ),
    registry=REGISTRY,
)
Gauge(
    *_described("mehc_build_info", "gauge", "Always 1; the label is the version of the operator.", "version"),
    registry=REGISTRY,
).labels(version=version("mehc")).set(1)

# Shown from the first scrape on, so that rates begin at 0.
for _result in ("written", "retried", "gone", "refused"):
    STATUS_WRITES.labels(result=_result)
for _type in ("Normal", "Warning"):
    EVENTS.labels(type=_type)


class _Resources(Collector):
    """The series of the resources, made anew for each scrape."""

    def __init__(self) -> None:
        self.source: Callable[[], Iterable[Observed]] = tuple
        checks = catalogue()
        self._conditions = {READY, DEGRADED, *checks}
        self._fixes = {
            name: {reason.name: reason.shown(reason.remedy, "[{}]") for reason in check.reasons.all()}
            for name, check in checks.items()
        }
        self._families = {
            name: _described(name, "gauge", meaning, *_OF_EACH, *labels)
            for name, meaning, labels in (
                (
                    "mehc_health",
                    "1 for the current health of the installation, 0 for the other values.",
                    ("health",),
                ),
                ("mehc_suspended", "1 while spec.suspend is true, else 0.", ()),
                (
                    "mehc_status_condition",
                    "1 for the current status of the condition (true, false or unknown), 0 for the other two.",
                    ("condition", "status"),
                ),
                (
                    "mehc_check_status",
                    "Always 1; one series per check, with its severity and current status as labels. The status is "
                    "Muted while mutes cover all that was found.",
                    ("check", "severity", "status"),
                ),
                (
                    "mehc_root_cause",
                    f"Always 1; one series per root cause, at most {SHOWN}. The fix is that of the reason's "
                    "documentation; the status has it with the names of the installation.",
                    ("check", "reason", "fix"),
                ),
                (
                    "mehc_stuck_endpoints",
                    "Endpoints that have not been ready for longer than their grace period.",
                    (),
                ),
                ("mehc_last_probe_timestamp_seconds", "Start of the last probe run, as a Unix time.", ()),
                ("mehc_probe_interval_seconds", "Time between two probe runs.", ()),
            )
        }

    def describe(self) -> Iterator[Metric]:
        yield from self._empty().values()

    def collect(self) -> Iterator[Metric]:
        families = self._empty()
        # By name, because a resource that was deleted and created again may be seen twice for a moment.
        for observed in {(one.namespace, one.name): one for one in self.source()}.values():
            for family, labels, value in self._samples(observed):
                families[family].add_metric((observed.namespace, observed.name, *labels), value)
        yield from families.values()

    def _empty(self) -> dict[str, GaugeMetricFamily]:
        return {
            name: GaugeMetricFamily(name, meaning, labels=labels)
            for name, meaning, labels in self._families.values()
        }

    def _samples(self, observed: Observed) -> Iterator[tuple[str, tuple[str, ...], float]]:
        status = observed.status
        if status.health is None:
            return
        for health in Health:
            yield "mehc_health", (health,), health is status.health
        suspended = status.health is Health.SUSPENDED
        yield "mehc_suspended", (), suspended
        if suspended:  # nothing is measured, and the last results must not alert
            return
        for condition in status.conditions:
            if condition.type in self._conditions:
                for value in ConditionStatus:
                    labels = (condition.type, value.lower())
                    yield "mehc_status_condition", labels, value is condition.status
        for check in status.checks:
            if check.name in self._fixes:
                state = MUTED if check.muted else check.status
                yield "mehc_check_status", (check.name, check.severity, state), 1
        for cause in status.root_causes:
            if (fixes := self._fixes.get(cause.check)) is not None:
                reason = cause.reason if cause.reason in fixes else OTHER
                yield "mehc_root_cause", (cause.check, reason, fixes.get(reason, "")), 1
        if status.stuck_endpoints is not None:
            yield "mehc_stuck_endpoints", (), status.stuck_endpoints
        if status.last_probe_time is not None:
            yield "mehc_last_probe_timestamp_seconds", (), status.last_probe_time.timestamp()
        if observed.interval is not None:
            yield "mehc_probe_interval_seconds", (), observed.interval.total_seconds()


_RESOURCES: Final = _Resources()
REGISTRY.register(_RESOURCES)


def lead(resources: Callable[[], Iterable[Observed]]) -> None:
    """From now on this process leads, and each scrape shows what ``resources`` gives."""
    _RESOURCES.source = resources
    LEADER.set(1)


def clear() -> None:
    """This process no longer leads: it shows no resource."""
    LEADER.set(0)
    _RESOURCES.source = tuple


def api_request(verb: str, code: str) -> None:
    """Count a request to the Kubernetes API (``mehc_checks.clients.kubernetes.api.Observer``)."""
    API_REQUESTS.labels(verb=verb, code=code).inc()


def exposition(accept: str) -> tuple[bytes, str]:
    """The page and its content type: OpenMetrics where the header ``Accept`` asks for it, else Prometheus' text."""
    encoder, content_type = choose_encoder(accept)
    return encoder(REGISTRY), content_type
