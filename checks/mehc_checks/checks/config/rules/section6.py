"""Section 6: tracing and logging."""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import LAUNCH, Broken, View, rule
from mehc_checks.core.outcome import Severity

_CHART: Final = "dd_trace_enabled"
_LAUNCH: Final = f"{LAUNCH}.dd_trace_enabled"


@rule(
    "S6-01",
    title="the Datadog toggles agree",
    severity=Severity.WARNING,
    reads=(_CHART, _LAUNCH, "datadog.enabled"),
    consequence="Traces are made and not received, or the other way round.",
    remedy="Set dd_trace_enabled, config.values.launch.dd_trace_enabled and datadog.enabled alike. dd_trace_enabled is "
    "true by default. datadog.enabled starts the processes by ddtrace-run; it mounts no socket, as the values "
    "reference says.",
)
def tracing_toggles(view: View) -> Iterator[Broken]:
    chart = view.flag(_CHART)
    if view.has(_LAUNCH) and view.flag(_LAUNCH) != chart:
        yield Broken(path=_LAUNCH, message=f"is {view.text(_LAUNCH)}, while {_CHART} is {view.text(_CHART)}")
    traced = view.flag("datadog.enabled")
    if traced and not chart:
        yield Broken(path="datadog.enabled", message=f"is true, while {_CHART} is false")
    elif chart and not traced:
        yield Broken(
            path="datadog.enabled",
            message=f"is {view.text('datadog.enabled') or 'not set'}, while {_CHART} is true",
        )


@rule(
    "S6-02",
    title="tracing is off where it is meant to be off",
    severity=Severity.WARNING,
    reads=(_CHART, _LAUNCH),
    consequence='The chart writes "false" as text, which the platform takes for true.',
    remedy=f"Set {_LAUNCH} to false too, without quotes: it wins over what the chart writes.",
)
def tracing_off(view: View) -> Iterator[Broken]:
    if not view.flag(_CHART) and view.missing(_LAUNCH):
        yield Broken(path=_LAUNCH, message=f"is not set, while {_CHART} is false")
    given = view.raw(_LAUNCH)
    if isinstance(given, str) and given.lower() in ("false", "no", "off", "n"):
        yield Broken(path=_LAUNCH, message=f"is the text {given!r}, which counts as true")


@rule(
    "S6-03",
    title="requests and answers are not logged",
    severity=Severity.WARNING,
    reads=(f"{LAUNCH}.sensitive_log_mode",),
    consequence="Prompts and answers of customers stand in the logs.",
    remedy="Set sensitive_log_mode to true, without quotes. It is false in the sample.",
)
def sensitive_logs(view: View) -> Iterator[Broken]:
    path = f"{LAUNCH}.sensitive_log_mode"
    if view.has(path) and not view.flag(path):
        yield Broken(path=path, message=f"is {view.text(path) or 'not set'}")


@rule(
    "S6-04",
    title="debug_mode is off",
    severity=Severity.INFO,
    reads=("debug_mode",),
    consequence="Gateway, builder and cacher log far more.",
    remedy="Set debug_mode to null once you have seen what you were looking for.",
)
def debug_mode(view: View) -> Iterator[Broken]:
    if view.flag("debug_mode"):
        yield Broken(path="debug_mode", message=f"is {view.text('debug_mode') or 'true'}")
