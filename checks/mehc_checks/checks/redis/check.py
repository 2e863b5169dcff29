"""RedisReachable: cache, broker and KEDA each connect to their Redis with the configured TLS and credentials."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from mehc_checks.checks.redis.facts import Answer, RedisFacts, RedisParameters
from mehc_checks.checks.redis.reasons import RedisReasons
from mehc_checks.clients.kubernetes.reasons import incomplete
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import counted
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import Scope, check
from mehc_checks.modelengine.redis import Path

R = RedisReasons
_NOT_RESTORED: Final = ": tasks of a builder that is killed are not restored"
_EXPIRES_SOON: Final = timedelta(days=14)


@check(
    "RedisReachable",
    title="Redis is reachable with the configured TLS and credentials",
    severity=Severity.CRITICAL,
    scope=Scope.REDIS,
    reasons=RedisReasons,
    parameters=RedisParameters,
    asks=[Kind.REDIS],
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps"),
        Permission(resource="deployments", group="apps", followed=True),
        Permission(resource="services"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="triggerauthentications", group="keda.sh", scope="endpoints", followed=True),
    ),
)
def redis_reachable(facts: RedisFacts) -> Outcome:
    """Judge each connection, and where the cache's address is from."""
    found = [finding for answer in facts.answers for finding in _judged(answer, facts)]
    unseen = [incomplete(facts.unseen)] if facts.unseen else []
    return Outcome.of([*_sources(facts), *found, *unseen], evidence=_evidence(facts))


def _sources(facts: RedisFacts) -> Iterator[Finding]:
    used = next((each.connection.source for each in facts.answers if each.connection.path is Path.CACHE), "")
    others = [path for path in facts.sources if path != used]
    if others and used in facts.sources:
        yield R.SEVERAL_SOURCES(subject=str(Path.CACHE), source=used, others=" and ".join(others))


def _judged(answer: Answer, facts: RedisFacts) -> Iterator[Finding]:
    """The findings of one connection; at least one."""
    connection = answer.connection
    server, path = connection.server, connection.name

    def found(problem: Problem) -> Finding:
        return problem.finding(subject=path, **{**connection.words, **problem.words})

    address = f"{server.host}:{server.port}" if server else ""
    if answer.problem:
        meant = connection.means.get(answer.problem.reason, answer.problem)
        yield found(meant if isinstance(meant, Problem) else Problem(meant, **_words(answer)))
    elif connection.problem:
        yield found(connection.problem)
    elif answer.cluster:
        yield found(Problem(R.CLUSTER_MODE, address=address))
    else:
        yield R.REACHABLE(subject=path, path=path, server=server)
        yield from _oddities(answer, path, address)
    if server and answer.not_after and answer.not_after - facts.now < _EXPIRES_SOON:
        left = counted(max(0, (answer.not_after - facts.now).days), "day")
        yield found(Problem(R.TLS_EXPIRES_SOON, address=address, days=left))


def _words(answer: Answer) -> dict[str, Any]:
    return {**answer.connection.words, **(answer.problem.words if answer.problem else {})}


def _oddities(answer: Answer, path: str, address: str) -> Iterator[Finding]:
    """What works and should not stay so."""
    if answer.later:
        words = {**answer.connection.words, **answer.later.words, "consequence": _NOT_RESTORED}
        yield answer.later.reason(subject=path, status=Status.WARN, **words)
    if answer.open_to_all:
        yield R.AUTH_NOT_ENFORCED(subject=path, path=path, address=address)
    if answer.connection.path is Path.BROKER and answer.max_memory and answer.policy.startswith("allkeys"):
        yield R.EVICTING_BROKER(subject=path, address=address, policy=answer.policy)


def _evidence(facts: RedisFacts) -> Evidence:
    evidence: dict[str, str | int | float | bool | None] = {}
    for answer in facts.answers:
        connection = answer.connection
        name = f"{connection.component}{connection.path.title()}" if connection.component else connection.path
        evidence[f"{name}Source"] = connection.source
        if connection.server:
            evidence[f"{name}Address"] = str(connection.server)
        if answer.latency_ms is not None:
            evidence[f"{name}LatencyMs"] = round(answer.latency_ms, 1)
        if answer.version:
            evidence[f"{name}Version"] = answer.version
        if answer.not_after:
            evidence[f"{name}CertificateExpires"] = answer.not_after.isoformat(timespec="seconds")
    if not any(answer.connection.path is Path.BROKER for answer in facts.answers):
        evidence["broker"] = "not Redis"
    return evidence
