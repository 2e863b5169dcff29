"""Section 6: tracing and logging."""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import info, warning
from mehc_checks.checks.config.rules.rule import View, rule
from mehc_checks.checks.config.rules.section5 import OFF_WORDS
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths

_CHART: Final = paths.DD_TRACE_ENABLED
_LAUNCH: Final = paths.DD_TRACE_ENABLED_OF_LAUNCH

TRACING_TOGGLES_DIFFER: Final = warning(
    "TracingTogglesDiffer",
    "Traces are emitted but nothing collects them, or the reverse. datadog.enabled starts the processes with "
    "ddtrace-run.",
    message="{path} is {value}, but dd_trace_enabled is {chart}",
    remedy="Set dd_trace_enabled, config.values.launch.dd_trace_enabled and datadog.enabled to the same value.",
)


@rule(
    "S6-01",
    title="the Datadog toggles agree",
    reads=(_CHART, _LAUNCH, paths.DATADOG_ENABLED),
    faults=(TRACING_TOGGLES_DIFFER,),
)
def tracing_toggles(view: View) -> Iterator[Finding]:
    chart = view.flag(_CHART)
    said = view.text(_CHART) or "not set"
    if view.has(_LAUNCH) and view.flag(_LAUNCH) != chart:
        yield TRACING_TOGGLES_DIFFER.at(_LAUNCH, value=view.text(_LAUNCH) or "null", chart=said)
    path = paths.DATADOG_ENABLED
    if view.flag(path) != chart:
        yield TRACING_TOGGLES_DIFFER.at(path, value=view.text(path) or "not set", chart=said)


TRACING_NOT_OFF: Final = warning(
    "TracingNotOff",
    'Tracing stays on: the chart writes "false" as text, which the platform takes for true.',
    message="{path} is {value}, so tracing stays on although dd_trace_enabled is false",
    remedy="Set {path} to false, without quotes.",
)


@rule(
    "S6-02",
    title="tracing is off where it is meant to be off",
    reads=(_CHART, _LAUNCH),
    faults=(TRACING_NOT_OFF,),
)
def tracing_off(view: View) -> Iterator[Finding]:
    if not view.flag(_CHART) and view.missing(_LAUNCH):
        yield TRACING_NOT_OFF.at(_LAUNCH, value="not set")
    given = view.raw(_LAUNCH)
    if isinstance(given, str) and given.lower() in OFF_WORDS:
        yield TRACING_NOT_OFF.at(_LAUNCH, value=f"the text {given!r}")


PAYLOADS_LOGGED: Final = warning(
    "PayloadsLogged",
    "Prompts and answers of customers are written to the logs.",
    message="{path} is {value}: prompts and answers are written to the logs",
    remedy="Set {path} to true, without quotes.",
)


@rule(
    "S6-03",
    title="prompts and answers are not logged",
    reads=(paths.SENSITIVE_LOG_MODE,),
    faults=(PAYLOADS_LOGGED,),
)
def sensitive_logs(view: View) -> Iterator[Finding]:
    path = paths.SENSITIVE_LOG_MODE
    if view.has(path) and not view.flag(path):
        yield PAYLOADS_LOGGED.at(path, value=view.text(path) or "empty")


DEBUG_MODE_ON: Final = info(
    "DebugModeOn",
    "Gateway, builder and cacher log far more.",
    message="{path} is {value}: gateway, builder and cacher log far more",
    remedy="Set {path} to null when you have finished debugging.",
)


@rule("S6-04", title="debug_mode is off", reads=(paths.DEBUG_MODE,), faults=(DEBUG_MODE_ON,))
def debug_mode(view: View) -> Iterator[Finding]:
    if view.flag(paths.DEBUG_MODE):
        yield DEBUG_MODE_ON.at(paths.DEBUG_MODE, value=view.text(paths.DEBUG_MODE) or "on")
