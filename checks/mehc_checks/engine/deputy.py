"""What is told of a server that only the resource names: whether it answers as it should, and not how it does not.

Refused, timed out, no TLS: who may write a resource would have the operator scan the cluster's network.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import unquote, urlsplit

from mehc_checks.clients.http.reasons import HttpReasons
from mehc_checks.clients.network.place import is_loopback, only_inside
from mehc_checks.clients.network.reasons import CertificateReasons, NetworkReasons
from mehc_checks.clients.postgres.reasons import PostgresReasons
from mehc_checks.clients.prometheus.reasons import PrometheusApiReasons
from mehc_checks.clients.redis.reasons import RedisServerReasons
from mehc_checks.clients.registry.reasons import RegistryReasons
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.core.outcome import Finding, Outcome, Reason, Status, worst_first
from mehc_checks.engine.check import Scope
from mehc_checks.engine.reasons import RunnerReasons
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import gateway_environment, is_named
from mehc_checks.installation.proof import has

_OF_SERVERS: Final = frozenset(
    reason.name
    for family in (
        HttpReasons,
        CertificateReasons,
        PostgresReasons,
        PrometheusApiReasons,
        RedisServerReasons,
        RegistryReasons,
    )
    for reason in family.all()
) | {"RegistryClosedToGateway"}
"""Reasons that tell what is at an address, if only that nothing is."""
_OF_REGISTRIES: Final = frozenset(RegistryReasons.all()) - frozenset(NetworkReasons.all())
_NAMING: Final = ("service", "store", "host", "address", "url")
"""Words that have hosts."""

_OF_KUBELETS: Final = (Scope.CONTROL_PLANE, Scope.ENDPOINTS)
"""What these checks find out about servers, kubelets told them of pods that are there."""


async def withheld(outcome: Outcome, context: Context, scope: Scope) -> Outcome:
    """``outcome`` of values that may be anyone's, without details about addresses that only they name."""
    if not context.is_deputy:
        return outcome
    findings = [await _withheld(found, context, scope) for found in outcome.findings]
    if findings == [*outcome.findings]:
        return outcome
    return replace(outcome, findings=tuple(worst_first(findings)), evidence={})


async def _withheld(found: Finding, context: Context, scope: Scope) -> Finding:
    if found.status in (Status.PASS, Status.SKIP):
        return found
    hosts = [*_inner(found.words), *(() if scope in _OF_KUBELETS else _hosts(found.reason, found.words))]
    try:
        for host in hosts:
            if await _is_private_or_given(host, context) and not await is_named(context, host):
                return RunnerReasons.ADDRESS_NOT_VERIFIED(
                    subject=found.subject, host=host, namespace=context.namespace
                )
    except CannotEvaluate as problem:  # what is live was not read
        return problem.finding(subject=found.subject)
    return found


def _hosts(reason: Reason, words: Mapping[str, object]) -> Iterator[str]:
    """The hosts that a finding, or a problem, tells something of; of a registry, not those to which it sends clients.

    A loopback address is none: the administrator says whether that may be asked at all.
    """
    if reason.name not in _OF_SERVERS:
        return
    found = {
        word: [host for text in str(words.get(word, "")).split(",") if (host := _host(text))]
        for word in _NAMING
    }
    own = found["host"] if reason in _OF_REGISTRIES else []
    outside = [host for host in own if not is_loopback(host)]
    yield from outside or (host for each in found.values() for host in each if not is_loopback(host))


def _inner(words: Mapping[str, object]) -> Iterator[str]:
    """Those of the problems that ``words`` quote."""
    for word in words.values():
        if isinstance(word, Problem):
            yield from _hosts(word.reason, word.words)
            yield from _inner(word.words)


def _host(text: str) -> str:
    """Of a URL or an address with or without a port."""
    try:
        return urlsplit(_plain(text) if "://" in text else f"//{_plain(text)}").hostname or ""
    except ValueError:
        return text


async def _is_private_or_given(host: str, context: Context) -> bool:
    """Whether the values, or a server of theirs, may have chosen ``host``."""
    environment = await context.gather(gateway_environment)
    given = "\n".join([context.given, *(() if environment.is_live else environment.known.values())])
    plain = _plain(given)
    return only_inside(host) or has(plain, host) or has(unquote(plain), host)


def _plain(text: str) -> str:
    """As resolvers read a name: full-width letters and dots are those of ASCII."""
    return unicodedata.normalize("NFKC", text).replace("\u3002", ".").lower()
