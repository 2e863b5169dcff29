"""What the components share: objects, images, the cacher's work and the gateway's answers. Pure."""

from collections.abc import Iterator
from typing import Any, Final

from mehc_checks.checks.control_plane.facts import Component, ControlPlaneFacts, Proof
from mehc_checks.checks.control_plane.reasons import HPA_FIX, HPA_FIXES
from mehc_checks.checks.control_plane.reasons import ControlPlaneReasons as R
from mehc_checks.core.outcome import Finding, Severity, Status
from mehc_checks.core.text import counted

STALE: Final = 30
"""Seconds to live below which a key was not renewed: the cacher sets 60 every 15. Source: ``k8s_cache.py``."""
_BY_PROOF: Final = {
    Proof.FAILS: R.GATEWAY_FAILS,
    Proof.SILENT: R.GATEWAY_SILENT,
    Proof.SHADOWED: R.GATEWAY_SHADOWED,
}


def words_of(component: Component, facts: ControlPlaneFacts) -> dict[str, Any]:
    """What every reason is told about ``component``."""
    role, name = component.role, component.name
    return {
        "subject": role,
        "role": role,
        "kind": component.kind,
        "name": name,
        "namespace": facts.namespace,
    }


def of_objects(facts: ControlPlaneFacts) -> Iterator[Finding]:
    if facts.missing:
        yield R.OBJECT_MISSING(objects=", ".join(facts.missing))
    if facts.spread:
        yield R.MULTI_NODE(tier=facts.spread, severity=Severity.WARNING)
    if facts.scaler:
        gateway = next(c for c in facts.components if c.role == "gateway")
        words = words_of(gateway, facts)
        fix = HPA_FIXES.get(facts.scaler.reason, HPA_FIX).format(**words)
        yield R.GATEWAY_NOT_SCALED(**words, why=facts.scaler.reason, fix=fix)


def of_images(facts: ControlPlaneFacts) -> Iterator[Finding]:
    tags = {c.role: tag for c in facts.components if c.exists and (tag := _tag(c.image))}
    released = {c.role: c.released for c in facts.components if c.released}
    drifted = {role: tag for role, tag in released.items() if tags.get(role, tag) != tag}
    if drifted:
        explains = [
            f"ControlPlaneReady/{c.role}" for c in facts.components if c.role in drifted and _is_down(c)
        ]
        if facts.gateway is not None and facts.gateway.proof is Proof.FAILS:
            explains.append(f"ControlPlaneReady/{R.GATEWAY_FAILS.name}")
        yield R.IMAGE_DRIFT(
            status=Status.FAIL if explains else None,
            explains=tuple(explains),
            running=", ".join(f"{role} runs {tags[role]}" for role in drifted),
            released=" and ".join(dict.fromkeys(drifted.values())),
            release=facts.release,
            revision=facts.revision,
            namespace=facts.namespace,
        )
    elif len(set(tags.values())) > 1:
        yield R.TAGS_DIFFER(running=", ".join(f"{role} runs {tag}" for role, tag in tags.items()))


def _is_down(component: Component) -> bool:
    stuck = component.progressing is not None and component.progressing.status == "False"
    return component.ready < component.desired or stuck


def _tag(image: str) -> str:
    """The tag of ``image``, "" without one: a digest says nothing, and two repositories have two."""
    name = image.partition("@")[0]
    return name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else ""


def of_cacher(facts: ControlPlaneFacts) -> Iterator[Finding]:
    cacher = next(c for c in facts.components if c.role == "cacher")
    if facts.keys is None or not cacher.exists or cacher.ready < cacher.desired or not cacher.desired:
        return
    if not facts.keys.asked:
        yield R.CACHER_NOT_JUDGED(subject="cacher")
        return
    ttl = facts.keys.ttl
    stale = [each for each, seconds in ttl.items() if seconds is None or seconds < STALE]
    if ttl and len(stale) == len(ttl) and not facts.keys.young:  # one alone may be an endpoint made just now
        yield R.CACHER_STALE(
            **words_of(cacher, facts), endpoints=counted(len(ttl), "endpoint"), seconds=60 - STALE
        )


def of_gateway(facts: ControlPlaneFacts) -> Iterator[Finding]:
    """Only of one that has ready pods: without any, its cause is found already."""
    gateway = next(c for c in facts.components if c.role == "gateway")
    if facts.gateway and gateway.ready and (reason := _BY_PROOF.get(facts.gateway.proof)):
        yield reason(**words_of(gateway, facts), answer=facts.gateway.text)
