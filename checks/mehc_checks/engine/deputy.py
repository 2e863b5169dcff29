"""What is told of a server that only the resource names: whether it answers as it should, and not how it does not.

Refused, timed out, no TLS: who may write a resource would have the operator scan the cluster's network.
"""

import ipaddress
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, urlsplit

from mehc_checks.clients.http.reasons import HttpReasons
from mehc_checks.clients.network.place import only_inside
from mehc_checks.core.errors import MehcError
from mehc_checks.core.outcome import Finding, Outcome, Status, worst_first
from mehc_checks.engine.reasons import RunnerReasons
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import gateway_environment
from mehc_checks.installation.proof import has

_OF_SERVERS: Final = frozenset(
    {
        *(reason.name for reason in HttpReasons.all()),
        *("NotRedis", "NotPostgreSQL", "NotPrometheus", "NotARegistry", "PathNotFound"),
        *("TokenServiceUnreachable", "LayerStoreUnreachable", "LayerStoreError", "RegistryClosedToGateway"),
    }
)
"""Reasons that tell what is at an address, if only that nothing is."""


async def withheld(outcome: Outcome, context: Context) -> Outcome:
    """``outcome`` of values that may be anyone's, without details about addresses that only they name."""
    if not context.is_deputy:
        return outcome
    hosts = {host for found in outcome.findings if (host := _host(found))}
    unnamed = await _unnamed(hosts, context) if hosts else frozenset()
    if not unnamed:
        return outcome
    findings = [
        RunnerReasons.ADDRESS_NOT_VERIFIED(subject=found.subject, host=host, namespace=context.namespace)
        if (host := _host(found)) in unnamed
        else found
        for found in outcome.findings
    ]
    return replace(outcome, findings=tuple(worst_first(findings)), evidence={})


def _host(found: Finding) -> str:
    """The host that a finding tells something of, "" where it does not."""
    if found.reason.name not in _OF_SERVERS or found.status in (Status.PASS, Status.SKIP):
        return ""
    named = [found.words[key] for key in ("service", "store", "host", "address") if key in found.words]
    try:
        host = urlsplit(f"//{named[0]}").hostname or "" if named else ""
    except ValueError:
        host = str(named[0])
    return "" if _is_loopback(host) else host


async def _unnamed(hosts: set[str], context: Context) -> frozenset[str]:
    """Those of ``hosts`` that the values, or a server of theirs, may have chosen."""
    proof, known = await context.proof(), ""
    if proof.is_live:
        try:
            known = "\n".join((await context.gather(gateway_environment)).known.values()).lower()
        except MehcError:
            known = ""
    given = context.given.lower()
    return frozenset(
        host
        for host in hosts
        if not proof.names(host)
        and not has(known, host)
        and (only_inside(host) or has(given, host) or has(unquote(given), host))
    )


def _is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: the administrator says whether that may be asked at all."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
