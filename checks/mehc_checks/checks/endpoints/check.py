"""EndpointsReady: no endpoint lacks ready pods for longer than its grace period."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mehc_checks.checks.endpoints.diagnose import word
from mehc_checks.checks.endpoints.facts import EndpointFacts
from mehc_checks.checks.endpoints.parameters import FEWEST_TO_FAIL, EndpointParameters
from mehc_checks.checks.endpoints.reasons import EndpointReasons
from mehc_checks.checks.endpoints.stuck import Stuck, not_ready
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import counted, shortened
from mehc_checks.engine.check import Scope, check

R = EndpointReasons
_NAMED = 3
_PROVED = 10


@check(
    "EndpointsReady",
    title="all endpoints are ready",
    severity=Severity.HIGH,
    scope=Scope.ENDPOINTS,
    reasons=EndpointReasons,
    parameters=EndpointParameters,
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps"),
        Permission(resource="deployments", group="apps", followed=True),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(
            resource="secrets",
            scope="endpoints",
            lost="EndpointsReady does not ask registries for images that endpoints wait for with pull secrets",
        ),
        Permission(resource="pods", verbs=("list",), scope="endpoints", followed=True),
        Permission(resource="events", verbs=("list",), scope="endpoints", followed=True),
        Permission(resource="deployments", group="apps", verbs=("list",), scope="endpoints", followed=True),
        Permission(resource="replicasets", group="apps", verbs=("list",), scope="endpoints", followed=True),
        Permission(resource="statefulsets", group="apps", verbs=("list",), scope="endpoints", followed=True),
        Permission(
            resource="scaledobjects", group="keda.sh", verbs=("list",), scope="endpoints", followed=True
        ),
        Permission(
            resource="leaderworkersets",
            group="leaderworkerset.x-k8s.io",
            verbs=("list",),
            scope="endpoints",
            followed=True,
        ),
        Permission(resource="nodes", verbs=("list", "watch"), scope="cluster"),
    ),
)
def endpoints_ready(facts: EndpointFacts) -> Outcome:
    """Find for each endpoint the one cause that keeps it, and report it once for all that share it."""
    unready = not_ready(facts.endpoints, facts.around, recorded=facts.recorded, queue=facts.queue)
    stuck = [found for found in unready if found.cause.overdue]
    findings = [*_found(stuck, are_many=_are_many(stuck, facts)), *_unseen(facts)]
    if all(finding.status is Status.PASS for finding in findings):
        findings.append(R.READY(**_counts(facts)))
    return Outcome.of(
        findings,
        evidence=_evidence(facts, stuck),
        endpoints=[found.status for found in stuck if found.cause.finding.status is Status.FAIL],
        changes_at=min(
            (ends for found in unready if (ends := found.cause.grace_ends) and not found.cause.overdue),
            default=None,
        ),
    )


def _are_many(stuck: Iterable[Stuck], facts: EndpointFacts) -> bool:
    """Whether so many endpoints are stuck that it concerns the platform, whatever the causes are."""
    held = sum(_keeps_all(found) and found.cause.finding.status is Status.FAIL for found in stuck)
    return held >= max(FEWEST_TO_FAIL, math.ceil(facts.fail_above * len(facts.endpoints)))


_WHOLE = (R.FAILED_WITH_PODS, R.UPDATE_FAILED, R.TASK_NOT_TAKEN, R.TASK_KILLED, R.DELETION_STUCK)
"""These are about the endpoint, however many of its pods are ready."""


def _keeps_all(stuck: Stuck) -> bool:
    """Whether no pod of the endpoint serves, or its update does not take effect."""
    return not stuck.cause.serving or stuck.cause.reason in _WHOLE


def _found(stuck: Iterable[Stuck], *, are_many: bool) -> Iterator[Finding]:
    """One finding per cause: five hundred endpoints with one cause are one thing to fix."""
    groups: dict[tuple[str, bool, bool], list[Stuck]] = {}
    for found in stuck:
        key = (found.cause.reason.name, _keeps_all(found), found.cause.of_owner)
        groups.setdefault(key, []).append(found)
    for (_, whole, of_owner), group in groups.items():
        told = group[0].cause.finding
        if not whole and told.status is Status.FAIL:
            told = R.PARTLY_READY(reason=told.reason.name, cause=told.message, fix=told.remediation)
        elif of_owner and not are_many:
            told = replace(told, status=Status.WARN)
        names = [shortened(each.endpoint.title, 80) for each in group]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield replace(
            told,
            message=f"{', '.join(names[:_NAMED])}{more}: {told.message}",
            subject=names[0] if len(names) == 1 else counted(len(names), "endpoint"),
        )


def _unseen(facts: EndpointFacts) -> Iterator[Finding]:
    if facts.unrecorded:
        yield facts.unrecorded.finding()
    yield from map(incomplete, facts.unseen)


def _counts(facts: EndpointFacts) -> dict[str, Any]:
    if not facts.endpoints:
        return {}
    counts = Counter(word(endpoint) for endpoint in facts.endpoints)
    return {"counts": ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))}


def _evidence(facts: EndpointFacts, stuck: Sequence[Stuck]) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {"endpoints": len(facts.endpoints)}
    for found in stuck[:_PROVED]:
        for number, line in enumerate(found.cause.evidence, 1):
            evidence[f"{shortened(found.endpoint.title, 80)} {number}"] = line
    return evidence
