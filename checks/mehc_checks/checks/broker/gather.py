"""The broker that builds go through, asked as far as one can without taking a message."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from mehc_checks.checks.broker.facts import BrokerFacts, Queue
from mehc_checks.checks.broker.reasons import BrokerReasons as R
from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.clients.azure import servicebus
from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import NOT_FOUND as NO_SUCH_QUEUE
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons
from mehc_checks.clients.network.connect import NetworkProblem, client_context, handshake
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, Problem
from mehc_checks.installation.azure import azure
from mehc_checks.installation.cloudsecrets.shared import proven
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.installation.redis import ask_broker, differing_brokers, queue_depth
from mehc_checks.modelengine.broker import Broker, brokers, build_queue
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.values import Values

_AMQPS: Final = 5671
_NAMESPACE: Final = "azure.servicebus_namespace"
_QUEUE_ANNOTATION: Final = "celery.scaleml.autoscaler/queue"
"""Source: ``service_template_config_map.yaml`` of the chart, its async Deployments."""
_REGION: Final = "config.values.infra.default_region"


async def gather(context: Context) -> BrokerFacts:
    """Never receives, deletes or purges a message."""
    values = context.values
    facts = BrokerFacts(
        brokers=brokers(context.configuration),
        queue=Queue(name=build_queue(context.configuration)),
        namespace=context.namespace or "NAMESPACE",
        builder=f"{fullname(values)}-endpoint-builder",
    )
    sender, taker = facts.brokers.work_sender, facts.brokers.work_taker
    if sender.broker is taker.broker and sender.db != taker.db:
        facts = replace(facts, async_endpoints=await _async_endpoints(context))
    match facts.brokers.build_sender.broker:
        case Broker.SQS:
            return await _sqs(context, facts)
        case Broker.SERVICE_BUS:
            return await _service_bus(context, facts)
        case Broker.OTHER:
            detail = (
                f"{facts.brokers.build_sender.told_by} names a broker that is not Redis, SQS or Service Bus"
            )
            fix = "Check that broker by its own tools: the builder must be connected to it."
            return replace(facts, problem=Problem(KubernetesReasons.INCOMPLETE_DATA, detail=detail, fix=fix))
        case _:
            return await _redis(context, facts)


async def _async_endpoints(context: Context) -> tuple[str, ...] | None:
    """The names of the async endpoints' Deployments, which say by an annotation what queue scales them; None where
    they cannot be read, or there is no cluster.
    """
    if not context.endpoint_namespace:
        return None
    try:
        found = await context.reader.all(object_path("deployments", context.endpoint_namespace, group="apps"))
    except (CannotEvaluate, NotApplicable):
        return None
    return tuple(
        str(item["metadata"]["name"])
        for item in found.items
        if _QUEUE_ANNOTATION in (item["metadata"].get("annotations") or {})
    )


async def _redis(context: Context, facts: BrokerFacts) -> BrokerFacts:
    """Workers are asked for only where tasks wait: that is a line for each client that the server has."""
    name, waiting = await queue_depth(context)
    facts = replace(facts, servers=await differing_brokers(context))
    if waiting is None:
        detail = f"the length of queue {name} could not be read from Redis"
        fix = "Fix what RedisReachable reports about the broker."
        return replace(facts, problem=Problem(KubernetesReasons.INCOMPLETE_DATA, detail=detail, fix=fix))
    queue = Queue(name=name, waiting=waiting)
    if not waiting:
        return replace(facts, queue=queue)
    # at one instant: a worker that has just taken the last task is no worker that ignores it
    look = [("MULTI",), ("LLEN", name), ("CLIENT", "LIST", "TYPE", "normal"), ("EXEC",)]
    answers = await ask_broker(context, look)
    if answers:  # not every user can ask for the clients
        waiting, listed = answers[-1]
        db = facts.brokers.build_sender.db
        flags = [client.get("flags", "") for client in _clients(listed) if _is_worker(client, db)]
        idle = sum("b" in each for each in flags)
        queue = replace(queue, waiting=waiting, idle=idle, busy=len(flags) - idle)
    return replace(facts, queue=queue)


def _clients(listed: str) -> Iterator[dict[str, str]]:
    """The answer to CLIENT LIST, a line for each client. Source: Redis' documentation of the command."""
    for line in listed.splitlines():
        yield dict(part.split("=", 1) for part in line.split(" ") if "=" in part)


def _is_worker(client: Mapping[str, str], db: int | None) -> bool:
    """``db`` is the database in which builds are queued; forwarders consume another.

    A Celery worker keeps a connection on which it says nothing but BRPOP: blocked in it (flag b) while it has room for
    a task, and with it as the last command while it has none. Source: ``kombu/transport/redis.py``.
    """
    return client.get("cmd") == "brpop" and client.get("db") == str(db)


async def _sqs(context: Context, facts: BrokerFacts) -> BrokerFacts:
    values, name = context.values, facts.queue.name
    celery = _celery_region(values)
    wanted = values.text("config.values.infra.ml_account_id") or ""
    facts = replace(
        facts,
        region=values.text(_REGION) or celery,
        celery_region=celery,
        wanted_account=wanted if re.fullmatch(r"\d{12}", wanted) else "",
    )
    if context.is_deputy and not await _is_own(context, name):
        what = f"queue {name}"
        problem = CannotEvaluate(InstallationReasons.NOT_VERIFIED, what=what, namespace=context.namespace)
        return replace(facts, problem=problem)
    aws = Aws(region=celery, timeout=context.network_timeout / 3)
    try:
        facts = replace(facts, account=str((await aws.call("sts", "GetCallerIdentity"))["Account"]))
        url = (await aws.call("sqs", "GetQueueUrl", QueueName=name))["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await aws.call("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=names)
    except AwsProblem as error:
        if error.reason is NOT_FOUND:
            return replace(facts, problem=Problem(R.QUEUE_NOT_FOUND, queue=name, place=f"region {celery}"))
        words = {**error.words, "concerning": f"queue {name}: "}
        return replace(facts, problem=Problem(error.reason, **words))
    waiting, taken = (int(answer["Attributes"][each]) for each in names)
    return replace(facts, queue=Queue(name=name, waiting=waiting, taken=taken))


async def _is_own(context: Context, queue: str) -> bool:
    """Whether the live gateway sends builds to ``queue``."""
    proof = await context.proof()
    return proof.is_live and queue == build_queue(proof.configuration)


def _celery_region(values: Values) -> str:
    """AWS_REGION of the pods, which Celery asks; where the values give none, the identity webhook sets the
    cluster's."""
    listed = values.get("extraEnvVars")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and item.get("name") == "AWS_REGION" and item.get("value"):
            return str(item["value"])
    return values.text(_REGION) or "us-west-2"


async def _service_bus(context: Context, facts: BrokerFacts) -> BrokerFacts:
    named = context.values.text(_NAMESPACE) or ""
    host = f"{named}.servicebus.windows.net"
    facts = replace(facts, bus=f"{host}:{_AMQPS}")
    try:
        await handshake(host, _AMQPS, client_context(), timeout=context.network_timeout)
    except NetworkProblem as error:
        words = {"concerning": "Service Bus: ", "source": _NAMESPACE}
        return replace(facts, problem=Problem(error.reason, **{**error.words, **words}))
    name = facts.queue.name
    live = (await proven(context)).text(_NAMESPACE) or ""
    if context.is_deputy and (named != live or not await _is_own(context, name)):
        problem = CannotEvaluate(
            InstallationReasons.NOT_VERIFIED, what=f"queue {name} of {host}", namespace=context.namespace
        )
        return replace(facts, problem=problem)
    try:
        found = await servicebus.queue(await azure(context), host, name)
    except NetworkProblem as error:  # messages go over AMQP, which answers
        return replace(facts, untested=str(error))
    except AzureProblem as error:
        return _not_looked_at(facts, error, host)
    if found.status not in ("", "Active"):
        disabled = Problem(R.QUEUE_DISABLED, queue=name, bus=host, state=found.status)
        return replace(facts, problem=disabled)
    return replace(facts, queue=Queue(name=name, waiting=found.active, dead=found.dead))


def _not_looked_at(facts: BrokerFacts, error: AzureProblem, host: str) -> BrokerFacts:
    """``facts`` with what kept this process from looking at the queue."""
    name = facts.queue.name
    if error.reason is NO_SUCH_QUEUE:
        words = {
            "kind": "Service Bus",
            "place": host,
            "permit": f"assign its identity the role {servicebus.ROLE}",
            "where": _NAMESPACE,
        }
        return replace(facts, problem=Problem(R.QUEUE_NOT_FOUND, queue=name, **words))
    if error.reason in (R.NO_IDENTITY, R.CLIENT_MISSING):
        return replace(facts, untested=str(error))
    return replace(facts, problem=Problem(error.reason, **{**error.words, "concerning": f"queue {name}: "}))
