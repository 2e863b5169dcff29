"""BrokerReachable: gateway, builder and workers use the same broker, and it answers."""

from collections.abc import Iterator
from typing import Any, Final

from mehc_checks.checks.broker.facts import BrokerFacts, Queue
from mehc_checks.checks.broker.reasons import BrokerReasons
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Severity
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import counted
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import Scope, check
from mehc_checks.modelengine.broker import Broker

R = BrokerReasons
BACKLOG: Final = 50
"""Tasks that wait, above which builds take long: the builder works on two at a time."""

_NAMED: Final = 3


@check(
    "BrokerReachable",
    title="gateway, builder and workers use the same broker, and it answers",
    severity=Severity.CRITICAL,
    scope=Scope.REDIS,
    reasons=BrokerReasons,
    asks=[Kind.REDIS],
    permissions=(
        Permission(resource="secrets"),
        Permission(resource="configmaps"),
        Permission(resource="deployments", group="apps", followed=True),
        Permission(
            resource="deployments",
            group="apps",
            verbs=("list",),
            scope="endpoints",
            followed=True,
            lost="async endpoints are assumed where they would not work",
        ),
        Permission(resource="services"),
    ),
)
def broker_reachable(facts: BrokerFacts) -> Outcome:
    """Judge who uses which broker, and what the one of the builds answers."""
    findings = [*_agreement(facts), *_servers(facts), *_answer(facts)]
    if not findings:
        broker, queue = facts.brokers.build_sender.broker, facts.queue
        findings.append(R.REACHABLE(broker=broker, tasks=_waiting(queue), queue=queue.name))
    return Outcome.of(findings, evidence=_evidence(facts))


def _agreement(facts: BrokerFacts) -> Iterator[Finding]:
    brokers = facts.brokers
    sender, taker = brokers.build_sender, brokers.build_taker
    if sender.broker is not taker.broker:
        yield R.BUILDER_MISMATCH(sent=sender, sent_by=sender.because, taken=taker, taken_by=taker.because)
    sender, taker = brokers.work_sender, brokers.work_taker
    expected = sender.broker.word
    if taker.broker is Broker.NONE:
        given = taker.because.partition("=")[2] or "unset"
        yield R.UNKNOWN_TYPE(given=given, expected=expected or "redis, sqs or servicebus")
    elif sender.broker is not taker.broker:
        fix = f"Set celeryBrokerType to {expected}."
        if not expected:
            fix = f"Remove {sender.told_by}: forwarders support redis, sqs and servicebus only."
        yield R.WORKER_MISMATCH(
            sent=sender, sent_by=sender.because, taken=taker, taken_by=taker.because, fix=fix
        )
    elif sender.db != taker.db and facts.async_endpoints != ():
        waiting = f": {_named(facts.async_endpoints)} get none" if facts.async_endpoints else ""
        fix = f"Write /{taker.db} as the database of {sender.told_by}."
        words: dict[str, Any] = {"fix": fix} if sender.told_by else {}
        yield R.DATABASE_MISMATCH(sent=sender, taken=taker, waiting=waiting, **words)
    if brokers.scales and taker.broker is not Broker.NONE and brokers.scales != brokers.annotated:
        yield R.AUTOSCALER_MISMATCH(scales=brokers.scales, annotated=brokers.annotated)


def _named(endpoints: tuple[str, ...]) -> str:
    more = f" and {len(endpoints) - _NAMED} more" if len(endpoints) > _NAMED else ""
    return f"{', '.join(endpoints[:_NAMED])}{more}"


def _servers(facts: BrokerFacts) -> Iterator[Finding]:
    """Gateway and builder use Redis, and by their own environments not the same."""
    if facts.servers:
        (sent, sent_by), (taken, taken_by) = facts.servers
        fix = (
            "Set REDIS_HOST and REDIS_PORT in extraEnvVars, which all components get, not in Deployment "
            f"{facts.builder} alone; then run helm upgrade."
        )
        yield R.BUILDER_MISMATCH(sent=sent, sent_by=sent_by, taken=taken, taken_by=taken_by, fix=fix)


def _builds_agree(facts: BrokerFacts) -> bool:
    brokers = facts.brokers
    return brokers.build_sender.broker is brokers.build_taker.broker and not facts.servers


def _answer(facts: BrokerFacts) -> Iterator[Finding]:
    queue = facts.queue
    if facts.celery_region and facts.celery_region != facts.region:
        yield R.REGION_MISMATCH(celery=facts.celery_region, region=facts.region)
    if facts.account and facts.wanted_account and facts.account != facts.wanted_account:
        yield R.ACCOUNT_MISMATCH(own=facts.account, account=facts.wanted_account)
    elif facts.problem:
        yield facts.problem.finding(subject=Broker.SERVICE_BUS.word if facts.bus else "")
    elif facts.untested:
        yield R.BUS_NOT_EVALUATED(bus=facts.bus, detail=facts.untested)
    elif queue.waiting and queue.busy == 0 and _builds_agree(facts):  # else the cause is known
        yield R.NOT_CONSUMED(
            queue=queue.name,
            tasks=counted(queue.waiting, "task"),
            workers=_others(queue.idle or 0),
            namespace=facts.namespace,
            builder=facts.builder,
        )
    elif queue.waiting is not None and queue.waiting > BACKLOG:
        yield R.BACKLOG(
            queue=queue.name, tasks=_waiting(queue), namespace=facts.namespace, builder=facts.builder
        )


def _waiting(queue: Queue) -> str:
    return f"{counted(queue.waiting or 0, 'task')} {'waits' if queue.waiting == 1 else 'wait'}"


def _others(idle: int) -> str:
    if not idle:
        return "none is connected"
    return f"{counted(idle, 'connected worker')} {'waits for another queue' if idle == 1 else 'wait for other queues'}"


def _evidence(facts: BrokerFacts) -> Evidence:
    brokers = facts.brokers
    uses = (brokers.build_sender, brokers.build_taker, brokers.work_sender, brokers.work_taker)
    shown = {use.component: str(use) for use in uses}
    if brokers.scales:
        shown["autoscaler"] = brokers.scales
    queue = facts.queue
    workers = {} if queue.busy is None else {"workersBusy": queue.busy, "workersIdle": queue.idle}
    dead = {} if queue.dead is None else {"deadLettered": queue.dead}
    return {**shown, "queue": queue.name, "waiting": queue.waiting, "taken": queue.taken, **workers, **dead}
