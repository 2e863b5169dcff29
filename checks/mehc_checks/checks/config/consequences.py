"""Which broken rules follow from another: one value to correct is one cause, however many rules read it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.section1 import (
    BLOCK_MISSING,
    CLOUD_PROVIDER_MISMATCH,
    CLOUD_PROVIDER_UNKNOWN,
)
from mehc_checks.core.outcome import Finding, Severity

_CHECK: Final = "ConfigValid"
_BY_CLOUD: Final = ("AWSConfigMissing", "KedaAuthNotOnThisCloud", "StoreSchemeWrong")
"""Faults of rules for all clouds that are none on another cloud."""


def with_consequences(broken: Iterable[Finding]) -> Iterator[Finding]:
    """``broken``, in its order, each with the others that it explains."""
    found = list(broken)
    for one in found:
        yield replace(one, explains=(*one.explains, *_explained_by(one, found)))


def _explained_by(one: Finding, found: Sequence[Finding]) -> Iterator[str]:
    if one.reason in (CLOUD_PROVIDER_UNKNOWN, CLOUD_PROVIDER_MISMATCH):
        yield from (f"{_CHECK}/{name}" for name in _faults_by_cloud())
    for other in found:
        if other.subject == one.subject:
            if other.reason is not one.reason and _leader(found, one.subject) is one:
                yield _named(other)
        elif one.reason is BLOCK_MISSING and other.subject.startswith(f"{one.subject}."):
            yield _named(other)


def _leader(found: Iterable[Finding], subject: str) -> Finding:
    """The worst of what is wrong at one place; of equals the first that no other there declares to explain."""
    there = [each for each in found if each.subject == subject]
    explained = {name.rpartition("/")[2] for each in there for name in each.explains}
    there = [each for each in there if each.reason.name not in explained] or there
    return min(there, key=lambda each: (each.severity or Severity.CRITICAL).rank)


def _named(found: Finding) -> str:
    return f"{_CHECK}/{found.subject}/{found.reason.name}"


def _faults_by_cloud() -> Iterator[str]:
    yield from _BY_CLOUD
    for rule in all_rules().values():
        if rule.clouds:
            yield from (fault.name for fault in rule.faults)
