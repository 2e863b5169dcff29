"""Section 7: security and compliance."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import INFRA, NO_START, Broken, View, known, rule
from mehc_checks.core.outcome import Severity

_POD: Final = "podSecurityContext"
_CONTAINER: Final = "containerSecurityContext"
_GOVERNMENT: Final = re.compile(r"us-gov-|us-iso|usgov|usdod")
"""Regions of AWS and of Azure where FIPS is demanded."""
_DROPS: Final = (f"{_CONTAINER}.capabilities.drop", "serviceTemplate.securityContext.capabilities.drop")


@rule(
    "S7-01",
    title="the control plane does not run as root",
    severity=Severity.WARNING,
    reads=(
        f"{_POD}.runAsNonRoot",
        f"{_POD}.runAsUser",
        f"{_POD}.runAsGroup",
        f"{_POD}.fsGroup",
        f"{_CONTAINER}.allowPrivilegeEscalation",
    ),
    consequence="A break-out from the gateway is one from root; a namespace with restricted pod security refuses the "
    "pods.",
    remedy="Set podSecurityContext.runAsNonRoot to true, with a runAsUser that the image has, and "
    "containerSecurityContext.allowPrivilegeEscalation to false. Jobs and the autoscaler ignore both.",
    explains=NO_START,
)
def not_root(view: View) -> Iterator[Broken]:
    user = view.number(f"{_POD}.runAsUser")
    if user == 0:
        yield Broken(path=f"{_POD}.runAsUser", message="is 0, root")
        if view.flag(f"{_POD}.runAsNonRoot"):
            yield Broken(
                path=f"{_POD}.runAsNonRoot",
                message=f"is true, while {_POD}.runAsUser is 0: the kubelet refuses every container",
                severity=Severity.CRITICAL,
            )
    elif not view.flag(f"{_POD}.runAsNonRoot"):
        yield Broken(
            path=f"{_POD}.runAsNonRoot", message=f"is {view.text(f'{_POD}.runAsNonRoot') or 'not set'}"
        )
    path = f"{_CONTAINER}.allowPrivilegeEscalation"
    if view.absent(path) or view.flag(path):
        yield Broken(path=path, message=f"is {view.text(path) or 'not set'}")
    group, files = view.text(f"{_POD}.runAsGroup"), view.text(f"{_POD}.fsGroup")
    if group and files and group != files:
        yield Broken(
            path=f"{_POD}.fsGroup",
            message=f"is {files}, runAsGroup is {group}: mounted files are not readable",
        )


@rule(
    "S7-02",
    title="the root filesystem can be written to",
    severity=Severity.HIGH,
    reads=(f"{_CONTAINER}.readOnlyRootFilesystem",),
    consequence="Builder and cacher cannot write /tmp/readyz, and never become ready.",
    remedy="Set containerSecurityContext.readOnlyRootFilesystem to false.",
    explains=(
        "ControlPlaneReady/BuilderNotReady",
        "ControlPlaneReady/CacherNotReady",
        "ControlPlaneReady/RolloutStuck",
    ),
)
def writable_root(view: View) -> Iterator[Broken]:
    path = f"{_CONTAINER}.readOnlyRootFilesystem"
    if view.flag(path):
        yield Broken(path=path, message="is true")


@rule(
    "S7-03",
    title="capabilities are dropped by the name ALL",
    severity=Severity.WARNING,
    reads=_DROPS,
    consequence="Restricted pod security compares letter by letter, and refuses the pods.",
    remedy="Write ALL in capitals. The values reference and the sample have all for inference pods.",
)
def dropped_capabilities(view: View) -> Iterator[Broken]:
    for path in _DROPS:
        for item in view.items(path):
            if isinstance(item, str) and item.upper() == "ALL" and item != "ALL":
                yield Broken(path=path, message=f"has {item}, not ALL")


@rule(
    "S7-04",
    title="inference pods get the configuration",
    severity=Severity.HIGH,
    reads=("serviceTemplate.mountInfraConfig",),
    consequence="The main container lacks the cloud's configuration and fails at its first use.",
    remedy="Set serviceTemplate.mountInfraConfig to true.",
)
def mounted_config(view: View) -> Iterator[Broken]:
    path = "serviceTemplate.mountInfraConfig"
    if not view.flag(path):
        yield Broken(path=path, message=f"is {view.text(path) or 'not set'}")


@rule(
    "S7-05",
    title="the ServiceAccount of inference pods exists",
    severity=Severity.HIGH,
    reads=(
        "serviceTemplate.createServiceAccount",
        "serviceTemplate.serviceAccountName",
        "serviceTemplate.serviceAccountAnnotations",
    ),
    consequence="No pod of an endpoint is created: FailedCreate at its ReplicaSet, and nothing at the endpoint.",
    remedy="Set createServiceAccount to true, a name and at least one annotation: the chart makes the "
    "ServiceAccount only "
    "where it has all three. Or create it yourself in the endpoint namespace.",
    explains=("VllmImagePullable/InferenceServiceAccountMissing", "EndpointsReady/ServiceAccountMissing"),
)
def inference_account(view: View) -> Iterator[Broken]:
    name = view.text("serviceTemplate.serviceAccountName")
    if not name:
        return
    if view.installed:
        for where, exists in view.facts.service_accounts.items():
            if where.endswith(f"/{name}") and not exists:
                namespace = where.partition("/")[0]
                yield Broken(
                    path="serviceTemplate.serviceAccountName",
                    message=f"is {name}, and namespace {namespace} has no such ServiceAccount",
                )
        if view.facts.service_accounts:
            return
        known(None, "the ServiceAccounts of the endpoint namespace")
    create = "serviceTemplate.createServiceAccount"
    annotations = "serviceTemplate.serviceAccountAnnotations"
    if not view.flag(create):
        yield Broken(path=create, message=f"is {view.text(create) or 'not set'}, and the name is {name}")
    elif not view.table(annotations) and view.seen(annotations):
        yield Broken(path=annotations, message="is empty, so the chart makes no ServiceAccount")


@rule(
    "S7-06",
    title="celery_enable_sha256 is set where FIPS demands it",
    severity=Severity.WARNING,
    reads=("celery_enable_sha256", f"{INFRA}.default_region"),
    consequence="Results in S3 are checked by SHA-1, which a FIPS build of OpenSSL refuses.",
    remedy="Set celery_enable_sha256 to true. No drain of queues is needed, as the values reference says it is: the "
    "setting is about the checksum of results, not about the signing of tasks.",
)
def fips(view: View) -> Iterator[Broken]:
    region = view.text(f"{INFRA}.default_region")
    path = "celery_enable_sha256"
    if _GOVERNMENT.match(region) and not view.flag(path):
        yield Broken(path=path, message=f"is not on, and {region} is a region of the government")
