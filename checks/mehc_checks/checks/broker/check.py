"""BrokerReachable: gateway, builder and workers agree on a broker, and it answers."""

from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.broker.gather import BrokerFacts, broker_facts
from mehc_checks.clients.aws.client import AwsProblem
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import counted
from mehc_checks.engine.check import check
from mehc_checks.modelengine.broker import Broker, Brokers

BACKLOG: Final = 50
"""Tasks that wait, above which builds take long: the builder works on two at a time."""


class BrokerReasons(AwsReasons):
    """Reasons of BrokerReachable."""

    REACHABLE = Reason("BrokerReachable", Status.PASS, "All agree on the broker, and it answers.")
    BUILDERS_DISAGREE = Reason(
        "BuilderHearsAnotherBroker",
        Status.FAIL,
        "The gateway sends build tasks to one broker and the builder listens to another: endpoints stay "
        "UPDATE_PENDING.",
        "On-premises set celery_broker_type_redis to true, on Azure to null; then run helm upgrade and restart "
        "the builder.",
    )
    FORWARDER_UNKNOWN = Reason(
        "UnknownBrokerType",
        Status.FAIL,
        "celeryBrokerType is nothing that forwarders know: those of async endpoints end with a ValueError.",
        "Set celeryBrokerType to {expected}. The values reference says elasticache, which forwarders do not know.",
    )
    WORKERS_DISAGREE = Reason(
        "WorkersHearAnotherBroker",
        Status.FAIL,
        "The gateway sends the tasks of async endpoints to one broker and their forwarders listen to another: requests "
        "never return.",
        "Set celeryBrokerType to {expected}.",
    )
    DATABASES_DIFFER = Reason(
        "AsyncDatabasesDiffer",
        Status.WARN,
        "Gateway and forwarders use the same Redis, but different databases: async endpoints do not work here.",
        "Use sync and streaming endpoints: no value mends it.",
    )
    AUTOSCALER_BLIND = Reason(
        "AutoscalerBlind",
        Status.WARN,
        "The Celery autoscaler looks at another broker than async endpoints are marked with, so it scales none.",
        "Set celeryBrokerType to sqs on aws and servicebus on azure; elsewhere set celery_autoscaler.enabled to false.",
    )
    QUEUE_MISSING = Reason(
        "BuilderQueueMissing",
        Status.FAIL,
        "The builder's queue does not exist: the builder, which makes it when it connects, never did.",
        "Read the builder's log, give its role sqs:CreateQueue, and compare region and serviceBuilderQueue.",
    )
    OTHER_ACCOUNT = Reason(
        "AWSOtherAccount",
        Status.ERROR,
        "This process belongs to another AWS account than the values name, so what it sees says nothing.",
        "Give the ServiceAccount that runs this check a role of account {account}, or correct ml_account_id.",
    )
    REGIONS_DIFFER = Reason(
        "QueueRegionsDiffer",
        Status.FAIL,
        "Celery looks for queues in another region than the one in which the platform makes those of endpoints.",
        "Set AWS_REGION in extraEnvVars and default_region alike.",
    )
    NOBODY_LISTENS = Reason(
        "BuilderTakesNothing",
        Status.FAIL,
        "Build tasks wait, and no worker takes them: endpoints stay UPDATE_PENDING.",
        "Restart the builder and read its log: kubectl logs deployment/<fullname>-endpoint-builder; its readiness says "
        "only that a worker started. Compare SERVICE_BUILDER_QUEUE, --queues and REDIS_HOST of builder and gateway.",
    )
    BACKLOG = Reason(
        "BuilderBacklog",
        Status.WARN,
        "Many build tasks wait: the builder works on two at a time.",
        "See that the builder runs (ControlPlaneReady) and read its log.",
    )
    REDIS_NOT_ASKED = Reason(
        "RedisBrokerNotAsked",
        Status.ERROR,
        "The broker is Redis, and its queue could not be read.",
        "Look at RedisReachable, which says why.",
    )
    BUS_UNREACHABLE = Reason(
        "ServiceBusUnreachable",
        Status.FAIL,
        "The Service Bus namespace has no address, does not answer, or shows a bad certificate.",
        "Correct azure.servicebus_namespace, or open port 5671 to it.",
    )
    BUS_NOT_EVALUATED = Reason(
        "ServiceBusNotEvaluated",
        Status.ERROR,
        "Name, network and certificate are sound; whether the pods' identity may send was not tried.",
        "Look at the gateway's log for amqp errors; the identity needs the role Azure Service Bus Data Owner.",
    )


R = BrokerReasons
_WORDS: Final = {Broker.SQS: "sqs", Broker.SERVICE_BUS: "servicebus", Broker.REDIS: "redis"}


@check(
    "BrokerReachable",
    title="gateway, builder and workers agree on a broker, and it answers",
    severity=Severity.CRITICAL,
    gather=broker_facts,
    reasons=BrokerReasons,
    depends_on={R.NOBODY_LISTENS: ("ControlPlaneReady/builder",)},
    permissions=(Permission(resource="secrets"),),
)
def broker_reachable(facts: BrokerFacts) -> Outcome:
    findings = [*_agreement(facts.brokers), *_answer(facts)]
    if not findings:
        findings.append(R.REACHABLE.finding(_summary(facts)))
    return Outcome.of(findings, evidence=_evidence(facts))


def _agreement(brokers: Brokers) -> Iterator[Finding]:
    sender, taker = brokers.build_sender, brokers.build_taker
    if not _builds_agree(brokers):
        yield R.BUILDERS_DISAGREE.finding(f"{sender} (by {sender.because}), {taker} (by {taker.because})")
    sender, taker = brokers.work_sender, brokers.work_taker
    expected = _WORDS.get(sender.broker, "")
    if taker.broker is Broker.NONE:
        yield R.FORWARDER_UNKNOWN.finding(
            "forwarders are told a celeryBrokerType that they do not know", expected=expected
        )
    elif sender.broker is not taker.broker:
        yield R.WORKERS_DISAGREE.finding(
            f"{sender} (by {sender.because}), {taker} (by {taker.because})", expected=expected
        )
    elif sender.db != taker.db:
        yield R.DATABASES_DIFFER.finding(f"{sender}, {taker}")
    scales = brokers.scales
    if scales and taker.broker is not Broker.NONE and scales.broker is not brokers.annotated:
        yield R.AUTOSCALER_BLIND.finding(f"{scales}, async endpoints are marked for {brokers.annotated}")


def _builds_agree(brokers: Brokers) -> bool:
    return brokers.build_sender.broker is brokers.build_taker.broker


def _answer(facts: BrokerFacts) -> Iterator[Finding]:
    queue, failure = facts.queue, facts.failure
    if facts.celery_region:
        yield R.REGIONS_DIFFER.finding(
            f"Celery asks region {facts.celery_region} (AWS_REGION), the platform makes queues in default_region"
        )
    if facts.account and facts.wanted_account and facts.account != facts.wanted_account:
        yield R.OTHER_ACCOUNT.finding(
            f"this process is of account {facts.account}, ml_account_id is {facts.wanted_account}",
            account=facts.wanted_account,
        )
    elif isinstance(failure, AwsProblem):
        yield failure.finding(concerning=f"queue {queue.name}: ")
    elif isinstance(failure, NetworkProblem):
        yield R.BUS_UNREACHABLE.finding(str(failure))
    elif facts.bus:
        yield R.BUS_NOT_EVALUATED.finding(
            f"{facts.bus} answers with a sound certificate; sending was not tried"
        )
    elif queue.exists is False:
        yield R.QUEUE_MISSING.finding(f"queue {queue.name} does not exist in region {queue.region}")
    elif queue.exists is None:
        yield R.REDIS_NOT_ASKED.finding(f"the length of queue {queue.name} could not be read")
    elif queue.waiting and queue.busy == 0 and _builds_agree(facts.brokers):  # else it is known why
        known = f"{counted(queue.idle or 0, 'connected worker')} of the same database"
        others = f"{known} {'waits for another queue' if queue.idle == 1 else 'wait for other queues'}"
        yield R.NOBODY_LISTENS.finding(
            f"queue {queue.name} holds {counted(queue.waiting, 'task')} and no worker takes any: "
            f"{others if queue.idle else 'none is connected'}"
        )
    elif queue.waiting is not None and queue.waiting > BACKLOG:
        yield R.BACKLOG.finding(f"{queue.waiting} tasks wait in queue {queue.name}")


def _summary(facts: BrokerFacts) -> str:
    use, queue = facts.brokers.build_sender, facts.queue
    return f"{use.broker} answers; {queue.waiting} tasks wait in queue {queue.name}"


def _evidence(facts: BrokerFacts) -> Evidence:
    brokers = facts.brokers
    uses = (
        brokers.build_sender,
        brokers.build_taker,
        brokers.work_sender,
        brokers.work_taker,
        brokers.scales,
    )
    shown = {use.component: str(use).partition(": ")[2] for use in uses if use}
    queue = facts.queue
    workers = {} if queue.busy is None else {"workersBusy": queue.busy, "workersIdle": queue.idle}
    return {**shown, "queue": queue.name, "waiting": queue.waiting, "taken": queue.taken, **workers}
