"""Section 7: security and compliance."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_START, critical, high, warning
from mehc_checks.checks.config.rules.rule import View, known, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import displayed

_POD: Final = "podSecurityContext"
_CONTAINER: Final = "containerSecurityContext"
_USER: Final = f"{_POD}.runAsUser"
_NON_ROOT: Final = f"{_POD}.runAsNonRoot"
_ESCALATION: Final = f"{_CONTAINER}.allowPrivilegeEscalation"
_READ_ONLY: Final = f"{_CONTAINER}.readOnlyRootFilesystem"
_GOVERNMENT: Final = re.compile(r"us-gov-|us-iso|usgov|usdod")
"""Regions of AWS and of Azure where FIPS is demanded."""
_RESTRICTED: Final = "restricted"
"""The pod security standard that asks for more than the chart sets."""
_DROPS: Final = (f"{_CONTAINER}.capabilities.drop", "serviceTemplate.securityContext.capabilities.drop")
_AS_ROOT: Final = (
    "A container escape from the gateway would run as root; Jobs and the autoscaler run as root anyway."
)

RUNS_AS_ROOT: Final = warning(
    "RunsAsRoot",
    _AS_ROOT,
    message="{path} is {value}: a container escape from the gateway would run as root",
    remedy=f"Set {_NON_ROOT} to true and {_USER} to a user of the image, for example 65532.",
)
ROOT_FORBIDDEN_BUT_CHOSEN: Final = critical(
    "RootForbiddenButChosen",
    "The kubelet starts no container of the control plane.",
    message=f"{{path}} is true, but {_USER} is 0: the kubelet starts no container of the control plane",
    remedy=f"Set {_USER} to a user of the image, for example 65532.",
    explains=NO_START,
)
PRIVILEGE_ESCALATION_ALLOWED: Final = warning(
    "PrivilegeEscalationAllowed",
    "A process of the gateway can gain more privileges than it was started with.",
    message="{path} is {value}: processes can gain privileges",
    remedy="Set {path} to false.",
)
MOUNTED_FILES_UNREADABLE: Final = warning(
    "MountedFilesUnreadable",
    "Processes cannot read files that are mounted for another group.",
    message="{path} is {value}, but runAsGroup is {group}: mounted files are not readable",
    remedy="Set {path} to {group}.",
)


@rule(
    "S7-01",
    title="the control plane does not run as root",
    reads=(_NON_ROOT, _USER, f"{_POD}.runAsGroup", f"{_POD}.fsGroup", _ESCALATION),
    faults=(
        RUNS_AS_ROOT,
        ROOT_FORBIDDEN_BUT_CHOSEN,
        PRIVILEGE_ESCALATION_ALLOWED,
        MOUNTED_FILES_UNREADABLE,
    ),
)
def not_root(view: View) -> Iterator[Finding]:
    if view.number(_USER) == 0:
        yield RUNS_AS_ROOT.at(_USER, value="0")
        if view.flag(_NON_ROOT):
            yield ROOT_FORBIDDEN_BUT_CHOSEN.at(_NON_ROOT)
    elif not view.flag(_NON_ROOT):
        yield RUNS_AS_ROOT.at(_NON_ROOT, value=view.text(_NON_ROOT) or "not set")
    if view.absent(_ESCALATION) or view.flag(_ESCALATION):
        yield PRIVILEGE_ESCALATION_ALLOWED.at(_ESCALATION, value=view.text(_ESCALATION) or "not set")
    group, files = view.text(f"{_POD}.runAsGroup"), view.text(f"{_POD}.fsGroup")
    if group and files and group != files:
        yield MOUNTED_FILES_UNREADABLE.at(f"{_POD}.fsGroup", value=files, group=group)


ROOT_FILESYSTEM_READ_ONLY: Final = high(
    "RootFilesystemReadOnly",
    "Builder and cacher cannot write /tmp/readyz, and never become ready.",
    message="{path} is true: builder and cacher cannot write /tmp/readyz and never become ready",
    remedy="Set {path} to false.",
    explains=(
        "ControlPlaneReady/BuilderNotReady",
        "ControlPlaneReady/CacherNotReady",
        "ControlPlaneReady/RolloutStuck",
    ),
)


@rule(
    "S7-02",
    title="the root filesystem can be written to",
    reads=(_READ_ONLY,),
    faults=(ROOT_FILESYSTEM_READ_ONLY,),
)
def writable_root(view: View) -> Iterator[Finding]:
    if view.flag(_READ_ONLY):
        yield ROOT_FILESYSTEM_READ_ONLY.at(_READ_ONLY)


CAPABILITY_NAME_WRONG: Final = warning(
    "CapabilityNameWrong",
    "Restricted pod security compares letter by letter, and rejects the pods.",
    message="{path} has {value}: restricted pod security accepts only ALL",
    remedy="Write ALL in capitals in {path}.",
)


@rule(
    "S7-03",
    title="capabilities are dropped by the name ALL",
    reads=_DROPS,
    faults=(CAPABILITY_NAME_WRONG,),
)
def dropped_capabilities(view: View) -> Iterator[Finding]:
    for path in _DROPS:
        if view.installed:
            enforced = view.facts.own_pod_security if path == _DROPS[0] else view.facts.pod_security
            if enforced is not None and enforced != _RESTRICTED:
                continue  # where any spelling does
        for item in view.items(path):
            if isinstance(item, str) and item.upper() == "ALL" and item != "ALL":
                yield CAPABILITY_NAME_WRONG.at(path, value=item)


INFRA_CONFIG_NOT_MOUNTED: Final = high(
    "InfraConfigNotMounted",
    "The main container lacks the cloud's configuration and fails at its first use.",
    message="{path} is {value}: inference pods lack the cloud's configuration",
    remedy="Set {path} to true.",
)


@rule(
    "S7-04",
    title="inference pods get the configuration",
    reads=(paths.MOUNT_INFRA_CONFIG,),
    faults=(INFRA_CONFIG_NOT_MOUNTED,),
)
def mounted_config(view: View) -> Iterator[Finding]:
    path = paths.MOUNT_INFRA_CONFIG
    if not view.flag(path):
        yield INFRA_CONFIG_NOT_MOUNTED.at(path, value=view.text(path) or "not set")


_NO_POD: Final = (
    "No pod of an endpoint is created: FailedCreate at its ReplicaSet, and nothing at the endpoint."
)
_NO_ACCOUNT: Final = (
    "VllmImagePullable/InferenceServiceAccountMissing",
    "EndpointsReady/ServiceAccountMissing",
)
INFERENCE_ACCOUNT_MISSING: Final = high(
    "InferenceAccountMissing",
    _NO_POD,
    message="namespace {namespace} has no ServiceAccount {value}: no pod of an endpoint is created",
    remedy="Run kubectl create serviceaccount {value} -n {namespace}.",
    explains=_NO_ACCOUNT,
)
INFERENCE_ACCOUNT_NOT_CREATED: Final = high(
    "InferenceAccountNotCreated",
    f"{_NO_POD} The chart creates the ServiceAccount only with createServiceAccount, a name and an annotation.",
    message="{path} is {value}, so the chart does not create the ServiceAccount {account}",
    remedy="Set {path}, or create the ServiceAccount {account} in the endpoint namespace yourself.",
    explains=_NO_ACCOUNT,
)


@rule(
    "S7-05",
    title="the ServiceAccount of inference pods exists",
    reads=(paths.INFERENCE_ACCOUNT_CREATE, paths.INFERENCE_ACCOUNT, paths.INFERENCE_ACCOUNT_ANNOTATIONS),
    faults=(INFERENCE_ACCOUNT_MISSING, INFERENCE_ACCOUNT_NOT_CREATED),
)
def inference_account(view: View) -> Iterator[Finding]:
    name = view.inference_account
    if name in ("", "default"):  # which every namespace has
        return
    if view.installed:
        for where, exists in view.facts.service_accounts.items():
            namespace, _, account = where.partition("/")
            if account == name and not exists:
                yield INFERENCE_ACCOUNT_MISSING.at(paths.INFERENCE_ACCOUNT, value=name, namespace=namespace)
        if view.facts.service_accounts:
            return
        known(None, "the ServiceAccounts of the endpoint namespace")
    create, annotations = paths.INFERENCE_ACCOUNT_CREATE, paths.INFERENCE_ACCOUNT_ANNOTATIONS
    if not view.flag(create):
        yield INFERENCE_ACCOUNT_NOT_CREATED.at(create, value=view.text(create) or "not set", account=name)
    elif not view.table(annotations) and view.seen(annotations):
        yield INFERENCE_ACCOUNT_NOT_CREATED.at(annotations, value="empty", account=name)


SHA256_OFF_UNDER_FIPS: Final = warning(
    "SHA256OffUnderFIPS",
    "Results in S3 are checked by SHA-1, which a FIPS build of OpenSSL rejects. No drain of queues is needed: the "
    "setting is about the checksum of results.",
    message="{path} is off in {value}, a government region: results are checked by SHA-1, which FIPS forbids",
    remedy="Set {path} to true.",
)


@rule(
    "S7-06",
    title="celery_enable_sha256 is on where FIPS demands it",
    reads=(paths.CELERY_ENABLE_SHA256, paths.DEFAULT_REGION),
    faults=(SHA256_OFF_UNDER_FIPS,),
)
def fips(view: View) -> Iterator[Finding]:
    if _GOVERNMENT.match(view.region) and not view.flag(paths.CELERY_ENABLE_SHA256):
        yield SHA256_OFF_UNDER_FIPS.at(paths.CELERY_ENABLE_SHA256, value=view.region)


ENDPOINT_PODS_DENIED: Final = critical(
    "EndpointNamespaceRestricted",
    "No pod of an endpoint is created: its http-forwarder has no securityContext, whatever the values say.",
    message="namespace {value} enforces pod security restricted: no pod of an endpoint is created",
    remedy="Run kubectl label namespace {value} --overwrite pod-security.kubernetes.io/enforce=baseline.",
    explains=("EndpointsReady/PodSecurityDenied",),
)


@rule(
    "S7-07",
    title="the endpoint namespace admits the pods of endpoints",
    reads=(paths.ENDPOINT_NAMESPACE,),
    faults=(ENDPOINT_PODS_DENIED,),
    needs_cluster=True,
)
def pod_security(view: View) -> Iterator[Finding]:
    enforced = known(view.facts.pod_security, "the labels of the endpoint namespace")
    if enforced == _RESTRICTED:
        yield ENDPOINT_PODS_DENIED.at(paths.ENDPOINT_NAMESPACE, value=view.endpoint_namespace)


CONTROL_PLANE_NOT_ADMITTED: Final = critical(
    "ControlPlaneNotAdmitted",
    "No new pod of the gateway, the builder or the cacher is created: the namespace's pod security rejects them.",
    message="namespace {namespace} enforces pod security restricted, but {path} is {value}: no new pod is created",
    remedy="Set {path} to {wanted}, or run kubectl label namespace {namespace} --overwrite "
    "pod-security.kubernetes.io/enforce=baseline.",
    explains=NO_START,
)


@rule(
    "S7-08",
    title="the gateway's namespace admits the control plane",
    reads=(_NON_ROOT, _ESCALATION, _DROPS[0], f"{_POD}.seccompProfile.type"),
    faults=(CONTROL_PLANE_NOT_ADMITTED,),
    needs_cluster=True,
)
def own_pod_security(view: View) -> Iterator[Finding]:
    if known(view.facts.own_pod_security, "the labels of the gateway's namespace") != _RESTRICTED:
        return
    seccomp = f"{_POD}.seccompProfile.type"
    own = f"{_CONTAINER}.seccompProfile.type"
    demands = (
        (_NON_ROOT, view.raw(_NON_ROOT) is True, "true"),
        (_ESCALATION, view.raw(_ESCALATION) is False, "false"),
        (_DROPS[0], "ALL" in view.items(_DROPS[0]), "[ALL]"),
        (seccomp, bool(view.text(seccomp) or view.text(own)), "RuntimeDefault"),
    )
    for path, met, wanted in demands:
        if not met and view.seen(path):
            yield CONTROL_PLANE_NOT_ADMITTED.at(
                path,
                namespace=view.facts.namespace,
                value=displayed(view.raw(path)) or "not set",
                wanted=wanted,
            )
