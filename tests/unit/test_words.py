"""Every word that a user reads: reasons, rules, help, pages, alerts, the CRD and the chart."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.core.outcome import Reason, ReasonSet, Status, placeholders
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.reasons import COMMON
from mehc_operator.alerts import ALERTS
from mehc_operator.crd import custom_resource_definition
from mehc_operator.metrics import DESCRIBED
from mehc_operator.reasons import OperatorReasons

ROOT = Path(__file__).resolve().parents[2]
MEHC = Path(sys.executable).with_name("mehc")

BANNED = (
    r"\bmend(s|ed|ing)?\b",
    r"\banew\b",
    r"for want of",
    r"\bwhoever\b",
    r"\bnobody\b",
    r"\bgives? (it |the \w+ )?away\b",
    r"\bstands? for\b",
    r"\btells? of\b",
    r"\bspeaks? of\b",
    r"\bshall\b",
    r"\bmay not\b",
    r"\bhears?\b",
    r"\bends? again and again\b",
    r"\bget on\b",
    r"\blooks? after\b",
    r"\bcarr(y|ies|ied) out\b",
    r"\bsaid a word\b",
    r"\bSet it\.",
    r"\bSet each of them\b",
)
WORDS = re.compile("|".join(BANNED), re.IGNORECASE)
INITIALISMS = [
    "TLS",
    "AWS",
    "URL",
    "JSON",
    "ACL",
    "HPA",
    "DNS",
    "OOM",
    "MIG",
    "HTTP",
    "SQS",
    "CRD",
    "S3",
    "CPU",
    "GCP",
    "IAM",
    "KMS",
    "PVC",
    "STS",
]
AS_WORDS = ("Api", "Gpu", "Keda", "Vllm")
SHORT = 160
"""Characters of a message before what fills it."""


def reasons() -> dict[str, Reason]:
    families: list[type[ReasonSet]] = [
        *COMMON,
        OperatorReasons,
        *(check.reasons for check in catalogue().values()),
    ]
    return {f"{family.__name__}.{reason.name}": reason for family in families for reason in family.all()}


def texts() -> Iterator[tuple[str, str]]:
    """Where a text stands, and the text."""
    for where, reason in reasons().items():
        for part in (reason.meaning, reason.message, reason.remedy, *reason.defaults.values()):
            yield where, part
    for rule in all_rules().values():
        yield rule.id, rule.title
        for fault in rule.faults:  # those that only inform are in no check's reasons
            for part in (fault.meaning, fault.message, fault.remedy):
                yield fault.name, part
    for check in catalogue().values():
        yield check.name, check.title
        for name, field in check.parameters.model_fields.items():
            yield f"{check.name}.{name}", field.description or ""
    for alert in ALERTS:
        for part in (alert.impact, str(alert)):
            yield alert.name, part
    for metric in DESCRIBED:
        yield metric.name, metric.meaning
    yield from described("crd", custom_resource_definition())
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "charts").rglob("*.md")]:
        if "adr" not in page.parts:
            yield str(page.relative_to(ROOT)), prose(page.read_text())
    for file in (*(ROOT / "charts").rglob("values.yaml"), *(ROOT / "charts").rglob("NOTES.txt")):
        yield str(file.relative_to(ROOT)), file.read_text()


def described(where: str, node: Any) -> Iterator[tuple[str, str]]:
    """Every description in the CRD."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                yield where, value
            else:
                yield from described(f"{where}.{key}", value)
    elif isinstance(node, list):
        for item in node:
            yield from described(where, item)


def prose(page: str) -> str:
    """The page without code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.DOTALL)


def test_no_word_of_the_list() -> None:
    found = [
        f"{where}: …{text[max(0, match.start() - 30) : match.end() + 30]!r}"
        for where, text in texts()
        for match in WORDS.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize("command", ["", "check", "explain", "lint", "catalog", "bundle", "run"])
def test_help_too(command: str) -> None:
    words = [str(MEHC), *([command] if command else []), "--help"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert WORDS.search(said) is None


def test_names_are_spelled_one_way() -> None:
    """CamelCase; initialisms in capitals, except those that names of checks and of Kubernetes write as words."""
    for where, reason in reasons().items():
        name = reason.name
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name), where
        for initialism in INITIALISMS:
            wrong = initialism.capitalize()
            if wrong == initialism:  # S3
                continue
            assert not re.search(rf"{wrong}(?![a-z])", name), f"{where}: {wrong}"
        for word in AS_WORDS:
            assert word.upper() not in name, f"{where}: {word.upper()}"


def test_one_name_is_one_fact() -> None:
    """What two checks can both find is one declaration, the same object; but a rule and what it explains are two."""
    rules = {fault.name: fault for rule in all_rules().values() for fault in rule.faults}
    by_name: dict[str, Reason] = {}
    for where, reason in reasons().items():
        known = by_name.setdefault(reason.name, reason)
        explained = (
            {name.rpartition("/")[2] for name in rules[reason.name].explains} if reason.name in rules else ()
        )
        assert known is reason or reason.name in explained, f"{where} is declared twice"


def test_messages_are_short_and_remedies_stand_alone() -> None:
    for where, reason in reasons().items():
        assert reason.message, where
        fixed = re.sub(r"\{[^}]*\}", "", reason.message)
        assert len(fixed) <= SHORT, where
        assert not fixed.endswith("."), f"{where}: a message is no sentence with a full stop"
        if reason.status in (Status.FAIL, Status.WARN, Status.ERROR):
            assert reason.remedy, where
            shown = reason.remedy.format(
                **{**dict.fromkeys(placeholders(reason.remedy), "X"), **reason.defaults}
            )
            assert re.match(r"[A-Z`]", shown), f"{where}: {shown}"
            assert shown.endswith((".", "`", ")")), f"{where}: {shown}"
            assert shown.strip() not in ("X", "X."), f"{where}: the page would show a bare placeholder"


def test_documents_hold_no_bare_placeholder() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for line in page.read_text().splitlines():
            if line.startswith("|"):
                assert not re.search(r"\| \*[a-z ]+\* \|$|\$<<", line), f"{page.name}: {line}"


def test_yaml_of_the_chart_is_read() -> None:
    """The comments above are those of files that are YAML: a renamed file would be an empty check."""
    assert yaml.safe_load((ROOT / "charts" / "model-engine-health-check" / "values.yaml").read_text())
