"""The runner: sharing, time-outs, cancellation, crashes, redaction, root causes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mehc_checks.check import Check
from mehc_checks.context import Context
from mehc_checks.errors import CannotEvaluate, Forbidden, NotApplicable, UsageError
from mehc_checks.outcome import EndpointStatus, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.render import json as as_json
from mehc_checks.runner import CheckResult, Limiter, Report, plan, run
from mehc_checks.values import Layer, Values

SECOND = timedelta(seconds=1)


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "all is well")
    BROKEN = Reason("Broken", Status.FAIL, "it is broken", "Mend it.")


async def nothing(_: Context) -> str:
    return "facts"


def fine(facts: str) -> Outcome:
    return Outcome.of([Reasons.FINE.finding(f"saw {facts}")])


def broken(_: object) -> Outcome:
    return Outcome.of([Reasons.BROKEN.finding("it broke")], evidence={"seen": "a s3cret thing"})


def declare(
    name: str,
    gather: Callable[[Context], Awaitable[Any]] = nothing,
    judge: Callable[[Any], Outcome] = fine,
    severity: Severity = Severity.HIGH,
    depends_on: tuple[str, ...] = (),
) -> Check:
    return Check(
        name=name,
        title="it works",
        severity=severity,
        gather=gather,
        judge=judge,
        reasons=Reasons,
        depends_on=depends_on,
    )


def context(**values: Any) -> Context:
    return Context(values=Values.merged([Layer(source="test", values=values)]))


async def report(*checks: Check, **options: Any) -> Report:
    return await run(plan(checks, timeout=SECOND, **options), context())


def by_name(report: Report) -> dict[str, CheckResult]:
    return {result.name: result for result in report.checks}


async def test_checks_that_share_a_gatherer_gather_once() -> None:
    calls = 0

    async def counted(_: Context) -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        return "once"

    found = await report(declare("A", counted), declare("B", counted))
    assert calls == 1
    assert [result.message for result in found.checks] == ["saw once", "saw once"]


async def test_all_checks_run_at_once() -> None:
    together = asyncio.Barrier(3)

    def gatherer() -> Callable[[Context], Awaitable[str]]:
        async def meet(_: Context) -> str:
            await together.wait()
            return "met"

        return meet

    found = await report(*(declare(name, gatherer()) for name in "ABC"))
    assert {result.status for result in found.checks} == {Status.PASS}


async def test_the_limiter_bounds_what_is_in_flight() -> None:
    running = most = 0

    def gatherer() -> Callable[[Context], Awaitable[str]]:
        async def work(_: Context) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.005)
            running -= 1
            return ""

        return work

    await run(
        plan([declare(str(n), gatherer()) for n in range(9)], timeout=SECOND), context(), limiter=Limiter(2)
    )
    assert most == 2


async def test_a_slow_check_is_cancelled_and_named_and_the_others_go_on() -> None:
    ended = asyncio.Event()

    async def forever(_: Context) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    planned = plan([declare("Slow", forever), declare("Quick")], timeout=timedelta(milliseconds=50))
    found = by_name(await run(planned, context()))
    assert (found["Slow"].status, found["Slow"].reason) == (Status.ERROR, "ProbeTimeout")
    assert "50ms" in found["Slow"].message
    assert found["Quick"].status is Status.PASS
    assert ended.is_set()


async def test_one_askers_timeout_does_not_cancel_what_another_waits_for() -> None:
    async def slow(_: Context) -> str:
        await asyncio.sleep(0.1)
        return "late"

    planned = plan(
        [declare("Hasty", slow), declare("Patient", slow)],
        timeout=SECOND,
        timeouts={"Hasty": timedelta(milliseconds=10)},
    )
    found = by_name(await run(planned, context()))
    assert found["Hasty"].reason == "ProbeTimeout"
    assert found["Patient"].message == "saw late"


async def test_cancelling_a_pass_ends_its_probes() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def forever(_: Context) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    task = asyncio.create_task(report(declare("Slow", forever)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize(
    ("error", "status", "reason", "words"),
    [
        (NotApplicable("no GPU here"), Status.SKIP, "NotApplicable", "no GPU here"),
        (UsageError("redis.port: not a port"), Status.ERROR, "InvalidValue", "redis.port"),
        (CannotEvaluate("no token", reason="NoToken"), Status.ERROR, "NoToken", "no token"),
        (
            Forbidden("get", "secrets", namespace="x", name="db"),
            Status.ERROR,
            "Forbidden",
            "not allowed to get secrets 'db' in namespace x",
        ),
        (ZeroDivisionError("at line 3 with hunter2"), Status.ERROR, "InternalError", "ZeroDivisionError"),
    ],
)
async def test_what_a_gatherer_raises(error: Exception, status: Status, reason: str, words: str) -> None:
    async def fails(_: Context) -> str:
        raise error

    (result,) = (await report(declare("A", fails))).checks
    assert (result.status, result.reason) == (status, reason)
    assert words in result.message
    assert "hunter2" not in result.message


async def test_what_is_left_out_is_listed_with_its_reason() -> None:
    found = by_name(await report(declare("A"), declare("B"), declare("C"), only=["A", "B"], skip=["B"]))
    assert [(r.status, r.message) for r in found.values()] == [
        (Status.PASS, "saw facts"),
        (Status.SKIP, "disabled"),
        (Status.SKIP, "not selected"),
    ]


async def test_secrets_of_the_values_leave_nowhere() -> None:
    found = await run(plan([declare("A", judge=broken)], timeout=SECOND), context(redis={"auth": "s3cret"}))
    assert found.checks[0].evidence == {"seen": "a <redacted> thing"}


async def test_a_failure_that_another_explains_is_no_root_cause() -> None:
    found = await report(
        declare("Third", judge=broken, depends_on=("Second",), severity=Severity.CRITICAL),
        declare("Second", depends_on=("First",)),
        declare("First", judge=broken),
        declare("Other", judge=broken, severity=Severity.CRITICAL),
    )
    assert [(cause.check, cause.explains) for cause in found.root_causes] == [
        ("Other", ()),
        ("First", ("Third",)),
    ]


async def test_a_check_is_a_consequence_only_if_each_of_its_findings_is() -> None:
    reason = Reason("Stuck", Status.FAIL, "It is stuck.", "Mend it.")

    def judge(*causes: tuple[str, ...] | None) -> Callable[[str], Outcome]:
        found = [replace(reason.finding(str(cause)), consequence_of=cause) for cause in causes]
        return lambda _: Outcome.of(found)

    async def causes(*of: tuple[str, ...] | None) -> list[tuple[str, tuple[str, ...]]]:
        needs = ("First", "Absent")
        found = await report(
            declare("First", judge=broken),
            declare("Parts", judge=judge(*of), depends_on=needs, severity=Severity.INFO),
        )
        return [(cause.check, cause.explains) for cause in found.root_causes]

    assert await causes(("First", "Absent")) == [("First", ("Parts",))]
    assert await causes(("First",), None) == [("First", ("Parts",))]
    assert await causes(("First",), ()) == [("First", ()), ("Parts", ())]
    assert await causes(("Absent",)) == [("First", ()), ("Parts", ())]


async def test_endpoints_are_redacted_as_all_else() -> None:
    status = EndpointStatus(
        endpoint_id="end_1",
        name="llama",
        kind="sync",
        ready=0,
        desired=1,
        cause="Stuck",
        message="it says s3cret",
        remediation="forget s3cret",
    )

    def judge(_: str) -> Outcome:
        reason = Reason("Stuck", Status.FAIL, "It is stuck.", "Mend it.")
        return Outcome.of([reason.finding("x")], endpoints=[status])

    found = await run(plan([declare("A", judge=judge)], timeout=SECOND), context(redis={"auth": "s3cret"}))
    (endpoint,) = found.checks[0].endpoints or ()
    assert (endpoint.message, endpoint.remediation) == ("it says <redacted>", "forget <redacted>")
    assert "s3cret" not in as_json.render(found)


async def test_secrets_of_other_namespaces_are_out_of_bounds() -> None:
    own = Context(values=Values.merged([]), namespace="model-engine")
    with pytest.raises(ValueError, match="out of bounds"):
        await own.secret("db", namespace="kube-system")
