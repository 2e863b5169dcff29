"""Findings that have the same remedy, up to the place that it names, shown under one."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol, TypeVar


class Remedied(Protocol):
    """What can be grouped."""

    @property
    def reason(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def remediation(self) -> str: ...


T = TypeVar("T", bound=Remedied)


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
