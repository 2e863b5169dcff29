"""What ConfigValid finds besides broken rules: the release, the live objects, and how they differ."""

from typing import Final

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.core.outcome import Reason, ReasonSet, Severity, Status


class DiscoveryReasons(ReasonSet):
    """Of the release and its live objects."""

    CONFIG_VALID = Reason(
        "ConfigValid",
        Status.PASS,
        "No rule is broken, and what runs has the configuration of the release.",
        message="{rules} rules hold{ignored}",
    )
    CHART_NEWER = Reason(
        "ChartNewer",
        Status.WARN,
        "The installation is of a chart that mehc does not know yet: keys and fields can mean something else in it, so "
        "broken rules only warn.",
        "Upgrade the operator to a version that knows this chart. Until then, hold what ConfigValid finds against the "
        "chart's own values.yaml.",
        message="{platform} is newer than {newest}, the newest that mehc knows: broken rules only warn",
    )
    CHART_OLDER = Reason(
        "ChartOlder",
        Status.WARN,
        "Rules about keys and fields are broken, and the chart is older than the one that these rules are from. It can "
        "need fewer, so they only warn.",
        "Compare what ConfigValid finds with the values.yaml of the installed chart, or upgrade to {known}.",
        message="{platform} is older than {known}, whose keys and fields mehc knows: rules about them only warn",
    )
    RELEASE_FAILED = Reason(
        "ReleaseFailed",
        Status.FAIL,
        "Helm marked the newest revision as failed: part of it can be in the cluster.",
        "Fix the error in the message and run helm upgrade {release} -n {namespace} again. helm rollback alone leaves "
        "the service ConfigMap as it is: its hooks run at install and upgrade only.",
        message="{revision} failed: {description}",
    )
    RELEASE_PENDING = Reason(
        "ReleasePending",
        Status.FAIL,
        "An install, upgrade or rollback started long ago and never ended: the process that ran it was interrupted.",
        "Make sure that no helm process is running, run helm rollback {release} -n {namespace} to the last good "
        "revision, then helm upgrade: a rollback leaves the service ConfigMap as it is.",
        message="{revision} has been {state} for {age}",
    )
    CONFIG_MAP_MISSING = Reason(
        "ConfigMapMissing",
        Status.FAIL,
        "A namespace whose pods mount the service ConfigMap does not have it: they stay in ContainerCreating.",
        "Create the namespace {namespace} if it is missing, then run helm upgrade, whose hooks create {name}.",
        message="ConfigMap {name} in namespace {namespace} {trouble}: pods that mount it stay in ContainerCreating",
    )
    CONFIG_MAP_UNREADABLE = Reason(
        "ConfigMapUnreadable",
        Status.FAIL,
        "The platform's processes cannot read the service ConfigMap, so none of them starts.",
        "Run helm upgrade, which writes ConfigMap {name} in namespace {namespace} again; do not edit it by hand.",
        message="ConfigMap {name} in namespace {namespace} {trouble}",
    )
    CONFIG_MAPS_DIFFER = Reason(
        "ConfigMapsDiffer",
        Status.WARN,
        "The control plane and endpoint pods are configured differently.",
        "Run helm upgrade, which writes {name} in both namespaces, then restart the pods that run with the old one.",
        message="{path} differs between ConfigMap {name} of namespace {one} and that of namespace {other}",
    )
    DRIFT = Reason(
        "Drift",
        Status.WARN,
        "The cluster has another configuration than the release: it was changed by hand, or the release was rolled "
        "back, which leaves the service ConfigMap as it is.",
        "Put the live values into the values of the release, or run helm upgrade to overwrite them.",
        message="{path} is {live} in {where}, but {given} in the release",
    )
    FRAMEWORK_TAG_DRIFT = Reason(
        "FrameworkTagDrift",
        Status.WARN,
        "The ConfigMap with the frameworks' tags has another tag than the release: the chart creates it at the first "
        "install only, so helm upgrade does not change it. Requests without a tag get the live one.",
        "Run kubectl patch configmap {config_map} -n {namespace} --type merge -p '{patch}'.",
        message="{path} is {live} in ConfigMap {config_map}, but {given} in the release",
    )
    PODS_OLDER_THAN_CONFIG = Reason(
        "PodsOlderThanConfig",
        Status.WARN,
        "Pods run with an older configuration than the ConfigMap has: processes read it only at their start.",
        "Run kubectl rollout restart deployment {deployments} -n {namespace}.",
        message="{pods} started before the configuration changed at {changed}; the oldest, {first}, at {began}{what}",
    )
    RELEASE_NOT_READ = Reason(
        "ReleaseNotRead",
        Status.ERROR,
        "The values of the Helm release could not be read, so most rules could not be judged.",
        "{fix} Without that, give the chart's values in spec.valuesFrom.",
        message="could not read {lost}: {detail}",
    )
    RULE_CRASHED = Reason(
        "RuleCrashed",
        Status.ERROR,
        "A rule crashed, which says nothing about the installation.",
        "Report rule {rule} and the error {error} as a defect of mehc.",
        message="rule {rule} crashed ({error})",
    )


AS_RELEASED: Final = (
    "Run helm upgrade, which writes {drift.where} again: the release has {drift.given} for {drift.path}, and a "
    "rollback leaves the ConfigMap as it is."
)
"""The remedy of a broken rule whose value only the live object has."""
R = DiscoveryReasons
ConfigReasons: type[ReasonSet] = type(
    "ConfigReasons",
    (DiscoveryReasons,),
    {
        fault.name: fault
        for rule in all_rules().values()
        for fault in rule.faults
        if fault.severity is not Severity.INFO
    },
)
"""With every fault of every rule but those that only inform."""
