"""The alerts, as data: charts/model-engine-health-check/files/alerts.yaml and docs/alerts.md are made from them.

Only the replica that leads has series of resources, and a takeover leaves them out for some seconds. So each
expression aggregates away which replica spoke, waits longer than a takeover takes, and an alert that fires outlives
one. ``cluster`` is a label that a Prometheus over several clusters adds; where there is none, it is no label.

A dead operator has no series, and one Prometheus may hold those of many operators. So what is gone is told by what was
there: series of the last day, and the operator's Lease, which kube-state-metrics exposes and which outlives it.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from mehc_checks.core.links import DOCS_URL

RUNBOOKS: Final = f"{DOCS_URL}/docs/runbooks"
"""Where the runbooks of this version are; the chart replaces the beginning where its docsUrl is set."""

_INSTALLATION: Final = "cluster, namespace, name"
_HELD: Final = "3m"
"""How long the alerts of installations outlive their cause: longer than a takeover and the scrapes around it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert. ``expr`` is PromQL, ``summary`` a template of Prometheus; ``impact`` is the annotation description.

    ``fix`` is a template, too: what fixes the root causes, where the alert has some.

    ``after`` is how long the expression must hold, ``held`` how long the alert stays when it no longer does.
    """

    name: str
    group: str
    severity: Literal["critical", "warning"]
    expr: str
    after: str
    summary: str
    impact: str
    held: str = ""
    fix: str = ""


def _each(series: str, *labels: str) -> str:
    """``series``, one for each installation and further label, whichever replica it came from."""
    return f"max by ({', '.join((_INSTALLATION, *labels))}) ({series})"


def _listed(series: str, labels: str, item: str, otherwise: str, *, between: str = ", ") -> str:
    """A template that lists what ``series`` says of the alert's installation; ``otherwise`` where that is nothing."""
    query = f"max by ({labels}) ({series}cluster=%q,namespace=%q,name=%q}})"
    return (
        f"{{{{ range $i, $found := printf `{query}` $labels.cluster $labels.namespace $labels.name"
        ' | query | sortByLabel "check" }}'
        f"{{{{ if $i }}}}{between}{{{{ end }}}}{item}{{{{ else }}}}{otherwise}{{{{ end }}}}"
    )


_WHO: Final = "{{ $labels.namespace }}/{{ $labels.name }}"
_CHECK: Final = "{{ $found.Labels.check }}"
_CAUSES: Final = _listed(
    "mehc_root_cause{", "check, reason", f"{_CHECK} ({{{{ $found.Labels.reason }}}})", "none, nothing fails"
)
_FIXES: Final = _listed(
    'mehc_root_cause{fix!="",',
    "check, reason, fix",
    f"{_CHECK} ({{{{ $found.Labels.reason }}}}): {{{{ $found.Labels.fix }}}}",
    "mehc status -n {{ $labels.namespace }} {{ $labels.name }}",
    between=" ",
)
_ERRORS: Final = _listed('mehc_check_status{status="Error",', "check", _CHECK, "no check applies")
_WEAK: Final = _listed('mehc_check_status{status=~"Fail|Warn",', "check", _CHECK, "no check")
_NOT_READY: Final = _each('mehc_status_condition{condition="Ready",status="false"} == 1')
_DEGRADED: Final = _each('mehc_status_condition{condition="Degraded",status="true"} == 1')
_UNKNOWN: Final = _each('mehc_health{health="Unknown"} == 1')
_ERRORING: Final = _each('mehc_check_status{status="Error"}', "check")
_REMEMBERED: Final = "1d"
"""How long a series that is gone tells that its operator, or its installation, is missed."""
_OPERATOR: Final = "cluster, namespace"
_LEASE: Final = 'kube_lease_renew_time{lease=~"(.+-)?mehc"}'
_IN_CLUSTER: Final = "{{ with $labels.cluster }} in cluster {{ . }}{{ end }}"


def _was(series: str) -> str:
    """``series`` of each installation as it was last seen."""
    return _each(f"last_over_time({series}[{_REMEMBERED}])")


ALERTS: Final = (
    Alert(
        name="ModelEngineNotReady",
        group="model-engine",
        severity="critical",
        expr=_NOT_READY,
        after="2m",
        held=_HELD,
        summary=f"Model engine {_WHO} is not ready. Root cause: {_CAUSES}.",
        impact="A critical or high check fails: endpoints cannot be created, do not scale, or do not respond.",
        fix=_FIXES,
    ),
    Alert(
        name="ModelEngineCriticalConditionFalse",
        group="model-engine",
        severity="critical",
        expr=_each('mehc_check_status{severity="critical",status="Fail"}', "check"),
        after="2m",
        held=_HELD,
        summary="{{ $labels.check }} is False in model engine " + f"{_WHO}. Root cause: {_CAUSES}.",
        impact="A dependency of model engine does not work; every request that needs it fails or hangs.",
        fix=_FIXES,
    ),
    Alert(
        name="ModelEngineDegraded",
        group="model-engine",
        severity="warning",
        expr=f"{_DEGRADED}\nunless on ({_INSTALLATION})\n{_NOT_READY}",
        after="15m",
        held=_HELD,
        summary=f"Model engine {_WHO} is degraded by {_WEAK}. Root cause: {_CAUSES}.",
        impact="Model engine is serving, but at least one check fails or warns: something is broken or about to break.",
        fix=_FIXES,
    ),
    Alert(
        name="ModelEngineHealthUnknown",
        group="model-engine",
        severity="warning",
        expr=_UNKNOWN,
        after="30m",
        held=_HELD,
        summary=f"The health of model engine {_WHO} is unknown. Not evaluated: {_ERRORS}.",
        impact="Checks that decide the health could not be evaluated, so a fault would not be noticed.",
    ),
    Alert(
        name="ModelEngineHealthStale",
        group="model-engine",
        severity="warning",
        expr=f"time() - {_each('mehc_last_probe_timestamp_seconds')}\n"
        f"> 3 * {_each('mehc_probe_interval_seconds')}\n"
        f"or\ntime() - {_was('mehc_last_probe_timestamp_seconds')}\n"
        f"> 3 * {_was('mehc_probe_interval_seconds')}\n"
        f"unless on ({_INSTALLATION}) {_was('mehc_suspended')} == 1\n"
        "unless on (cluster) max by (cluster) (mehc_leader) == 1",
        after="2m",
        held=_HELD,
        summary=f"Model engine {_WHO}{_IN_CLUSTER} has not been probed for three intervals: its HEALTH is stale.",
        impact="Its conditions, HEALTH and metrics are those of the last probe run: a new fault is not noticed.",
    ),
    Alert(
        name="MehcProbesErroring",
        group="mehc",
        severity="warning",
        expr=f"{_ERRORING}\nunless on ({_INSTALLATION})\n{_UNKNOWN}",
        after="15m",
        held=_HELD,
        summary="Check {{ $labels.check }} could not be evaluated in model engine " + f"{_WHO}.",
        impact="The part of the installation that this check covers is not monitored; other checks continue.",
    ),
    Alert(
        name="MehcOperatorAbsent",
        group="mehc",
        severity="critical",
        expr=f"(\n  count by ({_OPERATOR}) (last_over_time(mehc_build_info[{_REMEMBERED}]))\n"
        f"  or\n  count by ({_OPERATOR}) ({_LEASE})\n)\n"
        f"unless\ncount by ({_OPERATOR}) (mehc_build_info)\n"
        f"or\nabsent(last_over_time(mehc_build_info[{_REMEMBERED}]))",
        after="5m",
        summary="Prometheus scrapes no replica of the model engine health check operator"
        "{{ with $labels.namespace }} of namespace {{ . }}{{ end }}" + f"{_IN_CLUSTER}.",
        impact="No installation there is probed, or its metrics are not scraped; HEALTH of each is stale, and other "
        "alerts about model engine are blind.",
    ),
    Alert(
        name="MehcNoLeader",
        group="mehc",
        severity="critical",
        expr="max by (cluster, namespace, job) (mehc_leader) == 0",
        after="2m",
        summary=f"No replica of the model engine health check operator{_IN_CLUSTER} is the leader.",
        impact="No installation there is probed: HEALTH of each is stale, and all other alerts about model engine are "
        "blind.",
    ),
    Alert(
        name="MehcOperatorSlow",
        group="mehc",
        severity="warning",
        expr="max by (cluster, namespace, job) (mehc_event_loop_lag_seconds) > 1",
        after="10m",
        summary=f"The model engine health check operator{_IN_CLUSTER} is short of CPU: it is late by more than 1 s.",
        impact="Probe runs start late and take longer, so a fault is noticed late. No verdict is wrong because of it.",
    ),
)


def groups() -> dict[str, Any]:
    """The alerts as Prometheus reads them from a file, and as the spec of a PrometheusRule has them."""
    names = dict.fromkeys(alert.group for alert in ALERTS)
    return {
        "groups": [
            {"name": name, "rules": [_rule(alert) for alert in ALERTS if alert.group == name]}
            for name in names
        ]
    }


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.after,
        **({"keep_firing_for": alert.held} if alert.held else {}),
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.impact,
            **({"fix": alert.fix} if alert.fix else {}),
            "runbook_url": f"{RUNBOOKS}/{alert.name}.md",
        },
    }
