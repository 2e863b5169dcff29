"""Why the API server refuses a pod that a ReplicaSet or StatefulSet wants to make.

Sources: the admission plugins of ``kubernetes/plugin/pkg/admission`` and ``apiserver/pkg/admission`` (Kubernetes 1.20
to 1.36), as their words stand in Events FailedCreate and in the condition ReplicaFailure.
"""

import re
from dataclasses import dataclass
from typing import Final

from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import EndpointReasons as R


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why, and in words that name what is concerned."""

    reason: Reason
    message: str


_RULES: Final = (
    (
        re.compile(r"error looking up service account [^/\s]+/(?P<name>[^:\s]+)"),
        R.SERVICE_ACCOUNT_MISSING,
        "ServiceAccount {name} does not exist",
    ),
    (
        re.compile(r'[Ss]ervice ?account "?(?P<name>[^"\s]+)"? (?:was )?not found'),
        R.SERVICE_ACCOUNT_MISSING,
        "ServiceAccount {name} does not exist",
    ),
    (
        re.compile(r"no PriorityClass with name (?P<name>\S+) was found"),
        R.PRIORITY_CLASS_MISSING,
        "PriorityClass {name} does not exist",
    ),
    (
        re.compile(
            r"[Ee]xceeded quota: (?P<name>[^,\s]+), requested: (?P<asked>.+?), used: (?P<used>.+?), "
            r"limited: (?P<limit>.+)$"
        ),
        R.QUOTA_EXCEEDED,
        "quota {name} is used up: {asked} requested, {used} used of {limit}",
    ),
    (
        re.compile(r"[Ff]ailed quota: (?P<name>[^:\s]+): must specify (?P<asked>.+)$"),
        R.QUOTA_EXCEEDED,
        "quota {name} wants that the pod specifies {asked}",
    ),
    (
        re.compile(r"insufficient quota to match these scopes: (?P<name>.+)$"),
        R.QUOTA_EXCEEDED,
        "no quota allows pods of scope {name}",
    ),
    (
        re.compile(r'violates PodSecurity "(?P<name>[^"]+)": (?P<asked>.+)$'),
        R.POD_SECURITY,
        "it violates pod security {name}: {asked}",
    ),
    (
        re.compile(
            r"unable to validate against any (?P<name>(?:pod )?security (?:policy|context constraint))"
        ),
        R.POD_SECURITY,
        "no {name} allows it",
    ),
    (
        re.compile(
            r"(?P<asked>(?:minimum|maximum) \S+ usage per \S+ is [^,\]]+|\S+ max limit to request ratio[^,\]]+)"
        ),
        R.LIMIT_RANGE,
        "{asked}",
    ),
    (
        re.compile(r'failed calling (?:admission )?webhook "(?P<name>[^"]+)": (?P<asked>.+)$'),
        R.WEBHOOK_UNREACHABLE,
        "webhook {name} does not answer: {asked}",
    ),
    (
        re.compile(
            r'admission webhook "(?P<name>[^"]+)" denied the request(?: without explanation)?:? ?(?P<asked>.*)$'
        ),
        R.WEBHOOK_DENIED,
        "webhook {name} denies it: {asked}",
    ),
    (
        re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'.* denied request: (?P<asked>.+)$"),
        R.WEBHOOK_DENIED,
        "policy {name} denies it: {asked}",
    ),
)


def read(message: str) -> Refusal:
    """Name the refusal; one that is not known is for another reason, in its own words, shortened."""
    text = " ".join(message.split())
    for words, reason, says in _RULES:
        if match := words.search(text):
            named = {
                key: shortened(value or "", 160).rstrip(" :") for key, value in match.groupdict().items()
            }
            return Refusal(reason=reason, message=says.format(**named).rstrip(" :"))
    said = re.sub(r'^(?:Error creating: )?(?:pods? "[^"]*" is (?:forbidden|invalid): )?', "", text)
    return Refusal(reason=R.CREATION_FAILED, message=shortened(said))
