"""Where a probe run looks from: what only the cluster can reach or trust is no failure seen from outside.

A laptop resolves no Service name, has no route into a private network, and lacks the authorities that the platform's
images trust. What fails so from outside says nothing about the installation: it is Unknown, and says how to find out.
"""

from dataclasses import replace
from typing import Final

from mehc_checks.clients.network.place import only_inside
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.clients.registry.reasons import RegistryReasons
from mehc_checks.core.outcome import Finding, Outcome, Status, worst_first
from mehc_checks.engine.reasons import RunnerReasons

_BY_PLACE: Final = frozenset(
    {
        NetworkReasons.HOST_UNRESOLVABLE,
        NetworkReasons.DNS_TIMEOUT,
        NetworkReasons.HOST_UNREACHABLE,
        NetworkReasons.CONNECTION_TIMEOUT,
        NetworkReasons.TLS_UNTRUSTED,
        RegistryReasons.TOKEN_SERVICE_UNREACHABLE,
        RegistryReasons.LAYER_STORE_UNREACHABLE,
    }
)
"""What depends on the place for any address: private zones of DNS, firewalls, and authorities of one's own."""


def seen_from_outside(outcome: Outcome, namespace: str = "") -> Outcome:
    """``outcome`` of a probe run outside the cluster: what is found wrong and may be so only here is Unknown."""
    findings = tuple(_placed(found, namespace) for found in outcome.findings)
    if findings == outcome.findings:
        return outcome
    return replace(outcome, findings=tuple(worst_first(findings)))


def _placed(found: Finding, namespace: str) -> Finding:
    host = found.words.get("host")
    if found.status not in (Status.FAIL, Status.WARN) or not isinstance(host, str):
        return found
    if found.reason not in _BY_PLACE and not (
        found.reason in tuple(NetworkReasons.all()) and only_inside(host)
    ):
        return found
    return RunnerReasons.NOT_TESTABLE_FROM_HERE(
        subject=found.subject,
        severity=found.severity,
        detail=found.message,
        namespace=namespace or "NAMESPACE",
    )
