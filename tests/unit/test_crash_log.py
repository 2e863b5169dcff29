"""A check that crashes is logged without the secrets that the foreign error quotes."""

import logging

import pytest

from mehc_checks.core.outcome import Outcome, ReasonSet, Severity, Status
from mehc_checks.engine.check import Check
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer, Values
from testbed.judging import reported

PLANTED = "planted-Pa55word-9f3c"


async def crash(_: Context) -> None:
    raise RuntimeError(f"cannot connect with password {PLANTED}")


def never(_: None) -> Outcome:
    raise NotImplementedError


async def test_the_log_of_a_crash_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    check = Check(
        name="Crashing", title="holds", severity=Severity.HIGH, gather=crash, judge=never, reasons=ReasonSet
    )
    values = Values.merged([Layer(source="test", values={"password": PLANTED})])
    with caplog.at_level(logging.ERROR):
        report = await reported([check], Context(values=values))
    assert report.checks[0].status is Status.ERROR
    assert "check Crashing crashed" in caplog.text
    assert "test_crash_log.py" in caplog.text
    assert PLANTED not in caplog.text
