"""The broker that builds go through, asked as far as one may without taking a message."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.clients.network.connect import NetworkProblem, Peer, client_context, handshake
from mehc_checks.installation.context import Context
from mehc_checks.installation.endpoint_records import ask_broker, queue_depth
from mehc_checks.modelengine.broker import Broker, Brokers, brokers
from mehc_checks.modelengine.endpoints import builder_queue
from mehc_checks.modelengine.values import Values

_AMQPS: Final = 5671
_DATABASE: Final = 0
"""Of Redis, in which builds are queued; forwarders listen in another. Source: ``core/celery/app.py``."""
_REGION: Final = "config.values.infra.default_region"


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """The builder's queue. ``waiting`` is how many tasks wait in it, ``taken`` how many are being worked on.

    ``exists`` is None where that could not be told. ``idle`` and ``busy`` are the workers of a Redis at the moment
    of ``waiting``: those that wait for a task of whatever queue, and those that have one; None where not asked.
    """

    name: str
    exists: bool | None = None
    waiting: int | None = None
    taken: int | None = None
    idle: int | None = None
    busy: int | None = None
    region: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerFacts:
    """``account`` is AWS's account of this process, ``wanted_account`` the one that the values name, "" for none.

    ``bus`` is the Service Bus host that was asked; ``failure`` why the broker could not be asked.
    """

    values: Values
    brokers: Brokers
    queue: Queue
    account: str = ""
    wanted_account: str = ""
    celery_region: str = ""
    bus: str = ""
    failure: AwsProblem | NetworkProblem | None = None


async def broker_facts(context: Context) -> BrokerFacts:
    """Never receives, deletes or purges a message."""
    values = context.values
    found = brokers(values)
    name = builder_queue(values.text("serviceIdentifier") or "", values.text("serviceBuilderQueue") or "")
    match found.build_sender.broker:
        case Broker.SQS:
            return await _sqs(context, found, name)
        case Broker.SERVICE_BUS:
            return await _service_bus(context, found, name)
        case _:
            return BrokerFacts(values=values, brokers=found, queue=await _redis(context, name))


async def _redis(context: Context, name: str) -> Queue:
    """Who listens is asked only where tasks wait: that is a line for each client that the server has."""
    _, waiting = await queue_depth(context)
    queue = Queue(name=name, exists=None if waiting is None else True, waiting=waiting)
    if not waiting:
        return queue
    # at one instant: a worker that has just taken the last task is no worker that ignores it
    look = [("MULTI",), ("LLEN", name), ("CLIENT", "LIST", "TYPE", "normal"), ("EXEC",)]
    answers = await ask_broker(context, look)
    if not answers:
        return queue  # not every user may ask for the clients
    waiting, listed = answers[-1]
    flags = [client.get("flags", "") for client in _clients(listed) if _is_worker(client)]
    idle = sum("b" in each for each in flags)
    return replace(queue, waiting=waiting, idle=idle, busy=len(flags) - idle)


def _clients(listed: str) -> Iterator[dict[str, str]]:
    """The answer to CLIENT LIST, a line for each client. Source: Redis' documentation of the command."""
    for line in listed.splitlines():
        yield dict(part.split("=", 1) for part in line.split(" ") if "=" in part)


def _is_worker(client: Mapping[str, str]) -> bool:
    """A Celery worker keeps a connection on which it says nothing but BRPOP: blocked in it (flag b) while it has room
    for a task, and with it as the last command while it has none. Source: ``kombu/transport/redis.py``.
    """
    return client.get("cmd") == "brpop" and client.get("db") == str(_DATABASE)


async def _sqs(context: Context, found: Brokers, name: str) -> BrokerFacts:
    values = context.values
    region = values.text(_REGION) or ""
    celery = _celery_region(values)
    account, wanted = "", values.text("config.values.infra.ml_account_id") or ""
    queue, failure = Queue(name=name, region=celery), None
    aws = Aws(region=celery, timeout=context.network_timeout / 3)
    try:
        account = str((await aws.call("sts", "GetCallerIdentity"))["Account"])
        url = (await aws.call("sqs", "GetQueueUrl", QueueName=name))["QueueUrl"]
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await aws.call("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=names)
        counts = [int(answer["Attributes"][each]) for each in names]
        queue = Queue(name=name, exists=True, waiting=counts[0], taken=counts[1], region=celery)
    except AwsProblem as error:
        if error.reason is NOT_FOUND:
            queue = Queue(name=name, exists=False, region=celery)
        else:
            failure = error
    return BrokerFacts(
        values=values,
        brokers=found,
        queue=queue,
        account=account,
        wanted_account=wanted if re.fullmatch(r"\d{12}", wanted) else "",
        celery_region=celery if region and celery != region else "",
        failure=failure,
    )


def _celery_region(values: Values) -> str:
    """AWS_REGION of the pods, which Celery asks; where the values give none, the identity webhook sets the
    cluster's."""
    listed = values.get("extraEnvVars")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and item.get("name") == "AWS_REGION" and item.get("value"):
            return str(item["value"])
    return values.text(_REGION) or "us-west-2"


async def _service_bus(context: Context, found: Brokers, name: str) -> BrokerFacts:
    host = f"{context.values.text('azure.servicebus_namespace') or ''}.servicebus.windows.net"
    failure = None
    try:
        peer: Peer = await handshake(host, _AMQPS, client_context(), timeout=context.network_timeout)
        del peer
    except NetworkProblem as error:
        failure = error
    return BrokerFacts(
        values=context.values, brokers=found, queue=Queue(name=name), bus=f"{host}:{_AMQPS}", failure=failure
    )
