"""The Grafana dashboard, built with Grafana's own typed builder."""

import json
from typing import Final

from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Panel,
    ValueMap,
    ValueMappingResult,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from mehc_checks.engine.health import Health

_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="$datasource")
_CHOSEN: Final = 'cluster=~"$cluster", namespace=~"$namespace", name=~"$name"'
_OPERATOR: Final = 'cluster=~"$cluster"'
_INSTALLATION: Final = "cluster, namespace, name"
_WHO: Final = "{{namespace}}/{{name}}"
_RATE: Final = "[$__rate_interval]"
_COLORS: Final = {
    Health.HEALTHY: "green",
    Health.DEGRADED: "orange",
    Health.FAILING: "red",
    Health.UNKNOWN: "purple",
    Health.SUSPENDED: "gray",
}


def dashboard() -> str:
    """The dashboard's JSON model, without an id: Grafana gives one when it is loaded."""
    builder = (
        Dashboard("Model engine health")
        .uid("model-engine-health")
        .description("What the ModelEngineHealthCheck resources say, and how the operator behind them fares.")
        .tags(["model-engine", "mehc"])
        .refresh("1m")
        .time("now-6h", "now")
        .with_variable(DatasourceVariable("datasource").label("data source").type("prometheus"))
        .with_variable(_variable("cluster", ""))
        .with_variable(_variable("namespace", _OPERATOR))
        .with_variable(_variable("name", f'{_OPERATOR}, namespace=~"$namespace"'))
    )
    for title, panels in (
        ("Installations", _installations()),
        ("Checks", _checks()),
        ("Operator", _operator()),
    ):
        builder = builder.with_row(Row(title))
        for panel in panels:
            builder = builder.with_panel(panel)
    model = builder.build()
    for number, made in enumerate(model.panels or (), start=1):
        made.id_val = number
    return json.dumps(model, cls=JSONEncoder, indent=2) + "\n"


def _variable(name: str, among: str) -> QueryVariable:
    """A choice among the values of a label; without a choice also what lacks the label is shown."""
    return (
        QueryVariable(name)
        .query(f"label_values(mehc_health{{{among}}}, {name})")
        .datasource(_SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _installations() -> list[Builder[Panel]]:
    by_health = f"sum by (health) (max by ({_INSTALLATION}, health) (mehc_health{{{_CHOSEN}}}))"
    counted = (
        stat.Panel()
        .title("Installations by health")
        .description("How many installations there are of each health.")
        .datasource(_SOURCE)
        .with_target(_query(by_health, "{{health}}"))
        .span(24)
        .height(4)
    )
    for health, color in _COLORS.items():
        fixed = DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        counted = counted.override_by_name(health, [fixed])
    of_condition = f"max by ({_INSTALLATION}, condition) (mehc_status_condition{{{_CHOSEN}, condition"
    over_time = (
        statetimeline.Panel()
        .title("Conditions over time")
        .description("Every condition but Degraded, which is True when something is wrong.")
        .datasource(_SOURCE)
        .with_target(
            _query(
                f'{of_condition}!="Degraded", status="true"}})'
                f' + 2 * {of_condition}!="Degraded", status="unknown"}})',
                f"{_WHO} {{{{condition}}}}",
            )
        )
        .mappings(
            [
                ValueMap(
                    {
                        "0": ValueMappingResult(text="False", color="red"),
                        "1": ValueMappingResult(text="True", color="green"),
                        "2": ValueMappingResult(text="Unknown", color="purple"),
                    }
                )
            ]
        )
        .show_value(VisibilityMode.NEVER)
        .span(24)
        .height(12)
    )
    return [
        counted,
        _table(
            "Health",
            "One row for each installation.",
            f"max by ({_INSTALLATION}, health) (mehc_health{{{_CHOSEN}}} == 1)",
        ),
        _table(
            "Root causes",
            "Failures that no other failure explains. What to do about them: kubectl describe mehc.",
            f"max by ({_INSTALLATION}, check, reason) (mehc_root_cause{{{_CHOSEN}}})",
        ),
        over_time,
        _lines(
            "Stuck endpoints",
            "Endpoints without ready pods for longer than their grace period.",
            "short",
            _query(f"max by ({_INSTALLATION}) (mehc_stuck_endpoints{{{_CHOSEN}}})", _WHO),
            width=12,
        ),
        _lines(
            "Age of the last pass, in intervals",
            "Above 3 the alert ModelEngineHealthStale fires.",
            "short",
            _query(
                f"(time() - max by ({_INSTALLATION}) (mehc_last_probe_timestamp_seconds{{{_CHOSEN}}}))"
                f" / max by ({_INSTALLATION}) (mehc_probe_interval_seconds{{{_CHOSEN}}})",
                _WHO,
            ),
            width=12,
        ),
    ]


def _checks() -> list[Builder[Panel]]:
    buckets = f"rate(mehc_probe_duration_seconds_bucket{{{_OPERATOR}}}{_RATE})"
    return [
        _table(
            "Checks that do not pass",
            "Error is what could not be evaluated.",
            f"max by ({_INSTALLATION}, check, severity, status)"
            f' (mehc_check_status{{{_CHOSEN}, status=~"Fail|Warn|Error"}})',
        ),
        _lines(
            "Duration of checks, 95th percentile",
            "By check, over all installations.",
            "s",
            _query(f"histogram_quantile(0.95, sum by (le, check) ({buckets}))", "{{check}}"),
            width=12,
        ),
    ]


def _operator() -> list[Builder[Panel]]:
    runs = f"sum by (le) (rate(mehc_probe_run_duration_seconds_bucket{{{_OPERATOR}}}{_RATE}))"
    ours = f"on (instance) group_left max by (instance) (mehc_build_info{{{_OPERATOR}}})"
    return [
        _lines(
            "Leader",
            "1 for the leader, 0 for standby replicas; there must be exactly one leader.",
            "short",
            _query(f"max by (instance) (mehc_leader{{{_OPERATOR}}})", "{{instance}}"),
        ),
        _lines(
            "Requests to the Kubernetes API per second",
            "By verb and HTTP status. The watch of the resources themselves is not counted.",
            "reqps",
            _query(
                f"sum by (verb, code) (rate(mehc_api_requests_total{{{_OPERATOR}}}{_RATE}))",
                "{{verb}} {{code}}",
            ),
        ),
        _lines(
            "Writes per second",
            "Of status, by result, and of Events, by type.",
            "wps",
            _query(
                f"sum by (result) (rate(mehc_status_writes_total{{{_OPERATOR}}}{_RATE}))", "status {{result}}"
            ),
            _query(f"sum by (type) (rate(mehc_events_total{{{_OPERATOR}}}{_RATE}))", "Event {{type}}"),
        ),
        _lines(
            "Duration of probe runs",
            "Of one resource: all its checks that were due.",
            "s",
            _query(f"histogram_quantile(0.5, {runs})", "median"),
            _query(f"histogram_quantile(0.95, {runs})", "95th percentile"),
        ),
        _lines(
            "Memory",
            "Resident, by replica.",
            "bytes",
            _query(f"process_resident_memory_bytes * {ours}", "{{instance}}"),
        ),
        _lines(
            "CPU",
            "Cores in use, by replica.",
            "short",
            _query(f"rate(process_cpu_seconds_total{_RATE}) * {ours}", "{{instance}}"),
        ),
        _table(
            "Versions",
            "Of the replicas.",
            f"max by (cluster, instance, version) (mehc_build_info{{{_OPERATOR}}})",
        ),
    ]


def _query(expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(_SOURCE).range()


def _lines(
    title: str, description: str, unit: str, *queries: prometheus.Dataquery, width: int = 8
) -> Builder[Panel]:
    """Queries over time; ``unit`` as Grafana names it, ``width`` of 24."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).min(0).datasource(_SOURCE)
    for letter, query in zip("ABCD", queries, strict=False):
        panel = panel.with_target(query.ref_id(letter))
    return panel.span(width).height(8)


def _table(title: str, description: str, expr: str) -> Builder[Panel]:
    """What ``expr`` gives now, a row for each series and a column for each label."""
    hidden = DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True, "Value": True}}
    )
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .with_target(
            prometheus.Dataquery().expr(expr).instant().format(PromQueryFormat.TABLE).datasource(_SOURCE)
        )
        .with_transformation(hidden)
        .filterable(True)
        .span(12)
        .height(8)
    )
