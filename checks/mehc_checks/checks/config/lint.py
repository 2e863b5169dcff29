"""Values files judged by the configuration rules before an install, each finding with its place."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.checks.config.rules.evaluate import Judged, Verdict, evaluate
from mehc_checks.checks.config.rules.rule import Duplicate, Rule
from mehc_checks.core.links import docs_url
from mehc_checks.core.outcome import Finding, Severity
from mehc_checks.core.redact import Redactor, sensitive
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.misplaced import misplaced
from mehc_checks.modelengine.names import CHART
from mehc_checks.modelengine.structure import TOP_KEYS
from mehc_checks.modelengine.values import Layer
from mehc_checks.modelengine.valuesfile import Mark, ValuesFile

_START: Final = Mark(1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One values file. ``prefix`` is the key of a wrapper chart's file under which model engine's values lie."""

    name: str
    content: ValuesFile
    prefix: str = ""

    @classmethod
    def of(cls, name: str, content: ValuesFile) -> "Source":
        """A file whose top level has no key of ours, but a map ``model-engine``, is one of a wrapper chart."""
        wrapped = content.values.get(CHART)
        own = content.values.keys() & TOP_KEYS - {"global", "enabled", "tags"}
        return cls(
            name=name, content=content, prefix=CHART if isinstance(wrapped, Mapping) and not own else ""
        )

    @property
    def values(self) -> Mapping[str, Any]:
        """Model engine's values."""
        values: Mapping[str, Any] = self.content.values[self.prefix] if self.prefix else self.content.values
        return values

    def is_map(self, path: str) -> bool:
        """Whether this file has a map, or a list, at ``path``."""
        value: Any = self.values
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return isinstance(value, Mapping | list)

    def place(self, path: str) -> str:
        """``path`` as it stands in this file."""
        return f"{self.prefix}.{path}" if self.prefix else path


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A broken rule's finding at ``path`` of ``file``: where it is given, else where its nearest parent is.

    ``reason`` is its name, ``meaning`` its consequence. Safe to show.
    """

    rule: Rule
    reason: str
    severity: Severity
    path: str
    message: str
    meaning: str
    remediation: str
    docs: str
    file: str
    mark: Mark

    @property
    def subject(self) -> str:
        """What remedies name it by: its path in a chart of its own."""
        return self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class LintReport:
    """``findings`` are the worst first, ``ignored`` what they would have been, with why; ``judged`` is every rule."""

    files: tuple[str, ...]
    findings: tuple[Placed, ...]
    ignored: tuple[tuple[Placed, str], ...]
    judged: tuple[Judged, ...]

    def skipped(self) -> list[Judged]:
        """The rules that could not be judged, or are for another cloud."""
        return [one for one in self.judged if one.verdict in (Verdict.SKIPPED, Verdict.CRASHED)]

    def count(self, severity: Severity) -> int:
        """How many findings are as severe."""
        return sum(finding.severity is severity for finding in self.findings)


def lint(files: Sequence[tuple[str, ValuesFile]], ignored: Mapping[str, str] | None = None) -> LintReport:
    """Judge ``files``, at least one, each with its name, merged left to right as Helm merges them over the
    chart's defaults.

    ``ignored`` maps ids of rules to why. Raises UsageError for an id that does not exist.
    """
    sources = [Source.of(name, content) for name, content in files]
    values = WITHOUT_CLUSTER.under([Layer(source=source.name, values=source.values) for source in sources])
    redactor = Redactor()
    for source in sources:
        redactor.add(*sensitive(source.content.values))
    redactor.call(misplaced(values))
    judged = evaluate(values, ignored=ignored, duplicates=_duplicates(sources))
    found: list[Placed] = []
    left_out: list[tuple[Placed, str]] = []
    for one in judged:
        for finding in one.findings:
            placed = _placed(sources, one.rule, finding, redactor)
            if one.verdict is Verdict.IGNORED:
                left_out.append((placed, one.why))
            else:
                found.append(placed)
    return LintReport(
        files=tuple(name for name, _ in files),
        findings=tuple(sorted(found, key=lambda finding: finding.severity.rank)),
        ignored=tuple(left_out),
        judged=tuple(judged),
    )


def _duplicates(sources: Sequence[Source]) -> tuple[Duplicate, ...]:
    return tuple(
        Duplicate(
            path=twice.path.removeprefix(f"{source.prefix}.") if source.prefix else twice.path,
            file=source.name,
            first=f"line {twice.first.line}, column {twice.first.column}",
            last=f"line {twice.last.line}, column {twice.last.column}",
        )
        for source in sources
        for twice in source.content.twice
    )


def _placed(sources: Sequence[Source], rule: Rule, finding: Finding, redactor: Redactor) -> Placed:
    where, mark = _place(sources, finding.subject)
    return Placed(
        rule=rule,
        reason=finding.reason.name,
        severity=finding.severity or rule.severity,
        path=where.place(finding.subject),
        message=redactor.text(finding.message),
        meaning=finding.reason.meaning,
        remediation=redactor.text(finding.remediation),
        docs=docs_url(f"{finding.reason.page}#{finding.reason.anchor}"),
        file=where.name,
        mark=mark,
    )


def _place(sources: Sequence[Source], path: str) -> tuple[Source, Mark]:
    """Where ``path`` is given last, or taken away; else where its nearest parent is."""
    for source in reversed(sources):
        for part in _parts(path):
            mark = source.content.marks.get(source.place(part))
            if mark and (part == path or not source.is_map(part)):
                return source, mark
    for part in reversed(list(_parts(path))):
        for source in reversed(sources):
            if mark := source.content.marks.get(source.place(part)):
                return source, mark
    return sources[-1], _START


def _parts(path: str) -> Iterator[str]:
    """ "a", "a.b", "a.b[0]" and "a.b[0].c" of the last."""
    for match in re.finditer(r"[.\[]", path):
        yield path[: match.start()]
    yield path
