"""What was measured of the vLLM image."""

from typing import Final

from mehc_checks.checks.image.facts import ImageFacts, Probed
from mehc_checks.checks.image.reasons import VllmImageReasons as R
from mehc_checks.core.outcome import Evidence
from mehc_checks.modelengine.registries import NOT_FOUND, Answer

TASK_LIMIT_MINUTES: Final = 30
"""Model engine's hard time limit of an endpoint-building task."""
_ANSWERS: Final = {R.TAG_MISSING: Answer.NO_TAG, R.REPOSITORY_MISSING: Answer.NO_REPOSITORY}


def pull_minutes(probed: Probed, facts: ImageFacts) -> float:
    """How long a node downloads at the stated bandwidth, without unpacking."""
    return probed.inspection.size * 8 / 1e6 / facts.parameters.bandwidth_mbit / 60


def evidence_of(probed: Probed, facts: ImageFacts) -> Evidence:
    """Keys as the check's page lists them; those of steps that were not reached are absent."""
    image, inspection, nodes = probed.image, probed.inspection, facts.nodes
    evidence: dict[str, str | int | float | bool | None] = {
        "image": image.reference,
        "repository": image.repository,
        "registryClass": facts.registries.gateway.value,
        "tagSource": image.tag_source,
        "architectures": ", ".join(facts.architectures),
        "credentials": inspection.login or "none",
    }
    evidence |= _consequences(probed, facts)
    if inspection.problem is not None:
        evidence["registryAnswer"] = str(inspection.problem)
    if inspection.digest:
        evidence |= {"digest": inspection.digest, "platforms": ", ".join(inspection.platforms)}
    if inspection.size:
        evidence |= {
            "sizeBytes": inspection.size,
            "pullMinutes": round(pull_minutes(probed, facts), 2),
            "bandwidthMbit": facts.parameters.bandwidth_mbit,
            "taskLimitMinutes": TASK_LIMIT_MINUTES,
        }
    if inspection.created:
        evidence |= {
            "created": inspection.created.isoformat(),
            "ageDays": (facts.now - inspection.created).days,
        }
    if image.reference in nodes.pulled:
        evidence["pulledByNodes"] = True
    if facts.node_pull is not None:
        evidence["pullProbe"] = facts.node_pull.state.value
        evidence["pullProbeNode"] = facts.node_pull.node or None
    if image.reference in nodes.stuck:
        evidence["podsWaiting"] = nodes.stuck[image.reference]
    if inspection.near_tags:
        evidence["nearTags"] = ", ".join(inspection.near_tags)
    for key, unknown in (("secretsUnknown", facts.secrets.unknown), ("nodesUnknown", nodes.unknown)):
        if unknown is not None:
            evidence[key] = str(unknown)
    return evidence


def _consequences(probed: Probed, facts: ImageFacts) -> dict[str, str]:
    """With what error model engine's own processes end, as far as the registry's answer decides it."""
    problem = probed.inspection.problem
    answer = _ANSWERS.get(problem.reason) if problem else Answer.FOUND
    errors = {"cacherError": facts.registries.cacher_error(Answer.FOUND)}
    if answer is not None and facts.existence is None:
        error = facts.registries.creation_error(answer)
        errors["creationError"] = error and f"{error} (HTTP {404 if error == NOT_FOUND else 500})"
    return {key: error for key, error in errors.items() if error}
