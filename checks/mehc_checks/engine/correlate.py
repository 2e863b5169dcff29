"""Tell causes from consequences: a failure that another failure explains is no root cause.

What is told apart are failing findings, not checks: of two broken rules, one may explain what other checks find, and
one may stand for itself. Nothing is guessed. A failure is a consequence only where that is declared: by its reason
(``Reason.explained_by``, or ``Finding.explained_by`` where this one is known to follow from less), or by the finding
that it follows from (``Finding.explains``), as broken rules do.

A declaration names failures as ``Check`` for any of a check, or narrows that by a reason, a subject, or both:
``DatabaseMigrated/NeverMigrated``, ``RedisReachable/keda``, ``RedisReachable/keda/TLSRequired``.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from mehc_checks.core.outcome import EndpointStatus, Status, summary
from mehc_checks.engine.check import Check
from mehc_checks.engine.report import CheckResult, Found, RootCause

SHOWN = 10
"""Root causes that are listed: more at once help nobody. Messages count the others."""


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


def root_causes(results: Iterable[CheckResult], checks: Iterable[Check]) -> tuple[RootCause, ...]:
    """All root causes among ``results``, in the order of ``_precedence``; those of one check that weigh the same in the
    order of its findings.
    """
    given = tuple(results)
    found = _failures(result for result in given if result.status is Status.FAIL)
    declared = {check.name: check for check in checks}
    roots = _roots(found, declared)
    standing = [failure for failure in found if roots(failure) == {failure}]
    behind: dict[_Key, set[Failure]] = {failure.key: {failure} for failure in standing}
    waiting: dict[_Key, list[EndpointStatus]] = {failure.key: [] for failure in standing}
    for failure in found:
        for key in {root.key for root in roots(failure)}:
            behind[key].add(failure)
    for result in given:
        for endpoint in result.endpoints or ():
            named = Failure(result.name, endpoint.cause)
            own = [failure for failure in found if failure.key == named.key] or [named]
            for key in {root.key for failure in own for root in roots(failure)} & waiting.keys():
                waiting[key].append(endpoint)
    stand_alone = {failure.check for failure in standing}
    causes = []
    for key, affected in behind.items():
        said = [each for failure in standing if failure.key == key for each in found[failure]]
        hurt = [each.severity for failure in affected for each in found[failure]]
        stuck = waiting[key]
        causes.append(
            RootCause(
                check=key[0],
                severity=min(hurt, key=lambda severity: severity.rank),
                reason=key[1],
                message=summary(said),
                remediation=said[0].remediation,
                docs=said[0].docs,
                explains=tuple(sorted({failure.check for failure in affected} - stand_alone)),
                endpoints=len(stuck),
                modes=tuple(sorted({endpoint.kind for endpoint in stuck})),
            )
        )
    return tuple(sorted(causes, key=lambda cause: _precedence(cause, declared)))


def _precedence(cause: RootCause, checks: Mapping[str, Check]) -> tuple[int | str, ...]:
    """The most severe first; then what has others behind it, before what stands alone; then what more of the platform
    depends on; then what has more endpoints, kinds of traffic and checks behind it; then by name.
    """
    alone = not cause.explains and not cause.endpoints
    behind = (-cause.endpoints, -len(cause.modes), -len(cause.explains))
    return (cause.severity.rank, alone, checks[cause.check].scope, *behind, cause.check)


def _failures(failing: Iterable[CheckResult]) -> dict[Failure, list[Found]]:
    found: dict[Failure, list[Found]] = {}
    for result in failing:
        for finding in result.findings:
            if finding.status is not Status.FAIL:
                continue
            failure = Failure(result.name, finding.reason, finding.subject)
            found.setdefault(failure, []).append(finding)
    return found


def _roots(
    found: Mapping[Failure, Iterable[Found]], checks: Mapping[str, Check]
) -> Callable[[Failure], frozenset[Failure]]:
    """Tells where a failure comes from: from others among ``found``, or where nothing explains it, from itself."""
    needs = {
        (name, reason.name): reason.explained_by
        for name, check in checks.items()
        for reason in check.reasons.all()
    }
    explains = {
        failure: {name for each in given for name in each.explains} for failure, given in found.items()
    }

    @cache
    def causes(failure: Failure) -> list[Failure]:
        needed = {
            name
            for each in found.get(failure, (None,))
            for name in (
                needs.get(failure.key, ()) if each is None or each.explained_by is None else each.explained_by
            )
        }
        return [other for other in found if other.is_one_of(needed) or failure.is_one_of(explains[other])]

    @cache
    def roots(failure: Failure) -> frozenset[Failure]:
        seen, again, ends, left = {failure}, set(), set(), [failure]
        while left:
            one = left.pop()
            behind = causes(one)
            if not behind:
                ends.add(one)
            again.update(seen.intersection(behind))
            left += (new := [each for each in behind if each not in seen])
            seen.update(new)
        if not ends:  # they explain each other: the first of them stands for all
            ends = {next(each for each in found if each in again)}
        return frozenset(ends)

    return roots
