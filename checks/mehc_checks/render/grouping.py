"""What of a report is shown where, in every form: root causes first, findings that have the same remedy under one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Final, Protocol, TypeVar

from mehc_checks.core.outcome import Status
from mehc_checks.engine.correlate import SHOWN
from mehc_checks.engine.report import CheckResult, Found, Report

UNHEALTHY: Final = (Status.FAIL, Status.ERROR, Status.WARN)
NAMED: Final = 5
"""Findings with one remedy that are shown in full; the subjects of the others are listed."""


class Remedied(Protocol):
    """What can be grouped."""

    @property
    def reason(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def remediation(self) -> str: ...


T = TypeVar("T", bound=Remedied)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Findings with one remedy. ``rest`` names those that are not shown in full; ``docs`` is "" where it follows."""

    findings: tuple[Found, ...]
    rest: tuple[str, ...]
    remedy: str
    docs: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One check: how many of its findings do not pass, and those of them that no root cause above has said.

    ``above`` has the numbers of the root causes that are this check's, each with what else it concerns.
    """

    check: CheckResult
    unhealthy: int
    above: tuple[tuple[int, tuple[str, ...]], ...]
    groups: tuple[Group, ...]


def shown(report: Report) -> Iterator[Shown]:
    """The checks of ``report``, as they are shown below its first SHOWN root causes."""
    numbers = {
        (cause.check, cause.reason): number for number, cause in enumerate(report.root_causes[:SHOWN], 1)
    }
    for check in report.checks:
        unhealthy = [found for found in check.findings if found.status in UNHEALTHY]
        told: dict[int, list[Found]] = {}
        for found in unhealthy:
            if number := numbers.get((check.name, found.reason)):
                told.setdefault(number, []).append(found)
        groups = list(grouped(found for found in unhealthy if (check.name, found.reason) not in numbers))
        yield Shown(
            check=check,
            unhealthy=len(unhealthy),
            above=tuple((number, _names(group[1:])) for number, group in sorted(told.items())),
            groups=tuple(
                Group(
                    findings=tuple(group[:NAMED]),
                    rest=_names(group[NAMED:]),
                    remedy=remedy_of(group),
                    docs="" if after and after[0].docs == group[0].docs else group[0].docs,
                )
                for group, after in zip_longest(groups, groups[1:])
            ),
        )


def _names(findings: Iterable[Found]) -> tuple[str, ...]:
    return tuple(found.subject or found.message for found in findings)


def grouped(findings: Iterable[T]) -> Iterator[list[T]]:
    """Neighbors with one reason, whose remedies differ by nothing but their subjects."""
    for _, group in groupby(findings, key=lambda found: (found.reason, _apart_from_subject(found))):
        yield list(group)


def remedy_of(group: list[T]) -> str:
    """The remedy of all of ``group``."""
    first = group[0].remediation
    others = len(group) - 1
    if not first or all(found.remediation == first for found in group):
        return first
    return f"{first} Do the same for the {'other one' if others == 1 else f'{others} others'}."


def _apart_from_subject(found: Remedied) -> str:
    return found.remediation.replace(found.subject, "\0") if found.subject else found.remediation
