"""One check carried out on an installation, as the operator would."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.runner import CheckResult, plan, run
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values


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
    report = await run(plan([check], timeout=context.timeout), context)
    return report.checks[0]
