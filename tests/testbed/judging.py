"""Checks carried out on an installation, as the operator would."""

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.core.limiter import Limiter
from mehc_checks.engine.check import Check, catalogue
from mehc_checks.engine.correlate import root_causes
from mehc_checks.engine.report import CheckResult, Report
from mehc_checks.engine.runner import Planned, run
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values


async def reported(checks: Iterable[Check], context: Context, limiter: Limiter | None = None) -> Report:
    """The report of ``checks`` over a context made by hand, each with the context's time."""
    planned = [Planned(check=check, severity=check.severity, timeout=context.timeout) for check in checks]
    started, clock = context.clock(), time.monotonic()
    results = tuple(each.redacted(context.redactor) for each in await run(planned, context, limiter))
    return Report(
        checks=results,
        root_causes=root_causes(results, [item.check for item in planned]),
        started=started,
        duration=timedelta(seconds=time.monotonic() - clock),
    )


async def judged(
    name: str,
    values: Mapping[str, Any],
    *,
    cluster: Cluster | None = None,
    namespace: str = "",
    parameters: Mapping[str, Any] | None = None,
    seconds: float = 5,
) -> CheckResult:
    """The result of check ``name``; ``parameters`` are in the resource's spelling, ``seconds`` the check's time."""
    check = catalogue()[name]
    context = Context(
        values=Values.merged([Layer(source="spec.values", values=values)]),
        cluster=cluster,
        namespace=namespace,
        timeout=timedelta(seconds=seconds),
        parameters={check.parameters: check.parameters.model_validate(parameters or {})},
    )
    report = await reported([check], context)
    return report.checks[0]
