"""The runner: sharing, time-outs, cancellation, crashes, redaction, root causes."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from mehc_checks.core.errors import CannotEvaluate, Forbidden, NotApplicable, UsageError
from mehc_checks.core.limiter import Limiter
from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import EndpointStatus, Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.engine.check import Check, catalogue
from mehc_checks.engine.report import CheckResult, Report
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.render import text as as_text
from mehc_checks.render.documents.base import as_json
from mehc_checks.render.documents.check import check_report
from mehc_checks.render.terminal import Style
from testbed.judging import reported

SECOND = timedelta(seconds=1)


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "All is well.", message="saw {seen}")
    BROKEN = Reason("Broken", Status.FAIL, "It is broken.", message="it broke", remedy="Fix it.")
    NO_TOKEN = Reason("NoToken", Status.ERROR, "There is no token.", message="no token")
    STUCK = Reason("Stuck", Status.FAIL, "It is stuck.", message="Stuck", remedy="Push it.")
    TORN = Reason("Torn", Status.FAIL, "It is torn.", message="a {what}", remedy="Sew {what}.")


async def nothing(_: Context) -> str:
    return "facts"


def fine(facts: str) -> Outcome:
    return Outcome.of([Reasons.FINE(seen=facts)])


def broken(_: object) -> Outcome:
    return Outcome.of([Reasons.BROKEN()], evidence={"seen": "a s3cret thing"})


def follows_from(*names: str, of: Reason = Reasons.BROKEN) -> Callable[[object], Outcome]:
    return lambda _: Outcome.of([of(explained_by=names)])


def declare(
    name: str,
    gather: Callable[[Context], Awaitable[Any]] = nothing,
    judge: Callable[[Any], Outcome] = fine,
    severity: Severity = Severity.HIGH,
) -> Check:
    return Check(
        name=name,
        title="it works",
        severity=severity,
        gather=gather,
        judge=judge,
        reasons=Reasons,
    )


def context(timeout: timedelta = SECOND, **values: Any) -> Context:
    return Context(values=Values.merged([Layer(source="test", values=values)]), timeout=timeout)


async def report(*checks: Check, **values: Any) -> Report:
    return await reported(checks, context(**values))


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

    await reported([declare(str(n), gatherer()) for n in range(9)], context(), Limiter(2))
    assert most == 2


async def test_a_slow_check_is_cancelled_and_named_and_the_others_go_on() -> None:
    ended = asyncio.Event()

    async def forever(_: Context) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    checks = [declare("Slow", forever), declare("Quick")]
    found = by_name(await reported(checks, context(timeout=timedelta(milliseconds=50))))
    assert (found["Slow"].status, found["Slow"].reason) == (Status.ERROR, "ProbeTimeout")
    assert "50ms" in found["Slow"].message
    assert found["Quick"].status is Status.PASS
    assert ended.is_set()


async def test_one_askers_timeout_does_not_cancel_what_another_waits_for() -> None:
    async def slow(_: Context) -> str:
        await asyncio.sleep(0.1)
        return "late"

    request = Request(timeout=SECOND, checks={"Hasty": CheckRequest(timeout=timedelta(milliseconds=10))})
    found = by_name(await diagnose([declare("Hasty", slow), declare("Patient", slow)], request, Sources()))
    assert found["Hasty"].reason == "ProbeTimeout"
    assert found["Patient"].message == "saw late"


async def test_cancelling_a_probe_run_ends_its_probes() -> None:
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
        (CannotEvaluate(Reasons.NO_TOKEN), Status.ERROR, "NoToken", "no token"),
        (
            Forbidden("get", "secrets", namespace="x", name="db"),
            Status.ERROR,
            "Forbidden",
            'not allowed to get secrets "db" in namespace x',
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
    request = Request(checks={"B": CheckRequest(skip="disabled"), "C": CheckRequest(skip="not selected")})
    found = await diagnose([declare(name) for name in "ABC"], request, Sources())
    assert [(result.name, result.status, result.message) for result in found.checks] == [
        ("A", Status.PASS, "saw facts"),
        ("B", Status.SKIP, "disabled"),
        ("C", Status.SKIP, "not selected"),
    ]


async def test_secrets_of_the_values_leave_nowhere() -> None:
    found = await report(declare("A", judge=broken), redis={"auth": "s3cret"})
    assert found.checks[0].evidence == {"seen": "a <redacted> thing"}


async def test_a_failure_that_another_explains_is_no_root_cause() -> None:
    found = await report(
        declare("Third", judge=follows_from("Second")),
        declare("Second", judge=follows_from("First")),
        declare("First", judge=broken),
        declare("Other", judge=broken, severity=Severity.CRITICAL),
    )
    assert [(cause.check, cause.explains) for cause in found.root_causes] == [
        ("Other", ()),
        ("First", ("Second", "Third")),
    ]


async def test_what_passes_explains_nothing_and_passes_nothing_on() -> None:
    found = await report(
        declare("Third", judge=follows_from("Second")),
        declare("Second"),
        declare("First", judge=broken),
    )
    assert [(cause.check, cause.explains) for cause in found.root_causes] == [("First", ()), ("Third", ())]


async def test_a_check_is_a_consequence_only_if_each_of_its_failures_is() -> None:
    async def causes(*findings: Finding) -> list[tuple[str, str, tuple[str, ...]]]:
        found = await report(
            declare("First", judge=broken),
            declare("Parts", judge=lambda _: Outcome.of(findings), severity=Severity.INFO),
        )
        return [(cause.check, cause.message, cause.explains) for cause in found.root_causes]

    stuck, torn = Reasons.STUCK(explained_by=("First", "Absent")), Reasons.TORN(what="sail")
    assert await causes(stuck) == [("First", "it broke", ("Parts",))]
    assert await causes(torn) == [("First", "it broke", ()), ("Parts", "a sail", ())]
    assert await causes(stuck, torn) == [("First", "it broke", ()), ("Parts", "a sail", ())]


async def test_root_causes_are_redacted_as_all_else() -> None:
    check = declare("A", judge=lambda _: Outcome.of([Reasons.TORN(what="s3cret")]))
    (cause,) = (await report(check, redis={"auth": "s3cret"})).root_causes
    assert (cause.message, cause.remediation) == ("a <redacted>", "Sew <redacted>.")


async def test_renderers_list_ten_root_causes_and_count_the_others() -> None:
    checks = [declare(name, judge=broken) for name in "ABCDEFGHIJKL"]
    found = await report(*checks, declare("Z", judge=follows_from("A")))
    listed = json.loads(as_json(check_report(found)))["rootCauses"]
    assert [(cause["check"], cause["explains"]) for cause in listed][:2] == [("A", ["Z"]), ("B", [])]
    assert len(listed) == 10
    shown = as_text.render(found, style=Style()).partition("\n\n")[2]
    link = docs_url("docs/checks/A.md#broken")
    first = ["1. A/Broken (high)", "   it broke", "   → Fix it.", "   causes Z", f"   {link}"]
    assert shown.splitlines()[:7] == [*first, "", "2. B/Broken (high)"]
    assert "\nand 2 more root causes\n" in shown


async def test_the_text_says_how_many_endpoints_a_cause_keeps() -> None:
    def judge(_: str) -> Outcome:
        stuck = [
            EndpointStatus(
                endpoint_id=kind, name=kind, kind=kind, ready=0, desired=1, cause="Broken", message=""
            )
            for kind in ("sync", "async")
        ]
        return Outcome.of([Reasons.BROKEN()], endpoints=stuck)

    shown = as_text.render(await report(declare("A", judge=judge)), style=Style())
    assert "   2 endpoints (async, sync) are not ready because of it\n" in shown


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
        return Outcome.of([Reasons.STUCK()], endpoints=[status])

    found = await report(declare("A", judge=judge), redis={"auth": "s3cret"})
    (endpoint,) = found.checks[0].endpoints or ()
    assert (endpoint.message, endpoint.remediation) == ("it says <redacted>", "forget <redacted>")
    assert "s3cret" not in as_json(check_report(found))


async def test_secrets_of_other_namespaces_are_out_of_bounds() -> None:
    own = Context(values=Values.merged([]), namespace="model-engine")
    with pytest.raises(ValueError, match="out of bounds"):
        await own.secret("db", namespace="kube-system")


async def test_a_room_that_cannot_be_imported_is_its_checks_own_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mehc_checks.checks.database.gather", None)
    checks = [catalogue()["DatabaseMigrated"], declare("Fine")]
    found = by_name(await reported(checks, context()))
    assert (found["DatabaseMigrated"].reason, found["Fine"].status) == ("InternalError", Status.PASS)
