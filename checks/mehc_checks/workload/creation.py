"""Why the API server refuses a pod that a ReplicaSet or StatefulSet is to make.

Sources: the admission plugins of ``kubernetes/plugin/pkg/admission`` and ``apiserver/pkg/admission`` (Kubernetes 1.20
to 1.36), as their words are quoted in Events FailedCreate and in the condition ReplicaFailure.
"""

import re
from typing import Final

from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

_RULES: Final = (
    (re.compile(r"error looking up service account [^/\s]+/(?P<name>[^:\s]+)"), R.SERVICE_ACCOUNT_MISSING),
    (
        re.compile(r'[Ss]ervice ?account "?(?:[\w.-]+/)?(?P<name>[^"\s]+)"? (?:was )?not found'),
        R.SERVICE_ACCOUNT_MISSING,
    ),
    (re.compile(r"no PriorityClass with name (?P<name>\S+) was found"), R.PRIORITY_CLASS_MISSING),
    (
        re.compile(
            r"[Ee]xceeded quota: (?P<name>[^,\s]+), (?P<detail>requested: .+?, used: .+?, limited: .+)$"
        ),
        R.QUOTA_EXCEEDED,
    ),
    (re.compile(r"[Ff]ailed quota: (?P<name>[^:\s]+): (?P<detail>must specify .+)$"), R.QUOTA_EXCEEDED),
    (re.compile(r"(?P<detail>insufficient quota to match these scopes: .+)$"), R.QUOTA_EXCEEDED),
    (re.compile(r'violates (?P<name>PodSecurity "[^"]+"): (?P<detail>.+)$'), R.POD_SECURITY),
    (
        re.compile(r"(?P<name>PodSecurityPolicy): unable to admit pod: (?P<detail>.+)$"),
        R.POD_SECURITY,
    ),
    (
        re.compile(
            r"unable to validate against any (?P<name>(?:pod )?security (?:policy|context constraint))"
        ),
        R.POD_SECURITY,
    ),
    (
        re.compile(
            r"(?P<detail>(?:minimum|maximum) \S+ usage per \S+ is [^,\]]+|\S+ max limit to request ratio[^,\]]+)"
        ),
        R.LIMIT_RANGE,
    ),
    (
        re.compile(r'failed calling (?:admission )?webhook "(?P<name>[^"]+)": (?P<detail>.+)$'),
        R.WEBHOOK_UNREACHABLE,
    ),
    (
        re.compile(
            r'admission (?P<name>webhook "[^"]+") denied the request(?: without explanation)?:? ?(?P<detail>.*)$'
        ),
        R.WEBHOOK_DENIED,
    ),
    (
        re.compile(r"(?P<name>ValidatingAdmissionPolicy '[^']+').* denied request: (?P<detail>.+)$"),
        R.WEBHOOK_DENIED,
    ),
)


def read(message: str) -> Trouble:
    """Name the refusal; one that is not known is for another reason, in its own words, shortened."""
    text = " ".join(message.split())
    for pattern, reason in _RULES:
        if match := pattern.search(text):
            words = {
                key: shortened(value, 160).rstrip(" :") for key, value in match.groupdict().items() if value
            }
            return Trouble(reason=reason, words=words)
    said = re.sub(r'^(?:Error creating: )?(?:pods? "[^"]*" is (?:forbidden|invalid): )?', "", text)
    return Trouble(reason=R.CREATION_FAILED, words={"detail": shortened(said)})
