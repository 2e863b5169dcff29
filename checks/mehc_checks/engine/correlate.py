"""Tell causes from consequences: a failure that another failure explains is no root cause.

What is told apart are failing findings, not checks: of two broken rules, one may explain what other checks find, and
one may stand for itself. Nothing is guessed. A failure is a consequence only where that is declared: by the check that
has it (``Check.depends_on``, or ``Finding.depends_on`` where this one is known to depend on less), or by the finding
that it follows from (``Finding.explains``), as broken rules do.

A declaration names failures as ``Check`` for any of a check, or narrows that by a reason, a subject, or both:
``DatabaseMigrated/NeverMigrated``, ``RedisReachable/keda``, ``RedisReachable/keda/TLSRequired``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from mehc_checks.core.outcome import EndpointStatus, Finding, Severity, Status
from mehc_checks.engine.check import Check

SHOWN = 5
"""Root causes that are listed: more at once help nobody. Messages count the others."""


class Judged(Protocol):
    """The part of a check's result that correlation reads. ``failures`` are its failing findings, worst first."""

    @property
    def name(self) -> str: ...
    @property
    def status(self) -> Status: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def failures(self) -> Sequence[Finding]: ...
    @property
    def endpoints(self) -> Sequence[EndpointStatus] | None: ...


_Key = tuple[str, str]
"""Check and reason, which tell root causes apart."""


class Failure(NamedTuple):
    """What a declaration can name: a failing finding without its words."""

    check: str
    reason: str
    subject: str = ""

    @property
    def key(self) -> _Key:
        return self.check, self.reason

    def is_one_of(self, names: Iterable[str]) -> bool:
        """Whether one of ``names`` means this failure."""
        own = {self.reason, self.subject}
        return any(head == self.check and own.issuperset(rest) for head, *rest in map(_parts, names))


@cache
def _parts(name: str) -> list[str]:
    return name.split("/")


@dataclass(frozen=True, kw_only=True, slots=True)
class RootCause:
    """Failures of one check for one reason that no other explains, with their own words.

    ``explains`` are the failing checks of which nothing stands for itself. ``severity`` is that of the worst check it
    has a part in; ``endpoints`` how many endpoints it keeps from being ready, and ``modes`` their kinds of traffic.
    """

    check: str
    severity: Severity
    reason: str
    message: str
    remediation: str
    docs: str
    explains: tuple[str, ...] = ()
    endpoints: int = 0
    modes: tuple[str, ...] = ()


def root_causes(results: Iterable[Judged], checks: Iterable[Check]) -> tuple[RootCause, ...]:
    """All root causes among ``results``, worst first.

    The most severe, then those with the most endpoints, kinds of traffic and checks behind them, then by name; those
    of one check in the order of its findings.
    """
    failing = {result.name: result for result in results if result.status is Status.FAIL}
    found = _failures(failing.values())
    declared = {check.name: check for check in checks}
    roots = _roots(found, declared)
    standing = [failure for failure in found if roots(failure) == {failure}]
    behind: dict[_Key, set[str]] = {failure.key: {failure.check} for failure in standing}
    waiting: dict[_Key, list[EndpointStatus]] = {failure.key: [] for failure in standing}
    for failure in found:
        for key in {root.key for root in roots(failure)}:
            behind[key].add(failure.check)
    for result in failing.values():
        for endpoint in result.endpoints or ():
            for key in {root.key for root in roots(Failure(result.name, endpoint.cause))} & waiting.keys():
                waiting[key].append(endpoint)
    causes = []
    for (check, reason), affected in behind.items():
        own = [each for failure in standing if failure.key == (check, reason) for each in found[failure]]
        stuck = waiting[check, reason]
        causes.append(
            RootCause(
                check=check,
                severity=min(
                    (failing[name].severity for name in affected), key=lambda severity: severity.rank
                ),
                reason=reason,
                message="; ".join(dict.fromkeys(finding.message for finding in own)),
                remediation=" ".join(dict.fromkeys(finding.remediation for finding in own)),
                docs=declared[check].docs_of(reason),
                explains=tuple(sorted(affected - {failure.check for failure in standing})),
                endpoints=len(stuck),
                modes=tuple(sorted({endpoint.kind for endpoint in stuck})),
            )
        )
    return tuple(sorted(causes, key=_badness))


def _badness(cause: RootCause) -> tuple[int, int, int, int, str]:
    return (cause.severity.rank, -cause.endpoints, -len(cause.modes), -len(cause.explains), cause.check)


def _failures(failing: Iterable[Judged]) -> dict[Failure, list[Finding]]:
    found: dict[Failure, list[Finding]] = {}
    for result in failing:
        for finding in result.failures:
            failure = Failure(result.name, finding.reason.name, finding.subject)
            found.setdefault(failure, []).append(finding)
    return found


def _roots(
    found: Mapping[Failure, Iterable[Finding]], checks: Mapping[str, Check]
) -> Callable[[Failure], frozenset[Failure]]:
    """Tells where a failure comes from: from others among ``found``, or where nothing explains it, from itself."""
    needs = {
        (name, reason.name): names
        for name, check in checks.items()
        for reason, names in check.depends_on.items()
    }
    explains = {
        failure: {name for each in given for name in each.explains} for failure, given in found.items()
    }

    @cache  # declarations have no cycle, which a test holds
    def roots(failure: Failure) -> frozenset[Failure]:
        needed = {
            name
            for each in found.get(failure, (None,))
            for name in (
                needs.get(failure.key, ()) if each is None or each.depends_on is None else each.depends_on
            )
        }
        causes = [other for other in found if other.is_one_of(needed) or failure.is_one_of(explains[other])]
        return frozenset().union(*map(roots, causes)) if causes else frozenset({failure})

    return roots
