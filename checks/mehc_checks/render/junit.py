"""A report as JUnit's XML, which every CI system shows: one test case for each check."""

from xml.etree import ElementTree

from mehc_checks.core.outcome import Status
from mehc_checks.engine.report import CheckResult, Report

_BAD = {Status.FAIL: "failure", Status.ERROR: "error"}


def junit(report: Report) -> str:
    """The document, without a final newline. A check that warns passes, with its findings as its output."""
    count = [check.status for check in report.checks].count
    suite = ElementTree.Element(
        "testsuite",
        name="mehc",
        tests=str(len(report.checks)),
        failures=str(count(Status.FAIL)),
        errors=str(count(Status.ERROR)),
        skipped=str(count(Status.SKIP)),
        time=f"{report.duration.total_seconds():.3f}",
        timestamp=f"{report.started:%Y-%m-%dT%H:%M:%S}",
    )
    for check in report.checks:
        suite.append(_case(check, report.namespace))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}'


def _case(check: CheckResult, namespace: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=f"mehc.{namespace}" if namespace else "mehc",
        name=check.name,
        time=f"{check.duration.total_seconds():.3f}",
    )
    if check.status is Status.SKIP:
        ElementTree.SubElement(case, "skipped", message=check.message)
    elif check.status in _BAD:
        found = ElementTree.SubElement(case, _BAD[check.status], type=check.reason, message=check.message)
        found.text = _details(check)
    elif check.status is Status.WARN:
        ElementTree.SubElement(case, "system-out").text = _details(check)
    return case


def _details(check: CheckResult) -> str:
    """Each finding that does not pass, with its fix and its link."""
    lines = []
    for found in check.findings:
        if found.status is not Status.PASS:
            lines.append(f"{found.status} {found.reason}: {found.message}")
            lines += [f"  Fix: {found.remediation}"] if found.remediation else []
            lines += [f"  {found.docs}"] if found.docs else []
    return "\n".join(lines)
