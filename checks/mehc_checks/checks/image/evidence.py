"""What was measured of the vLLM image."""

from typing import Final

from mehc_checks.checks.image.facts import ImageFacts, Probed
from mehc_checks.core.outcome import Evidence

TASK_LIMIT_MINUTES: Final = 30
"""Model engine's hard time limit of an endpoint-building task."""


def pull_minutes(probed: Probed, facts: ImageFacts) -> float:
    """How long a node downloads at the stated bandwidth, without unpacking."""
    return probed.inspection.size * 8 / 1e6 / facts.parameters.bandwidth_mbit / 60


def evidence_of(probed: Probed, facts: ImageFacts) -> Evidence:
    """Keys as the check's page lists them; those of steps that were not reached are absent."""
    image, inspection, nodes = probed.image, probed.inspection, facts.nodes
    evidence: dict[str, str | int | float | bool | None] = {
        "image": image.reference,
        "repository": image.repository,
        "registryClass": facts.registry.value,
        "tagSource": image.tag_source,
        "architectures": ", ".join(facts.architectures),
        "credentials": inspection.login or "none",
    }
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
