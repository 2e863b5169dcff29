"""Section 2: what each cloud needs, and what must not be left over from another."""

import json
import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH, NO_START, Broken, Cloud, View, rule
from mehc_checks.core.outcome import Severity

_ROLE_ARN: Final = re.compile(r"arn:aws(?:-[a-z]+)*:iam::(?P<account>\d{12}):role/\S+")
_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?:/|$)"
)
_ROLE: Final = "eks.amazonaws.com/role-arn"
_POLICY: Final = f"{LAUNCH}.sqs_queue_policy_template"
_TAGS: Final = f"{LAUNCH}.sqs_queue_tag_template"
_PLACEHOLDER: Final = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_TAG_NAMES: Final = frozenset({"team", "endpoint_id", "endpoint_name", "endpoint_created_by"})
_AZURE: Final = (
    "client_id",
    "object_id",
    "identity_name",
    "keyvault_name",
    "servicebus_namespace",
    "abs_account_name",
    "abs_container_name",
)
_AZURE_EXPLAINS: Final = {
    "servicebus_namespace": ("BrokerReachable/servicebus",),
    "abs_account_name": ("ObjectStoreReachable/HostUnresolvable", "ObjectStoreReachable/ConnectionRefused"),
}
_NO_GATEWAY: Final = ("ControlPlaneReady/GatewayNotReady", "ControlPlaneReady/RolloutStuck")
_AWS_CACHE: Final = (f"{LAUNCH}.cache_redis_aws_url", f"{LAUNCH}.cache_redis_aws_secret_name")
_BROKER: Final = "celeryBrokerType"
_REDIS_FLAG: Final = "celery_broker_type_redis"


@rule(
    "S2-aws-01",
    title="ServiceAccounts name a role of this account",
    severity=Severity.HIGH,
    reads=(
        "serviceAccount.annotations",
        "serviceTemplate.serviceAccountAnnotations",
        f"{INFRA}.ml_account_id",
    ),
    consequence="AWS denies what the gateway, the builder or the endpoints ask for.",
    remedy=f"Set {_ROLE} to arn:aws:iam::<account>:role/<name>, a role that trusts this cluster's OIDC provider "
    "(IRSA).",
    clouds=(Cloud.AWS,),
    explains=("BrokerReachable/BuildQueueNotFound",),
)
def role_arns(view: View) -> Iterator[Broken]:
    account = view.text(f"{INFRA}.ml_account_id")
    for path in ("serviceAccount.annotations", "serviceTemplate.serviceAccountAnnotations"):
        arn = str(view.table(path).get(_ROLE) or "")
        if not arn:
            if path == "serviceAccount.annotations" and view.seen(path):
                yield Broken(path=path, message=f"has no {_ROLE}")
            continue
        match = _ROLE_ARN.fullmatch(arn)
        if not match:
            yield Broken(path=path, message=f"{_ROLE} is {arn}, which is no role ARN")
        elif re.fullmatch(r"\d{12}", account) and match["account"] != account:
            yield Broken(
                path=path, message=f"{_ROLE} is of account {match['account']}, ml_account_id is {account}"
            )


@rule(
    "S2-aws-02",
    title="the AWS ConfigMap is created where it is mounted",
    severity=Severity.CRITICAL,
    reads=(
        "aws.configMap.name",
        "aws.configMap.create",
        "aws.configMap.namespaces",
        "aws.configMap.mountPath",
        "aws.profileName",
    ),
    consequence="The ConfigMap is never made, and pods stay in ContainerCreating; without a mountPath they are "
    "refused.",
    remedy="Set aws.configMap.namespaces to the gateway's and the endpoint namespace, and aws.configMap.mountPath to "
    "/opt/.aws. The sample sets neither.",
    explains=(
        *NO_START,
        "EndpointsReady/VolumeSourceMissing",
    ),
)
def aws_config_map(view: View) -> Iterator[Broken]:
    if not view.flag("aws"):
        return
    if view.flag("aws.configMap.create"):
        namespaces = [str(item) for item in view.items("aws.configMap.namespaces")]
        endpoints = view.text(f"{LAUNCH}.endpoint_namespace")
        if not namespaces:
            yield Broken(
                path="aws.configMap.namespaces", message="is empty, so the ConfigMap is made nowhere"
            )
        elif endpoints and endpoints not in namespaces:
            yield Broken(path="aws.configMap.namespaces", message=f"lacks the endpoint namespace {endpoints}")
    if view.absent("aws.configMap.name"):
        yield Broken(path="aws.configMap.name", message="is not set: the mount names no ConfigMap")
    if view.absent("aws.configMap.mountPath"):
        yield Broken(path="aws.configMap.mountPath", message="is not set: the mount has no path")


@rule(
    "S2-aws-03",
    title="the SQS templates are JSON with known placeholders",
    severity=Severity.HIGH,
    reads=(_POLICY, _TAGS),
    consequence="Creating an async endpoint ends as UPDATE_FAILED.",
    remedy="Write JSON; the policy knows ${queue_name}, the tags ${team}, ${endpoint_id}, ${endpoint_name} and "
    "${endpoint_created_by}.",
    clouds=(Cloud.AWS,),
    explains=("EndpointsReady/EndpointUpdateFailed",),
)
def sqs_templates(view: View) -> Iterator[Broken]:
    for path, names in ((_POLICY, frozenset({"queue_name"})), (_TAGS, _TAG_NAMES)):
        text = view.text(path)
        if not text:
            continue
        unknown = sorted(set(_PLACEHOLDER.findall(text)) - names)
        if unknown:
            yield Broken(path=path, message=f"has the unknown placeholder ${{{unknown[0]}}}")
            continue
        try:
            parsed = json.loads(_PLACEHOLDER.sub("x", text))
        except ValueError as error:
            yield Broken(path=path, message=f"is not JSON: {str(error).split(':')[0].lower()}")
            continue
        if not isinstance(parsed, dict):
            yield Broken(path=path, message="is JSON, but no object")
        elif path == _POLICY and "queue_name" not in _PLACEHOLDER.findall(text):
            yield Broken(path=path, message="names no ${queue_name}, so it speaks of no queue that is made")
        if "000000000000" in text:
            yield Broken(path=path, message="still has the sample's account 000000000000")


@rule(
    "S2-aws-04",
    title="one region everywhere",
    severity=Severity.HIGH,
    reads=(f"{INFRA}.default_region", f"{INFRA}.docker_repo_prefix", "extraEnvVars"),
    consequence="Queues are looked for where they were not made, or images where they are not.",
    remedy="Use one region for default_region, AWS_REGION and the registry.",
    clouds=(Cloud.AWS,),
    explains=("BrokerReachable/QueueRegionMismatch",),
)
def one_region(view: View) -> Iterator[Broken]:
    path = f"{INFRA}.default_region"
    region = view.text(path)
    if not region:
        return
    registry = _ECR.match(view.text(f"{INFRA}.docker_repo_prefix"))
    if registry and registry["region"] != region:
        yield Broken(
            path=f"{INFRA}.docker_repo_prefix",
            message=f"is in {registry['region']}, default_region is {region}",
        )
    for where, item in view.entries("extraEnvVars"):
        if item.get("name") == "AWS_REGION" and item.get("value") not in (None, region):
            yield Broken(
                path=where, message=f"sets AWS_REGION to {item['value']}, default_region is {region}"
            )


@rule(
    "S2-aws-05",
    title="sqs_profile is a profile of the AWS configuration",
    severity=Severity.HIGH,
    reads=(f"{LAUNCH}.sqs_profile", "aws.profileName"),
    consequence="Every use of SQS ends as ProfileNotFound.",
    remedy="Set sqs_profile to aws.profileName: the chart's ConfigMap has that profile only.",
    clouds=(Cloud.AWS,),
    explains=("EndpointsReady/EndpointUpdateFailed",),
)
def known_profile(view: View) -> Iterator[Broken]:
    given, made = view.text(f"{LAUNCH}.sqs_profile"), view.text("aws.profileName")
    if given and made and view.flag("aws.configMap.create") and given not in (made, "default"):
        yield Broken(path=f"{LAUNCH}.sqs_profile", message=f"is {given}, the AWS configuration has {made}")


@rule(
    "S2-aws-06",
    title="the cache has one source",
    severity=Severity.WARNING,
    reads=_AWS_CACHE,
    consequence="The URL wins, and a change of the secret changes nothing.",
    remedy="Keep one of the two.",
    clouds=(Cloud.AWS,),
)
def one_cache_source(view: View) -> Iterator[Broken]:
    if all(view.text(path) for path in _AWS_CACHE):
        yield Broken(path=_AWS_CACHE[1], message="is set beside cache_redis_aws_url, which wins")


@rule(
    "S2-az-01",
    title="no AWS cache is left on Azure",
    severity=Severity.CRITICAL,
    reads=_AWS_CACHE,
    consequence="The gateway ends with an AssertionError at startup: AWS fields are read first, and refuse another "
    "cloud.",
    remedy="Set it to null; leaving it out keeps what a values file below gave, as values_sample.yaml does.",
    clouds=(Cloud.AZURE,),
    explains=("RedisReachable/cache/RedisSourceOfAnotherCloud",),
)
def aws_cache_on_azure(view: View) -> Iterator[Broken]:
    if view.text(f"{LAUNCH}.cache_redis_onprem_url"):
        return  # read before either
    for path in _AWS_CACHE:
        if view.text(path):
            yield Broken(path=path, message="is set, while cloud_provider is azure")


@rule(
    "S2-az-02",
    title="the azure block is complete",
    severity=Severity.CRITICAL,
    reads=(*(f"azure.{name}" for name in _AZURE), "keyvaultName"),
    consequence="Identity, Key Vault, Service Bus or Blob Storage cannot be used.",
    remedy="Set it. The Key Vault is azure.keyvault_name; keyvaultName, which the values reference names, is "
    "read nowhere.",
    clouds=(Cloud.AZURE,),
    explains=tuple(name for names in _AZURE_EXPLAINS.values() for name in names),
)
def azure_block(view: View) -> Iterator[Broken]:
    for name in _AZURE:
        path = f"azure.{name}"
        if view.absent(path):
            hint = (
                "; keyvaultName is read nowhere"
                if name == "keyvault_name" and view.text("keyvaultName")
                else ""
            )
            yield Broken(path=path, message=f"is not set{hint}", explains=_AZURE_EXPLAINS.get(name, ()))


@rule(
    "S2-az-03",
    title="celeryBrokerType is servicebus on Azure",
    severity=Severity.CRITICAL,
    reads=(_BROKER,),
    consequence="Async endpoints' forwarders end with a ValueError or look elsewhere, and nothing scales them.",
    remedy="Set celeryBrokerType to servicebus. The values reference says elasticache, which the forwarder does "
    "not know.",
    clouds=(Cloud.AZURE,),
    explains=("BrokerReachable/UnknownBrokerType", "BrokerReachable/WorkerBrokerMismatch"),
)
def azure_broker(view: View) -> Iterator[Broken]:
    if view.absent(_BROKER):
        yield Broken(path=_BROKER, message="is not set")
    elif view.text(_BROKER) != "servicebus":
        yield Broken(path=_BROKER, message=f"is {view.text(_BROKER)}")


@rule(
    "S2-az-04",
    title="celery_broker_type_redis is off on Azure",
    severity=Severity.CRITICAL,
    reads=(_REDIS_FLAG,),
    consequence="The gateway sends to Service Bus and the builder listens to Redis: endpoints stay UPDATE_PENDING.",
    remedy="Set celery_broker_type_redis to null.",
    clouds=(Cloud.AZURE,),
    explains=("BrokerReachable/BuilderBrokerMismatch",),
)
def azure_split(view: View) -> Iterator[Broken]:
    if view.flag(_REDIS_FLAG):
        where = _REDIS_FLAG if view.has(_REDIS_FLAG) else f"{INFRA}.{_REDIS_FLAG}"
        yield Broken(path=where, message=f"is {view.text(where)}")


@rule(
    "S2-az-05",
    title="the Azure cache's host has its port",
    severity=Severity.HIGH,
    reads=(f"{LAUNCH}.cache_redis_azure_host",),
    consequence="Port 6379 is used, where Azure Cache for Redis speaks no TLS, or nothing at all.",
    remedy="Append :6380.",
    clouds=(Cloud.AZURE,),
    explains=(
        "RedisReachable/ConnectionTimeout",
        "RedisReachable/ConnectionRefused",
        "RedisReachable/ServerNotTLS",
    ),
)
def azure_cache_port(view: View) -> Iterator[Broken]:
    path = f"{LAUNCH}.cache_redis_azure_host"
    host = view.text(path)
    if host and not host.endswith((":6380", ":10000")):
        yield Broken(path=path, message=f"is {host}, without :6380")


@rule(
    "S2-az-06",
    title="the pull secret of the Azure ServiceAccounts exists",
    severity=Severity.WARNING,
    reads=("azure.identity_name",),
    consequence="Images are pulled without credentials.",
    remedy="Create the Secret egp-ecr-regcred in the gateway's and the endpoint namespace.",
    clouds=(Cloud.AZURE,),
    needs_cluster=True,
)
def azure_pull_secret(view: View) -> Iterator[Broken]:
    for where, exists in view.facts.secrets.items():
        namespace, _, name = where.partition("/")
        if name == "egp-ecr-regcred" and not exists:
            yield Broken(path="azure", message=f"is set, and namespace {namespace} has no Secret {name}")


@rule(
    "S2-gcp-01",
    title="GCP has its cache and its project",
    severity=Severity.CRITICAL,
    reads=(f"{LAUNCH}.cache_redis_gcp_url", "gcp.project_id", f"{INFRA}.cloud_provider"),
    consequence="The gateway ends with an AssertionError or a ValueError at startup.",
    remedy="Set cache_redis_gcp_url and gcp.project_id, and keep cloud_provider gcp: the values reference says onprem, "
    "which has no client for Cloud Storage.",
    clouds=(Cloud.GCP, Cloud.ONPREM),
    explains=(*_NO_GATEWAY, "RedisReachable/cache/NoRedisConfigured"),
)
def gcp(view: View) -> Iterator[Broken]:
    if view.cloud == Cloud.ONPREM:
        prefix = view.text(f"{INFRA}.docker_repo_prefix")
        if re.match(r"([a-z-]+\.)?gcr\.io/|[a-z0-9-]+-docker\.pkg\.dev/", prefix):
            yield Broken(
                path=f"{INFRA}.cloud_provider",
                message=f"is onprem, while images come from {prefix.partition('/')[0]}: is this GCP?",
                severity=Severity.WARNING,
            )
        return
    if not view.text(f"{LAUNCH}.cache_redis_onprem_url") and view.absent(f"{LAUNCH}.cache_redis_gcp_url"):
        no_cache = ("RedisReachable/cache/NoRedisConfigured",)
        yield Broken(path=f"{LAUNCH}.cache_redis_gcp_url", message="is not set", explains=no_cache)
    if view.absent("gcp.project_id"):
        yield Broken(path="gcp.project_id", message="is not set", explains=_NO_GATEWAY)


@rule(
    "S2-gcp-02",
    title="async endpoints are not used on GCP",
    severity=Severity.HIGH,
    reads=(_BROKER, "celery_autoscaler.enabled"),
    consequence="The gateway writes to Redis database 0 and the forwarder reads database 3; results go to Redis and "
    "are "
    "looked for in object storage.",
    remedy="Use sync and streaming endpoints on GCP, and set celery_autoscaler.enabled to false.",
    clouds=(Cloud.GCP,),
)
def gcp_async(view: View) -> Iterator[Broken]:
    if view.flag("celery_autoscaler.enabled"):
        yield Broken(path="celery_autoscaler.enabled", message="is on, as if async endpoints worked on gcp")


@rule(
    "S2-op-01",
    title="the builder listens to Redis on-premises",
    severity=Severity.CRITICAL,
    reads=(_REDIS_FLAG,),
    consequence="The builder consumes SQS, which is not there: endpoints stay UPDATE_PENDING.",
    remedy="Set celery_broker_type_redis to true. The values reference calls it optional; it is not.",
    clouds=(Cloud.ONPREM,),
    explains=("BrokerReachable/BuilderBrokerMismatch",),
)
def onprem_builder(view: View) -> Iterator[Broken]:
    if not view.flag(_REDIS_FLAG):
        yield Broken(path=_REDIS_FLAG, message=f"is {view.text(_REDIS_FLAG) or 'not set'}")


@rule(
    "S2-op-02",
    title="celeryBrokerType is one that the async forwarder knows",
    severity=Severity.CRITICAL,
    reads=(_BROKER,),
    consequence="Every async endpoint's forwarder ends with a ValueError.",
    remedy="Set celeryBrokerType to redis (sqs on aws, servicebus on azure). The values reference says elasticache, "
    "which the forwarder does not know.",
    clouds=(Cloud.AWS, Cloud.GCP, Cloud.ONPREM),
    explains=("BrokerReachable/UnknownBrokerType", "BrokerReachable/WorkerBrokerMismatch"),
)
def known_broker(view: View) -> Iterator[Broken]:
    given = view.text(_BROKER)
    if view.absent(_BROKER):
        yield Broken(path=_BROKER, message="is not set")
    elif given not in ("redis", "sqs", "servicebus"):
        yield Broken(path=_BROKER, message=f"is {given}; the forwarder takes redis, sqs and servicebus")
    elif view.cloud == Cloud.ONPREM and given != "redis":
        yield Broken(path=_BROKER, message=f"is {given}, while the gateway on-premises sends to Redis")


@rule(
    "S2-op-03",
    title="the aws block is absent on-premises",
    severity=Severity.HIGH,
    reads=("aws.profileName",),
    consequence="Every process looks for an AWS profile, and S3-compatible credentials from the environment are not "
    "used.",
    remedy="Set aws to null.",
    clouds=(Cloud.ONPREM,),
)
def onprem_aws(view: View) -> Iterator[Broken]:
    if view.flag("aws"):
        yield Broken(path="aws", message="is set")


@rule(
    "S2-op-04",
    title="redisHost, redisPort and redis_host agree",
    severity=Severity.HIGH,
    reads=("redisHost", "redisPort", f"{INFRA}.redis_host"),
    consequence="Control plane and forwarders use different brokers.",
    remedy="Set redisHost and redis_host to the same host, and use port 6379: the forwarder knows no other.",
    clouds=(Cloud.ONPREM, Cloud.GCP),
    explains=("RedisReachable/broker/NoRedisConfigured",),
)
def one_redis(view: View) -> Iterator[Broken]:
    chart, config, port = view.text("redisHost"), view.text(f"{INFRA}.redis_host"), view.text("redisPort")
    if chart and chart != config:
        yield Broken(path="redisHost", message=f"is {chart}, {INFRA}.redis_host is {config or 'not set'}")
    if port and port != "6379":
        yield Broken(path="redisPort", message=f"is {port}")


@rule(
    "S2-op-05",
    title="the object store on-premises has an address and credentials",
    severity=Severity.HIGH,
    reads=("s3EndpointUrl", "extraPodEnvFrom"),
    consequence="The platform asks the public AWS for buckets that it does not have.",
    remedy="Set s3EndpointUrl to the URL of the S3-compatible store, and extraPodEnvFrom to the Secret with "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    clouds=(Cloud.ONPREM,),
    explains=("ObjectStoreReachable/BucketNotFound", "ObjectStoreReachable/StoreAddressInvalid"),
)
def onprem_store(view: View) -> Iterator[Broken]:
    if view.absent("s3EndpointUrl"):
        yield Broken(path="s3EndpointUrl", message="is not set")
    elif not re.match(r"https?://[^/\s]+", view.text("s3EndpointUrl")):
        yield Broken(path="s3EndpointUrl", message="is no URL with http:// or https://")
    if not view.items("extraPodEnvFrom") and not view.items("extraEnvVars"):
        yield Broken(path="extraPodEnvFrom", message="is empty: no credentials reach the pods", explains=())


@rule(
    "S2-op-06",
    title="the registry is of a class that can name its newest tag",
    severity=Severity.CRITICAL,
    reads=(f"{INFRA}.docker_repo_prefix", f"{INFRA}.docker_registry_type"),
    consequence="The cacher ends with a NotImplementedError in its first loop, and never becomes ready.",
    remedy="Use ECR, ACR or Artifact Registry, or an image of the platform in which get_latest_image_tag works "
    "for others.",
    explains=("ControlPlaneReady/CacherNotReady", "ControlPlaneReady/RolloutStuck"),
)
def registry_class(view: View) -> Iterator[Broken]:
    given, prefix = view.text(f"{INFRA}.docker_registry_type"), view.text(f"{INFRA}.docker_repo_prefix")
    if not given and not prefix:
        return
    known = given in ("ecr", "acr", "gar") if given else False
    by_name = (
        (".dkr.ecr." in prefix and ".amazonaws.com" in prefix)
        or ".azurecr.io" in prefix
        or "-docker.pkg.dev" in prefix
    )
    if not known and (given or not by_name):
        path = f"{INFRA}.docker_registry_type" if given else f"{INFRA}.docker_repo_prefix"
        yield Broken(
            path=path, message=f"is {given or prefix}, a registry that the platform cannot list the tags of"
        )
