"""What BrokerReachable can find."""

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason, Status


class BrokerReasons(AwsReasons, AzureReasons, NetworkReasons):
    """Reasons of BrokerReachable."""

    REACHABLE = Reason(
        "BrokerReachable",
        Status.PASS,
        "All components use the same broker, and it answers.",
        message="{broker} answers; {tasks} in queue {queue}",
    )
    BUILDER_MISMATCH = Reason(
        "BuilderBrokerMismatch",
        Status.FAIL,
        "The gateway sends build tasks to one broker and the builder consumes another: endpoints stay UPDATE_PENDING.",
        message="the gateway sends build tasks to {sent} ({sent_by}), but the builder consumes {taken} ({taken_by})",
        remedy="{fix}",
        defaults={
            "fix": "Set celery_broker_type_redis to true on-premises, to null on Azure; then run helm upgrade and "
            "restart the builder."
        },
    )
    UNKNOWN_TYPE = Reason(
        "UnknownBrokerType",
        Status.FAIL,
        "celeryBrokerType is unsupported; forwarders of async endpoints crash (ValueError).",
        message="celeryBrokerType is {given}, which forwarders of async endpoints do not support",
        remedy="Set celeryBrokerType to {expected}. The values reference says elasticache, which forwarders do not "
        "support.",
    )
    WORKER_MISMATCH = Reason(
        "WorkerBrokerMismatch",
        Status.FAIL,
        "The gateway sends the tasks of async endpoints to one broker and their forwarders consume another: requests "
        "never return.",
        message="the gateway sends async tasks to {sent} ({sent_by}), but forwarders consume {taken} ({taken_by})",
        remedy="{fix}",
        defaults={"fix": "Set celeryBrokerType to the gateway's broker: redis, sqs or servicebus."},
    )
    DATABASE_MISMATCH = Reason(
        "AsyncDatabaseMismatch",
        Status.WARN,
        "Gateway and forwarders use the same Redis with different databases: async endpoints do not work here.",
        message="the gateway sends async tasks to {sent}, but forwarders consume {taken}{waiting}",
        remedy="{fix}",
        defaults={
            "waiting": "",
            "fix": "Use sync and streaming endpoints only: no value changes the database of either.",
        },
    )
    AUTOSCALER_MISMATCH = Reason(
        "AutoscalerBrokerMismatch",
        Status.WARN,
        "The Celery autoscaler scales endpoints of another broker than the one async endpoints are annotated with.",
        message="the Celery autoscaler scales endpoints of {scales}, but async endpoints have {annotated}",
        remedy="Set celeryBrokerType to sqs on AWS and servicebus on Azure; elsewhere set celery_autoscaler.enabled to "
        "false.",
    )
    QUEUE_NOT_FOUND = Reason(
        "BuildQueueNotFound",
        Status.FAIL,
        "The builder's queue does not exist: the builder creates it when it connects, and never did.",
        message="{kind} queue {queue} does not exist in {place}",
        remedy="Check the builder's log; {permit}, and compare {where} and serviceBuilderQueue with the queue.",
        defaults={"kind": "SQS", "permit": "allow its role sqs:CreateQueue", "where": "default_region"},
    )
    QUEUE_DISABLED = Reason(
        "BuildQueueDisabled",
        Status.FAIL,
        "The builder's Service Bus queue is disabled, for sending or for receiving.",
        message="Service Bus queue {queue} of {bus} is {state}",
        remedy="Set the status of queue {queue} to Active: az servicebus queue update --status Active.",
    )
    ACCOUNT_MISMATCH = Reason(
        "AWSAccountMismatch",
        Status.ERROR,
        "The process that runs the check belongs to another AWS account than ml_account_id, so it sees other queues.",
        message="mehc runs in AWS account {own}, but ml_account_id is {account}",
        remedy="Grant the operator's ServiceAccount an IAM role (IRSA) of account {account}, or correct "
        "config.values.infra.ml_account_id.",
    )
    REGION_MISMATCH = Reason(
        "QueueRegionMismatch",
        Status.FAIL,
        "Celery asks for queues in another region than the one in which the platform creates those of endpoints.",
        message="Celery asks for queues in {celery} (AWS_REGION), but the platform creates them in {region} "
        "(default_region)",
        remedy="Set AWS_REGION in extraEnvVars and config.values.infra.default_region to the same region.",
    )
    NOT_CONSUMED = Reason(
        "BuildQueueNotConsumed",
        Status.FAIL,
        "Build tasks wait and no worker consumes the queue: endpoints stay UPDATE_PENDING.",
        message="queue {queue} has {tasks} waiting, and no worker consumes it: {workers}",
        remedy="Restart the builder and check its log (kubectl logs -n {namespace} deployment/{builder}); being ready "
        "only shows that a worker started. Compare SERVICE_BUILDER_QUEUE, --queues and REDIS_HOST of builder and "
        "gateway.",
        explained_by=("ControlPlaneReady/builder",),
    )
    BACKLOG = Reason(
        "BuildQueueBacklog",
        Status.WARN,
        "More than 50 build tasks wait: the builder runs two at a time.",
        message="{tasks} in queue {queue}",
        remedy="Check that the builder is ready (ControlPlaneReady) and its log: kubectl logs -n {namespace} "
        "deployment/{builder} --tail=100.",
    )
    BUS_NOT_EVALUATED = Reason(
        "ServiceBusNotEvaluated",
        Status.ERROR,
        "Name, network and certificate are correct; the queue was not looked at, which takes an identity.",
        message="{bus} is reachable with a valid certificate; the queue was not tested: {detail}",
        remedy="If the gateway logs amqp errors, assign the platform's managed identity the role Azure Service Bus "
        "Data Owner. To have the queue tested, give the operator an Azure identity with that role "
        "(azure.workload.identity/client-id on its ServiceAccount).",
        defaults={"detail": "mehc has no Azure identity"},
    )
