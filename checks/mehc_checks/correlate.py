"""Tell causes from consequences: a failure that another failure explains is no root cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mehc_checks.check import Check
from mehc_checks.outcome import Severity, Status

_LIMIT = 5


class Judged(Protocol):
    """The part of a check's result that correlation reads."""

    @property
    def status(self) -> Status: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def remediation(self) -> str: ...
    @property
    def docs(self) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RootCause:
    """A failing check that no other explains, and the names of the failing checks that it explains."""

    check: str
    severity: Severity
    reason: str
    message: str
    remediation: str
    docs: str
    explains: tuple[str, ...] = ()


def root_causes(
    results: Mapping[str, Judged],
    checks: Iterable[Check],
    parts: Mapping[str, Sequence[tuple[str, ...]]] | None = None,
) -> tuple[RootCause, ...]:
    """The root causes among ``results``, at most five: failures first, then by severity, then by reach.

    ``parts`` has, by check, for each of its failing parts the checks that would explain that part; a check is
    explained when all its parts are. Without parts, any failing check that it depends on explains it.
    """
    needs = {check.name: check.depends_on for check in checks}
    failing = {name for name, result in results.items() if result.status is Status.FAIL}
    explained: dict[str, set[str]] = {}
    for name in failing:
        found = [_causes(part, needs, failing - {name}) for part in (parts or {}).get(name) or (needs[name],)]
        explained[name] = set().union(*found) if all(found) else set()
    causes = []
    for name in failing:
        if explained[name]:
            continue
        result = results[name]
        causes.append(
            RootCause(
                check=name,
                severity=result.severity,
                reason=result.reason,
                message=result.message,
                remediation=result.remediation,
                docs=result.docs,
                explains=tuple(sorted(other for other in failing if name in explained[other])),
            )
        )
    causes.sort(key=lambda cause: (cause.severity.rank, -len(cause.explains), cause.check))
    return tuple(causes[:_LIMIT])


def _causes(names: Iterable[str], needs: Mapping[str, tuple[str, ...]], failing: set[str]) -> set[str]:
    """The failing checks among ``names`` and what these depend on, directly or through others."""
    found: set[str] = set()
    pending = list(names)
    seen: set[str] = set()
    while pending:
        other = pending.pop()
        if other in seen:
            continue
        seen.add(other)
        pending.extend(needs.get(other, ()))
        if other in failing:
            found.add(other)
    return found
