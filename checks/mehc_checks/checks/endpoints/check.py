"""EndpointsReady: no endpoint has been without ready pods for longer than its grace period."""

from collections import Counter
from collections.abc import Iterable, Iterator

from mehc_checks.checks.endpoints.gather import EndpointFacts, EndpointParameters, endpoint_facts
from mehc_checks.checks.endpoints.stuck import Stuck, not_ready
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import shortened
from mehc_checks.engine.check import check
from mehc_checks.workload.diagnose import word
from mehc_checks.workload.reasons import CONSEQUENCE_OF, EndpointReasons

R = EndpointReasons
_NAMED = 3
_PROVED = 10


@check(
    "EndpointsReady",
    title="no endpoint has been without ready pods for longer than its grace period",
    severity=Severity.HIGH,
    gather=endpoint_facts,
    reasons=EndpointReasons,
    parameters=EndpointParameters,
    depends_on=CONSEQUENCE_OF,
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="pods", verbs=("list",), scope="endpoints"),
        Permission(resource="events", verbs=("list",), scope="endpoints"),
        Permission(resource="deployments", group="apps", verbs=("list",), scope="endpoints"),
        Permission(resource="replicasets", group="apps", verbs=("list",), scope="endpoints"),
        Permission(resource="statefulsets", group="apps", verbs=("list",), scope="endpoints"),
        Permission(resource="scaledobjects", group="keda.sh", verbs=("list",), scope="endpoints"),
        Permission(
            resource="leaderworkersets", group="leaderworkerset.x-k8s.io", verbs=("list",), scope="endpoints"
        ),
        Permission(resource="nodes", verbs=("list", "watch"), scope="cluster"),
    ),
)
def endpoints_ready(facts: EndpointFacts) -> Outcome:
    """Find for each endpoint the one cause that keeps it, and tell it once for all that have it in common."""
    unready = not_ready(facts.endpoints, facts.around, recorded=facts.recorded)
    stuck = [found for found in unready if found.cause.overdue]
    findings = [*_found(stuck), *_unseen(facts)]
    if all(finding.status is Status.PASS for finding in findings):
        findings.append(R.READY.finding(_summary(facts)))
    return Outcome.of(
        findings,
        evidence=_evidence(facts, stuck),
        endpoints=[found.status for found in stuck if found.cause.reason.status is Status.FAIL],
    )


def _found(stuck: Iterable[Stuck]) -> Iterator[Finding]:
    """One finding per cause: five hundred endpoints with one cause are one thing to mend."""
    groups: dict[tuple[Reason, bool], list[Stuck]] = {}
    for found in stuck:
        reason = found.cause.reason
        groups.setdefault((reason, found.cause.serving and reason.status is Status.FAIL), []).append(found)
    for (reason, serving), group in groups.items():
        names = [shortened(found.endpoint.title, 80) for found in group]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        text = f"{', '.join(names[:_NAMED])}{more}: {group[0].cause.message}"
        yield Finding(
            reason=(told := R.PARTLY_READY if serving and reason not in _WHOLE else reason),
            status=told.status,
            message=text,
            remediation=reason.remedy,
            subject=reason.name,
        )


_WHOLE = (R.FAILED_WITH_PODS, R.UPDATE_FAILED, R.TASK_NOT_TAKEN, R.TASK_KILLED, R.DELETION_STUCK)
"""These are about the endpoint, however many of its pods are ready."""


def _unseen(facts: EndpointFacts) -> Iterator[Finding]:
    if facts.unrecorded:
        yield R.RECORD_UNREAD.finding(str(facts.unrecorded))
    for error in facts.unseen:
        yield Finding(
            reason=R.PARTLY_UNSEEN,
            status=R.PARTLY_UNSEEN.status,
            message=str(error),
            remediation=error.remediation or R.PARTLY_UNSEEN.remedy,
        )


def _summary(facts: EndpointFacts) -> str:
    if not facts.endpoints:
        return "there are no endpoints"
    counts = Counter(word(endpoint) for endpoint in facts.endpoints)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _evidence(facts: EndpointFacts, stuck: list[Stuck]) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {"endpoints": len(facts.endpoints)}
    for found in stuck[:_PROVED]:
        for number, line in enumerate(found.cause.evidence, 1):
            evidence[f"{shortened(found.endpoint.title, 80)} {number}"] = line
    return evidence
