"""ConfigValid: no rule of the configuration catalogue is broken, and what runs is what the release says."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from mehc_checks.checks.config import clusterfacts
from mehc_checks.checks.config import gather as configuration
from mehc_checks.checks.config.gather import ConfigFacts, config_facts
from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.checks.config.rules.evaluate import Judged, Verdict
from mehc_checks.checks.config.rules.rule import NO_INSTALL, NO_START, Rule
from mehc_checks.core import duration
from mehc_checks.core.outcome import Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.engine.check import check
from mehc_checks.installation import discover
from mehc_checks.installation.installation import Installation
from mehc_checks.modelengine.values import Part, leaves

PENDING_LONG: Final = timedelta(minutes=15)
"""Helm waits five minutes for each hook unless told otherwise, and the chart has three with Jobs."""
_MOST_NAMED: Final = 5
_STATUS: Final = {
    Severity.CRITICAL: Status.FAIL,
    Severity.HIGH: Status.FAIL,
    Severity.WARNING: Status.WARN,
}


class DiscoveryReasons(ReasonSet):
    """Of the release and its live objects."""

    RULES_HOLD = Reason(
        "RulesHold", Status.PASS, "No rule is broken, and what is live agrees with the release."
    )
    RELEASE_FAILED = Reason(
        "ReleaseFailed",
        Status.FAIL,
        "Helm marked the newest revision as failed: part of it may be in the cluster.",
        "Mend what the message says and run helm upgrade of {release} again. A rollback alone leaves the service "
        "ConfigMap as it is: its hooks are for install and upgrade.",
    )
    RELEASE_PENDING = Reason(
        "ReleasePending",
        Status.FAIL,
        "An install, upgrade or rollback began long ago and never ended: whoever ran it was interrupted.",
        "See that no helm is running, run helm rollback {release} to the last good revision, and then helm upgrade, "
        "because a rollback leaves the service ConfigMap as it is.",
    )
    CONFIG_MAP_MISSING = Reason(
        "ConfigMapMissing",
        Status.FAIL,
        "The service ConfigMap is not in a namespace whose pods mount it: they stay ContainerCreating.",
        "Run helm upgrade, whose hooks make it, after the namespace {namespace} exists.",
    )
    CONFIG_MAP_UNREADABLE = Reason(
        "ConfigMapUnreadable",
        Status.FAIL,
        "The service ConfigMap is not what the platform's processes can read, so none of them starts.",
        "Correct it by helm upgrade; do not edit it by hand.",
    )
    CONFIG_MAPS_DIFFER = Reason(
        "ConfigMapsDiffer",
        Status.WARN,
        "Control plane and endpoint pods are configured differently.",
        "Run helm upgrade, which writes both ConfigMaps; then restart what runs with the old one.",
    )
    DRIFT = Reason(
        "Drift",
        Status.WARN,
        "The cluster has another configuration than the release: it was changed by hand, or the release was rolled "
        "back, which leaves the service ConfigMap as it is.",
        "Put the live value into the release's values, or run helm upgrade to undo the change.",
    )
    PODS_OLDER_THAN_CONFIG = Reason(
        "PodsOlderThanConfig",
        Status.WARN,
        "Pods run with an older configuration than the ConfigMap has: no process reads it again.",
        "Restart them: kubectl rollout restart deployment {deployments} -n {namespace}.",
    )
    RELEASE_NOT_READ = Reason(
        "ReleaseNotRead",
        Status.ERROR,
        "The values of the Helm release could not be read, so most rules could not be judged.",
        "{remedy} Without that, give the chart's values by spec.valuesFrom.",
    )
    RULE_CRASHED = Reason(
        "RuleCrashed",
        Status.ERROR,
        "A rule itself crashed, which says nothing about the installation.",
        "Please report this with the rule's number.",
    )


def reason_name(rule: Rule) -> str:
    """The reason of the condition when ``rule`` is broken: "RuleS2_aws_01"."""
    return f"Rule{rule.id.replace('-', '_')}"


R = DiscoveryReasons
RULES: Final = {
    rule.id: Reason(
        reason_name(rule),
        _STATUS[rule.severity],
        f"[{rule.id}](../rules.md#{rule.id.lower()}) is broken; it says: {rule.title}. {rule.consequence}",
        rule.remedy.replace("{", "{{").replace("}", "}}"),
    )
    for rule in all_rules().values()
    if rule.severity in _STATUS
}
"""The reason of each rule; those that only inform have none."""
ConfigReasons: type[ReasonSet] = type(
    "ConfigReasons", (DiscoveryReasons,), {r.name: r for r in RULES.values()}
)


@check(
    "ConfigValid",
    title="no rule of the configuration catalogue is broken",
    severity=Severity.HIGH,
    gather=config_facts,
    reasons=ConfigReasons,
    permissions=(*discover.PERMISSIONS, *configuration.PERMISSIONS, *clusterfacts.PERMISSIONS),
)
def config_valid(facts: ConfigFacts) -> Outcome:
    findings = [*_of_installation(facts), *_of_rules(facts)]
    count = {verdict: sum(one.verdict is verdict for one in facts.judged) for verdict in Verdict}
    if not findings:
        ignored = f", {count[Verdict.IGNORED]} ignored" if count[Verdict.IGNORED] else ""
        findings.append(R.RULES_HOLD.finding(f"{count[Verdict.HOLDS]} rules hold{ignored}"))
    return Outcome.of(
        findings,
        evidence={
            "rulesJudged": count[Verdict.HOLDS] + count[Verdict.BROKEN],
            "rulesBroken": count[Verdict.BROKEN],
            "rulesSkipped": count[Verdict.SKIPPED],
            "ignored": _listed(facts, Verdict.IGNORED),
            "informational": _listed(facts, Verdict.BROKEN),
        },
    )


def _of_rules(facts: ConfigFacts) -> Iterator[Finding]:
    """The worst first."""
    for one in sorted(facts.judged, key=lambda one: one.severity.rank):
        if one.verdict is Verdict.CRASHED:
            yield R.RULE_CRASHED.finding(
                f"rule {one.rule.id} itself crashed ({one.why})", subject=one.rule.id
            )
        elif one.verdict is Verdict.BROKEN and one.severity in _STATUS:
            declared = RULES[one.rule.id]
            reason = Reason(declared.name, _STATUS[one.severity], declared.meaning, declared.remedy)
            yield replace(reason.finding(_said(one, facts), subject=one.rule.id), explains=one.explains)


def _said(one: Judged, facts: ConfigFacts) -> str:
    places = [f"{facts.values.describe(broken.path)} {broken.message}" for broken in one.broken]
    more = len(places) - _MOST_NAMED
    text = ", ".join(places[:_MOST_NAMED]) + (f", and {more} more" if more > 0 else "")
    consequence = one.rule.consequence.rstrip(".")
    return f"{one.rule.id}: {text} ({consequence[:1].lower()}{consequence[1:]})"


def _listed(facts: ConfigFacts, verdict: Verdict) -> str | None:
    """The rules with ``verdict`` that are no findings, with what is known of each; None if there are none."""
    listed = []
    for one in facts.judged:
        if one.verdict is not verdict or (verdict is Verdict.BROKEN and one.severity in _STATUS):
            continue
        places = ", ".join(f"{broken.path} {broken.message}" for broken in one.broken[:_MOST_NAMED])
        listed.append(f"{one.rule.id}: {places}" + (f" ({one.why})" if one.why else ""))
    return "; ".join(listed) or None


def _of_installation(facts: ConfigFacts) -> Iterator[Finding]:
    if facts.installation is None:
        return
    for found in _of_release(facts.installation, facts):
        yield replace(found, explains=NO_INSTALL)
    yield from _of_config_maps(facts.installation)
    if drift := facts.installation.drift:
        named = [
            f"{d.path} is {d.live or 'not set'} in {d.where}, {d.given or 'not set'} in the release"
            for d in drift[:_MOST_NAMED]
        ]
        more = f", and {len(drift) - _MOST_NAMED} more" if len(drift) > _MOST_NAMED else ""
        yield R.DRIFT.finding(", ".join(named) + more)
    if stale := facts.stale:
        why = (
            f"since then {', '.join(stale.paths[:_MOST_NAMED])} changed"
            if stale.paths
            else "nothing tells what changed"
        )
        name = facts.installation.fullname
        yield R.PODS_OLDER_THAN_CONFIG.finding(
            f"{len(stale.pods)} pods began before their ConfigMap was written at {stale.changed:%Y-%m-%d %H:%M:%SZ}, "
            f"the first, {stale.pods[0]}, at {stale.began:%Y-%m-%d %H:%M:%SZ}; {why}",
            deployments=f"{name} {name}-cacher {name}-endpoint-builder",
            namespace=facts.installation.namespace,
        )


def _of_release(installation: Installation, facts: ConfigFacts) -> Iterator[Finding]:
    release = installation.release
    if release is None:
        if Part.CHART not in installation.whole and installation.lost:
            lost, why = installation.lost[0]
            yield R.RELEASE_NOT_READ.finding(f"{lost} could not be read: {why}", remedy=why.remediation)
        return
    if release.status == "failed":
        yield R.RELEASE_FAILED.finding(f"{release} failed: {release.description[:300]}", release=release.name)
    elif release.status.startswith("pending") and release.updated:
        age = facts.now - release.updated
        if age > PENDING_LONG:
            yield R.RELEASE_PENDING.finding(
                f"{release} has been {release.status} for {duration.show(timedelta(seconds=int(age.total_seconds())))}",
                release=release.name,
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
        found = reason.finding(
            f"ConfigMap {config.name} in namespace {config.namespace} {config.trouble}",
            namespace=config.namespace,
        )
        yield replace(found, explains=explains)
    if (
        own
        and endpoints
        and own.values is not None
        and endpoints.values is not None
        and own.values != endpoints.values
    ):
        one, other = dict(leaves(own.values)), dict(leaves(endpoints.values))
        paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
        more = f", and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
        yield R.CONFIG_MAPS_DIFFER.finding(
            f"ConfigMap {own.name} differs between the namespaces {own.namespace} and {endpoints.namespace}: "
            f"{', '.join(paths[:_MOST_NAMED])}{more}"
        )
