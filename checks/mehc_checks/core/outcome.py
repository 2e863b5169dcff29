"""What a check says: reasons, findings and outcomes."""

import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, Self

Evidence = Mapping[str, str | int | float | bool | None]
"""Measured facts behind a judgement: flat, camelCase keys, JSON-ready, free of secrets after redaction."""

SHARED_PAGE: Final = "docs/checks/README.md"
"""The page of the reasons that every check can have."""


class Status(StrEnum):
    """The result of one check. A crash or a missing permission is ERROR, never FAIL."""

    PASS = "Pass"  # noqa: S105 - a status, not a password
    WARN = "Warn"
    FAIL = "Fail"
    SKIP = "Skip"
    ERROR = "Error"


class Severity(StrEnum):
    """How much it hurts when a check fails; ``critical`` and ``high`` decide the condition Ready."""

    CRITICAL = "critical"
    HIGH = "high"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


_WORST_FIRST = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that a check can find. It owns its words: this is the only place where they are written.

    ``name`` is the CamelCase reason of the condition and never changes once released. ``meaning`` is the sentence of
    the reason's row in its page. ``message`` (what was observed) and ``remedy`` (what to do) are templates, filled by
    the words of the call; ``defaults`` has the words that a caller may leave out, which are also what the page shows.
    ``explained_by`` names the failures of other checks that this one follows from, as correlation reads names.
    ``page`` is where it is explained, relative to the project's root; "" for the page of the check that has it.
    """

    name: str
    status: Status
    meaning: str
    remedy: str = ""
    message: str = ""
    defaults: Mapping[str, str] = field(default_factory=dict, compare=False, hash=False)
    explained_by: tuple[str, ...] = ()
    page: str = ""

    def __call__(
        self,
        *,
        subject: str = "",
        status: Status | None = None,
        severity: Severity | None = None,
        explains: tuple[str, ...] = (),
        explained_by: tuple[str, ...] | None = None,
        **words: object,
    ) -> "Finding":
        """This reason, found in ``subject``. Raises KeyError when a template lacks one of its words.

        ``status`` and ``severity`` are set where this place hurts less, or more, than the reason and its check say,
        ``explained_by`` where it is known to follow from less.
        """
        filled = {**self.defaults, **words}
        return Finding(
            reason=self,
            status=status or self.status,
            message=self.message.format(**filled),
            remediation=self.remedy.format(**filled),
            subject=subject,
            severity=severity,
            explains=explains,
            explained_by=explained_by,
            words=words,
        )

    def shown(self, template: str, form: str = "<{}>", **words: str) -> str:
        """``template`` of this reason with ``words`` and the defaults; the names of other words in ``form``."""
        names = {word: form.format(word.replace("_", " ")) for word in placeholders(template)}
        return template.format(**{**names, **self.defaults, **words})

    @property
    def anchor(self) -> str:
        """Its place within its page."""
        return self.name.lower()


def placeholders(*templates: str) -> frozenset[str]:
    """The names between braces in ``templates``."""
    parsed = (part for template in templates for part in string.Formatter().parse(template))
    return frozenset(name.partition(".")[0].partition("[")[0] for _, name, _, _ in parsed if name)


class ReasonSet:
    """Base of the reasons of one check, or of a family that several share; each is a class attribute."""

    @classmethod
    def all(cls) -> Iterator[Reason]:
        """The reasons in the order of their declaration, inherited ones first."""
        for ancestor in reversed(cls.__mro__):
            yield from (value for value in vars(ancestor).values() if isinstance(value, Reason))


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One reason, found in one place. ``subject`` names the part concerned ("cache", "broker"), or is empty.

    ``severity`` is None where it weighs as much as its check. ``explains`` names the failures of other checks that
    follow from it, ``explained_by`` those it follows from where these are fewer than ``Reason.explained_by``; both as
    correlation reads names.
    """

    reason: Reason
    status: Status
    message: str
    remediation: str
    subject: str = ""
    severity: Severity | None = None
    explains: tuple[str, ...] = ()
    explained_by: tuple[str, ...] | None = None
    words: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What its message and remedy were filled with; not redacted, so for the engine alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointStatus:
    """One endpoint that is not ready, and why: an item of ``status.endpoints``. ``cause`` is a reason's name."""

    endpoint_id: str
    name: str
    kind: str
    ready: int
    desired: int
    cause: str
    message: str
    remediation: str = ""


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By status, then by severity of their own; equals keep their order."""
    return sorted(
        findings,
        key=lambda found: (_WORST_FIRST.index(found.status), (found.severity or Severity.CRITICAL).rank),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The judgement of one check: its findings, worst first; the worst one speaks for the check."""

    findings: tuple[Finding, ...]
    evidence: Evidence = field(default_factory=dict)
    endpoints: tuple[EndpointStatus, ...] | None = None
    """Those that are not ready; None where the check is not about endpoints, or could not read them."""
    changes_at: datetime | None = None
    """When the judgement is another one although nothing has changed: a grace period ends."""

    @classmethod
    def of(
        cls,
        findings: Iterable[Finding],
        *,
        evidence: Evidence | None = None,
        endpoints: Iterable[EndpointStatus] | None = None,
        changes_at: datetime | None = None,
    ) -> Self:
        """Judge by ``findings``. Raises ValueError where there is none: a healthy part has a reason too."""
        ordered = worst_first(findings)
        if not ordered:
            raise ValueError("an outcome needs a finding; a healthy one has a reason too")
        return cls(
            findings=tuple(ordered),
            evidence=evidence or {},
            endpoints=None if endpoints is None else tuple(endpoints),
            changes_at=changes_at,
        )

    @property
    def leader(self) -> Finding:
        """The worst finding."""
        return self.findings[0]

    @property
    def status(self) -> Status:
        return self.leader.status

    @property
    def reason(self) -> str:
        return self.leader.reason.name

    @property
    def remediation(self) -> str:
        return self.leader.remediation

    @property
    def message(self) -> str:
        """The worst finding's, with the number of others that do not pass."""
        return summary(self.findings)


class _Said(Protocol):
    @property
    def status(self) -> Status: ...
    @property
    def message(self) -> str: ...


def summary(findings: Iterable[_Said]) -> str:
    """The message of the first of ``findings``, and how many more do not pass: "… (and 2 more)"."""
    first, *others = findings
    more = sum(found.status not in (Status.PASS, Status.SKIP) for found in others)
    return f"{first.message} (and {more} more)" if more else first.message
