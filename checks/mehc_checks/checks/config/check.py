"""ConfigValid: no rule of the configuration is broken, and what runs is what the release says."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mehc_checks.checks.config.consequences import with_consequences
from mehc_checks.checks.config.facts import PERMISSIONS, ConfigFacts, Stale
from mehc_checks.checks.config.reasons import AS_RELEASED, ConfigReasons
from mehc_checks.checks.config.reasons import DiscoveryReasons as R
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.checks.config.rules.fault import NO_START, NOT_CREATED
from mehc_checks.core import duration
from mehc_checks.core.outcome import Finding, Outcome, Severity
from mehc_checks.core.text import counted, middle
from mehc_checks.engine.check import Scope, check
from mehc_checks.installation.installation import Installation, LiveConfig
from mehc_checks.modelengine.values import Part, leaves
from mehc_checks.modelengine.versions import NEWEST

PENDING_LONG: Final = timedelta(minutes=15)
"""Helm waits five minutes for each hook unless told otherwise, and the chart has three with Jobs."""
_MOST_NAMED: Final = 5
_DESCRIPTION: Final = 300
"""Characters of Helm's own description that are shown."""
_TIME: Final = "%Y-%m-%d %H:%M:%SZ"


@check(
    "ConfigValid",
    title="configuration is valid",
    severity=Severity.HIGH,
    scope=Scope.CONFIGURATION,
    reasons=ConfigReasons,
    permissions=PERMISSIONS,
)
def config_valid(facts: ConfigFacts) -> Outcome:
    findings = [*_of_installation(facts), *_of_rules(facts)]
    count = {verdict: sum(one.verdict is verdict for one in facts.judged) for verdict in Verdict}
    if not findings:
        ignored = f", {count[Verdict.IGNORED]} ignored" if count[Verdict.IGNORED] else ""
        findings.append(R.CONFIG_VALID(rules=count[Verdict.HOLDS], ignored=ignored))
    return Outcome.of(
        findings,
        evidence={
            "rulesJudged": count[Verdict.HOLDS] + count[Verdict.BROKEN],
            "rulesBroken": count[Verdict.BROKEN],
            "rulesSkipped": count[Verdict.SKIPPED],
            "ignored": _ignored(facts),
            "platform": facts.platform.detected if facts.installation else None,
            "informational": "; ".join(found.message for found in _broken(facts, informing=True)) or None,
        },
    )


def _of_rules(facts: ConfigFacts) -> Iterator[Finding]:
    """One finding for each place, which names the layer that its value came from."""
    broken = list(with_consequences(_broken(facts, informing=False)))
    drifted = {drift.path: drift for drift in facts.installation.drift} if facts.installation else {}
    for found in broken:
        origin = facts.values.origin(found.subject)
        message = f"{found.message} (from {origin})" if origin else found.message
        drift = drifted.get(found.subject)
        remedy = AS_RELEASED.format(drift=drift) if drift and drift.given else found.remediation
        yield replace(found, message=message, remediation=remedy)
    if facts.platform.is_older and any(found.status is not found.reason.status for found in broken):
        yield R.CHART_OLDER(platform=facts.platform, known=NEWEST)
    for one in facts.judged:
        if one.verdict is Verdict.CRASHED:
            yield R.RULE_CRASHED(rule=one.rule.id, error=one.why, subject=one.rule.id)


def _broken(facts: ConfigFacts, *, informing: bool) -> Iterator[Finding]:
    """What broken rules found: that which only informs, or all else."""
    for one in facts.judged:
        if one.verdict is Verdict.BROKEN:
            found = one.found_on(facts.platform)
            yield from (each for each in found if (each.severity is Severity.INFO) == informing)


def _ignored(facts: ConfigFacts) -> str | None:
    """The ignored rules, each with why, and what they would have said."""
    listed = [
        f"{one.rule.id} ({one.why}): {', '.join(found.message for found in one.findings[:_MOST_NAMED])}"
        for one in facts.judged
        if one.verdict is Verdict.IGNORED
    ]
    return "; ".join(listed) or None


def _of_installation(facts: ConfigFacts) -> Iterator[Finding]:
    installation = facts.installation
    if installation is None:
        return
    if facts.platform.is_newer:
        yield R.CHART_NEWER(platform=facts.platform, newest=NEWEST)
    yield from _of_release(installation, facts)
    yield from _of_config_maps(installation)
    for drift in installation.drift:
        yield R.DRIFT(
            subject=drift.path,
            path=drift.path,
            where=drift.where,
            live=drift.live or "not set",
            given=drift.given or "not set",
        )
    for drift in facts.frameworks:
        yield R.FRAMEWORK_TAG_DRIFT(
            subject=drift.path,
            path=drift.path,
            config_map=drift.where,
            namespace=installation.namespace,
            live=drift.live or "not set",
            given=drift.given or "empty",
            patch=json.dumps({"data": {drift.path.rpartition(".")[2]: drift.given}}),
        )
    if facts.stale:
        yield _of_pods(installation, facts.stale)


def _of_release(installation: Installation, facts: ConfigFacts) -> Iterator[Finding]:
    release = installation.release
    if release is None:
        if Part.CHART not in installation.whole and installation.lost:
            lost, why = installation.lost[0]
            yield R.RELEASE_NOT_READ(lost=lost, detail=why, fix=why.remediation)
        return
    if release.status == "failed":
        yield R.RELEASE_FAILED(
            explains=NOT_CREATED,
            revision=release,
            release=release.name,
            namespace=installation.namespace,
            description=middle(release.description, _DESCRIPTION),
        )
    elif release.status.startswith("pending") and release.updated:
        age = facts.now - release.updated
        if age > PENDING_LONG:
            yield R.RELEASE_PENDING(
                explains=NOT_CREATED,
                revision=release,
                release=release.name,
                namespace=installation.namespace,
                state=release.status,
                age=duration.show(timedelta(seconds=int(age.total_seconds()))),
            )


def _of_config_maps(installation: Installation) -> Iterator[Finding]:
    own, endpoints = installation.config, installation.endpoint_config
    for config in (own, endpoints):
        if config is None or not config.trouble:
            continue
        unreadable = config.trouble.startswith("cannot")
        if config is own:
            explains = NO_START if unreadable else (*NO_START, "ControlPlaneReady/ObjectMissing")
        else:
            explains = () if unreadable else ("EndpointsReady/VolumeSourceMissing",)
        reason = R.CONFIG_MAP_UNREADABLE if unreadable else R.CONFIG_MAP_MISSING
        yield reason(
            subject=config.namespace,
            explains=explains,
            name=config.name,
            namespace=config.namespace,
            trouble=config.trouble,
        )
    if own and endpoints:
        yield from _differences(own, endpoints)


def _differences(own: LiveConfig, endpoints: LiveConfig) -> Iterator[Finding]:
    if own.values is None or endpoints.values is None:
        return
    one, other = dict(leaves(own.values)), dict(leaves(endpoints.values))
    for path in sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path)):
        yield R.CONFIG_MAPS_DIFFER(
            subject=path, path=path, name=own.name, one=own.namespace, other=endpoints.namespace
        )


def _of_pods(installation: Installation, stale: Stale) -> Finding:
    changed = ", ".join(stale.paths[:_MOST_NAMED])
    more = f" and {len(stale.paths) - _MOST_NAMED} more" if len(stale.paths) > _MOST_NAMED else ""
    name = installation.fullname
    return R.PODS_OLDER_THAN_CONFIG(
        pods=counted(len(stale.pods), "pod"),
        changed=f"{stale.changed:{_TIME}}",
        first=stale.pods[0],
        began=f"{stale.began:{_TIME}}",
        what=f"; changed: {changed}{more}" if changed else "",
        deployments=f"{name} {name}-cacher {name}-endpoint-builder",
        namespace=installation.namespace,
    )
