"""The report of ``mehc lint``: for people, and in the forms that CI systems and editors read."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final
from xml.etree import ElementTree

from mehc_checks.checks.config.lint import LintReport, Placed
from mehc_checks.checks.config.rules.catalogue import SECTIONS
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.checks.config.rules.rule import Rule
from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import Severity
from mehc_checks.render.grouping import grouped, remedy_of
from mehc_checks.render.terminal import Style

FAILS: Final = frozenset({Severity.CRITICAL, Severity.HIGH})
_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "note",
}
_NAMED: Final = 3
"""Findings with one remedy that are shown in full; the places of the others are listed."""
_NOT_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_text(report: LintReport, *, style: Style) -> str:
    """Findings as ``file:line:column: severity id: message``, and what was not judged in a few lines below."""
    lines: list[str] = []
    for group in grouped(report.findings):
        for finding in group[:_NAMED]:
            severity = style.colored(str(finding.severity), finding.severity)
            lines.append(f"{_where(finding)}: {severity} {finding.rule.id}: {finding.message}")
        if more := [f"{finding.path} ({_where(finding)})" for finding in group[_NAMED:]]:
            lines += style.wrapped(f"{len(more)} more: {', '.join(more)}", "    ", "      ")
        lines += style.remedy(remedy_of(group), "    ")
        lines += [f"    see {group[0].docs}", ""]
    for finding, why in report.ignored:
        lines.append(f"ignored {finding.rule.id}: {finding.message} ({why})")
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in report.skipped():
        by_reason[one.shown_why].append(one.rule.id)
    for why, ids in by_reason.items():
        lines += style.wrapped(f"skipped, {why}: {', '.join(ids)}", "", "  ")
    counts = [f"{report.count(severity)} {severity}" for severity in Severity if report.count(severity)]
    judged = sum(one.verdict in (Verdict.HOLDS, Verdict.BROKEN) for one in report.judged)
    lines.append(f"{', '.join(counts) or 'nothing found'} ({judged} rules over {', '.join(report.files)})")
    return "\n".join(lines)


def as_junit(report: LintReport) -> str:
    """JUnit's XML: a test suite for each section, a test case for each rule; warnings and worse are failures."""
    broken: dict[str, list[Placed]] = defaultdict(list)
    for finding in report.findings:
        if finding.severity is not Severity.INFO:
            broken[finding.rule.id].append(finding)
    root = ElementTree.Element("testsuites", name="mehc lint")
    for number, title in SECTIONS.items():
        section = [one for one in report.judged if one.rule.section == number]
        suite = ElementTree.SubElement(root, "testsuite", name=title, tests=str(len(section)))
        counts = {"failures": 0, "skipped": 0, "errors": 0}
        for one in section:
            name = f"{one.rule.id}: {one.rule.title}"
            case = ElementTree.SubElement(suite, "testcase", classname=title, name=name)
            if found := broken.get(one.rule.id):
                counts["failures"] += 1
                first = found[0]
                failure = ElementTree.SubElement(case, "failure", type=str(first.severity))
                failure.set("message", _xml(first.message))
                lines = [f"{_where(item)}: {item.message}\n  {item.remediation}" for item in found]
                failure.text = _xml("\n".join([*lines, "", docs_url(one.rule.docs)]))
            elif one.verdict is Verdict.CRASHED:
                counts["errors"] += 1
                ElementTree.SubElement(case, "error", message=one.shown_why)
            elif one.verdict in (Verdict.SKIPPED, Verdict.IGNORED):
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", message=_xml(one.why))
        for key, count in counts.items():
            suite.set(key, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def as_sarif(report: LintReport) -> str:
    """SARIF 2.1.0, as code hosting services and editors read it."""
    rules = [one.rule for one in report.judged]
    index = {rule.id: number for number, rule in enumerate(rules)}
    results = [_result(finding, index) for finding in report.findings]
    for finding, why in report.ignored:
        suppression = {"kind": "external", "status": "accepted", "justification": why}
        results.append({**_result(finding, index), "suppressions": [suppression]})
    driver = {"name": "mehc lint", "version": version("mehc"), "rules": [_declared(rule) for rule in rules]}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False)


RENDERERS: Final[dict[str, Callable[[LintReport], str]]] = {
    "junit": as_junit,
    "sarif": as_sarif,
}
"""By the word of ``-o``; text, and the documents, are apart."""


def _declared(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": " ".join(dict.fromkeys(fault.meaning for fault in rule.faults))},
        "help": {"text": f"See {docs_url(rule.docs)}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"severity": str(rule.severity), "section": SECTIONS[rule.section]},
    }


def _result(finding: Placed, index: dict[str, int]) -> dict[str, Any]:
    region = {"startLine": finding.mark.line, "startColumn": finding.mark.column}
    location = {
        "physicalLocation": {"artifactLocation": {"uri": finding.file}, "region": region},
        "logicalLocations": [{"fullyQualifiedName": finding.path, "kind": "member"}],
    }
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": index[finding.rule.id],
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. {finding.remediation}"},
        "locations": [location],
        "partialFingerprints": {"rulePath/v1": f"{finding.reason}:{finding.path}"},
    }


def _where(finding: Placed) -> str:
    return f"{finding.file}:{finding.mark.line}:{finding.mark.column}"


def _xml(text: str) -> str:
    """``text`` without the characters that XML cannot hold."""
    return _NOT_XML.sub("?", text)
