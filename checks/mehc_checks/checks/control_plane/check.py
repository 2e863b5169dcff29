"""ControlPlaneReady: gateway, builder, cacher and autoscaler are up, and have what they cannot do without."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from mehc_checks.checks.control_plane.facts import Component, ControlPlaneFacts, Job, Proof
from mehc_checks.checks.control_plane.parameters import PERMISSIONS, GatewayParameters
from mehc_checks.checks.control_plane.reasons import LOOK, NO_CAUSE, UNPLACED, ControlPlaneReasons
from mehc_checks.checks.control_plane.shared import of_cacher, of_gateway, of_images, of_objects, words_of
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.core.outcome import Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.text import counted, dated, shortened
from mehc_checks.engine.check import Scope, check
from mehc_checks.workload.diagnose import Cause
from mehc_checks.workload.reasons import WorkloadReasons as W

R = ControlPlaneReasons
NAME: Final = "ControlPlaneReady"
RESTARTING: Final = timedelta(hours=1)
"""A restart within this time still counts."""
_MANY_RESTARTS: Final = 3
UNFINISHED: Final = timedelta(minutes=5)
"""Age at which Helm has given up on a Job that works on the database, while Kubernetes goes on for five more minutes.
"""
_OF_THE_PROCESS: Final = frozenset(
    {W.CONFIGURATION_MISSING, W.CRASHING, W.KILLED_BY_PROBE, W.HEALTH_FAILING, W.POD_NOT_READY}
)
_OF_THE_PLACE: Final = frozenset({W.LABEL_UNMATCHED, W.NODES_UNUSABLE, W.UNSCHEDULABLE})
_STARTING: Final = frozenset(
    {W.IMAGE_PULL_SLOW, W.HEALTH_FAILING, W.SIDECAR_NOT_READY, W.INIT_RUNNING, W.POD_NOT_READY}
)
"""A pod that has this may only be young, as after each step of a HorizontalPodAutoscaler."""
_BY_ROLE: Final = {"gateway": R.GATEWAY, "cacher": R.CACHER, "builder": R.BUILDER, "autoscaler": R.AUTOSCALER}


@check(
    NAME,
    title="gateway, builder, cacher and autoscaler are up",
    severity=Severity.CRITICAL,
    scope=Scope.CONTROL_PLANE,
    reasons=ControlPlaneReasons,
    parameters=GatewayParameters,
    permissions=PERMISSIONS,
)
def control_plane_ready(facts: ControlPlaneFacts) -> Outcome:
    """Each component by itself, then what they share, then whether cacher and gateway do their work."""
    findings = [
        *_of_components(facts),
        *(finding for job in facts.jobs for finding in _of_job(job, facts)),
        *(
            R.AUTOSCALER_LEFT_OVER(subject=name, name=name, broker=facts.broker, namespace=facts.namespace)
            for name in facts.left_over
        ),
        *of_objects(facts),
        *of_images(facts),
        *of_cacher(facts),
        *of_gateway(facts),
        *map(incomplete, facts.unseen),
    ]
    if not findings:
        findings.append(
            R.READY(counts=", ".join(f"{c.role} {c.ready}/{c.desired}" for c in facts.components))
        )
    evidence = {c.role: f"{c.ready}/{c.desired} {c.image}" for c in facts.components if c.exists}
    evidence |= {f"{c.role}Restarts": str(c.restarts) for c in facts.components if c.restarts}
    if facts.gateway:
        evidence["gatewayRequest"] = facts.gateway.text
    return Outcome.of(findings, evidence={"namespace": facts.namespace, **evidence})


def _of_components(facts: ControlPlaneFacts) -> Iterator[Finding]:
    """What one cause keeps in several components, an image or a value, follows from the first of them."""
    first: dict[Reason, str] = {}
    for component in facts.components:
        for finding in _of(component, facts):
            if component.cause and finding.status is Status.FAIL and finding.reason is not R.SCALED_DOWN:
                role = first.setdefault(component.cause.reason, component.role)
                if role != component.role:
                    own = (
                        finding.reason.explained_by if finding.explained_by is None else finding.explained_by
                    )
                    finding = replace(finding, explained_by=(*own, f"{NAME}/{role}"))
            yield finding


def _of(component: Component, facts: ControlPlaneFacts) -> Iterator[Finding]:
    if component.exists is None:
        return
    words = words_of(component, facts)
    cause, progressing = component.cause, component.progressing
    outdated = counted(component.outdated, "pod")
    if not component.exists:
        yield R.COMPONENT_MISSING(**words)
    elif not component.desired:
        if component.role != "autoscaler" or facts.autoscaled:
            yield R.SCALED_DOWN(**words, status=Status.WARN if component.role == "cacher" else None)
    elif component.ready < component.desired:
        if component.ready and cause and cause.reason in _STARTING and not cause.overdue:
            return
        reason = _BY_ROLE[component.role]
        counts: dict[str, Any] = {"ready": component.ready, "desired": counted(component.desired, "pod")}
        explained_by = _explained_by(reason.explained_by, cause)
        yield reason(**words, **counts, **_because(cause, words), explained_by=explained_by)
    elif progressing is not None and progressing.status == "False":
        explained_by = _explained_by(R.ROLLOUT_STUCK.explained_by, cause)
        yield R.ROLLOUT_STUCK(
            **words,
            outdated=outdated,
            why=progressing.reason,
            **_because(cause, words),
            explained_by=explained_by,
        )
    elif component.paused and component.outdated:
        yield R.ROLLOUT_PAUSED(**words, outdated=outdated)
    elif _is_restarting(component, facts):
        ended: dict[str, Any] = {"ended": component.ended} if component.ended else {}
        yield R.RESTARTING(**words, restarts=component.restarts, **ended)
    if component.exists and component.changed:
        changed, when = max(component.changed.items(), key=lambda item: item[1])
        yield R.STALE_ENVIRONMENT(
            **words, object=changed, when=dated(when), **_if_it_fails(component.role == "gateway", facts)
        )


def _if_it_fails(concerned: bool, facts: ControlPlaneFacts) -> dict[str, Any]:
    """How a warning weighs that explains why the gateway returns errors; where the database fails, that does."""
    if not concerned or facts.gateway is None or facts.gateway.proof is not Proof.FAILS:
        return {}
    return {
        "status": Status.FAIL,
        "explains": (f"{NAME}/{R.GATEWAY_FAILS.name}",),
        "explained_by": ("DatabaseMigrated",),
    }


def _because(cause: Cause | None, words: Mapping[str, Any]) -> dict[str, Any]:
    if cause is None:
        return {"cause": NO_CAUSE, "fix": LOOK.format(**words)}
    return {"cause": f"{cause.reason.name}: {cause.message}", "fix": cause.remedy}


def _explained_by(names: tuple[str, ...], cause: Cause | None) -> tuple[str, ...] | None:
    """``names``, narrowed to what can have the ``cause`` of the pods: no database keeps an image away."""
    if cause is None:
        return None
    if cause.reason in _OF_THE_PROCESS:
        return tuple(name for name in names if name != UNPLACED)
    return (UNPLACED,) if cause.reason in _OF_THE_PLACE and UNPLACED in names else ()


def _is_restarting(component: Component, facts: ControlPlaneFacts) -> bool:
    lately = component.ended_at is not None and facts.now - component.ended_at <= RESTARTING
    return component.restarts >= _MANY_RESTARTS and lately


def _of_job(job: Job, facts: ControlPlaneFacts) -> Iterator[Finding]:
    words: dict[str, Any] = {"subject": job.name, "name": job.name, "namespace": facts.namespace}
    if job.failed:
        because = (
            f"{shortened(job.failed, 80)}; {job.cause.message}" if job.cause else shortened(job.failed, 80)
        )
        yield R.MIGRATION_FAILED(**words, cause=because)
    elif job.sidecar:
        yield R.MIGRATION_HELD(**words, pod=job.pod, container=job.container, sidecar=job.sidecar)
    elif job.began and facts.now - job.began > UNFINISHED:
        because_of = _because(job.cause, words) if job.cause else {}
        yield R.MIGRATION_OPEN(**words, began=dated(job.began), **because_of)
