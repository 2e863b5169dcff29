"""Section 2: what each cloud needs, and what must not be left over from another."""

import json
import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_INSTALL, NO_START, critical, high, warning
from mehc_checks.checks.config.rules.rule import INFRA, Cloud, View, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import displayed

_ROLE_ARN: Final = re.compile(r"arn:aws(?:-[a-z]+)*:iam::(?P<account>\d{12}):role/\S+")
_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?:/|$)"
)
_REGION: Final = re.compile(r"(?P<region>[a-z]{2,4}(-[a-z]+)+-\d{1,2})(?P<zone>[a-z])?")
"""Of AWS, all partitions. Source: ``regionRegex`` of botocore's ``endpoints.json``."""
_ROLE: Final = "eks.amazonaws.com/role-arn"
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
_AWS_CACHE: Final = (paths.CACHE_REDIS_AWS_URL, paths.CACHE_REDIS_AWS_SECRET_NAME)
AWS_CONFIG_FILE: Final = "/opt/.aws/config"
"""Where processes look for the AWS configuration; the chart mounts one key of its ConfigMap exactly there."""
_DEFAULT_PROFILE: Final = "default"
"""``profile_ml_worker`` where infra does not set it."""

ROLE_ARN_MISSING: Final = high(
    "RoleARNMissing",
    "AWS denies what the gateway, the builder or the endpoints ask for.",
    message=f"{{path}} has no {_ROLE}: the pods have no IAM role",
    remedy=f"Set {_ROLE} in {{path}} to the ARN of a role that trusts this cluster's OIDC provider (IRSA).",
    explains=("BrokerReachable/BuildQueueNotFound",),
)
ROLE_ARN_INVALID: Final = high(
    "RoleARNInvalid",
    "AWS denies what the gateway, the builder or the endpoints ask for.",
    message=f"{{path}} sets {_ROLE} to {{value}}, which is not the ARN of a role",
    remedy=f"Set {_ROLE} in {{path}} to arn:aws:iam::ACCOUNT:role/NAME.",
    explains=("BrokerReachable/BuildQueueNotFound",),
)
ROLE_OF_OTHER_ACCOUNT: Final = high(
    "RoleOfOtherAccount",
    "Queues and images are looked for in one account, and asked for with the role of another.",
    message=f"{{path}} sets {_ROLE} to a role of account {{account}}, but ml_account_id is {{value}}",
    remedy="Use a role of the account in config.values.infra.ml_account_id in {path}, or correct ml_account_id.",
)


@rule(
    "S2-aws-01",
    title="ServiceAccounts name a role of this account",
    reads=(paths.ACCOUNT_ANNOTATIONS, paths.INFERENCE_ACCOUNT_ANNOTATIONS, paths.ML_ACCOUNT_ID),
    faults=(ROLE_ARN_MISSING, ROLE_ARN_INVALID, ROLE_OF_OTHER_ACCOUNT),
    clouds=(Cloud.AWS,),
)
def role_arns(view: View) -> Iterator[Finding]:
    for path in (paths.ACCOUNT_ANNOTATIONS, paths.INFERENCE_ACCOUNT_ANNOTATIONS):
        arn = str(view.table(path).get(_ROLE) or "")
        if not arn:
            if path == paths.ACCOUNT_ANNOTATIONS and view.seen(path):
                yield ROLE_ARN_MISSING.at(path)
            continue
        match = _ROLE_ARN.fullmatch(arn)
        if not match:
            yield ROLE_ARN_INVALID.at(path, value=arn)
        elif re.fullmatch(r"\d{12}", view.account) and match["account"] != view.account:
            yield ROLE_OF_OTHER_ACCOUNT.at(path, account=match["account"], value=view.account)


_NO_PROFILE: Final = "Every process that needs AWS crashes at startup with ProfileNotFound."
AWS_CONFIG_MAP_NOT_CREATED: Final = critical(
    "AWSConfigMapNotCreated",
    "Pods that mount the ConfigMap stay in ContainerCreating.",
    message="{path} {lack}: pods there cannot mount the AWS ConfigMap and stay in ContainerCreating",
    remedy="List the gateway's namespace and the endpoint namespace in {path}.",
    explains=(*NO_START, "EndpointsReady/VolumeSourceMissing"),
)
AWS_MOUNT_PATH_WRONG: Final = critical(
    "AWSMountPathWrong",
    f"{_NO_PROFILE} The chart mounts a single file there, and AWS_CONFIG_FILE is {AWS_CONFIG_FILE}.",
    message=f"{{path}} is {{value}}, but AWS_CONFIG_FILE is {AWS_CONFIG_FILE}: every process crashes (ProfileNotFound)",
    remedy=f"Set {{path}} to {AWS_CONFIG_FILE}.",
    explains=NO_START,
)
AWS_CONFIG_MISSING: Final = critical(
    "AWSConfigMissing",
    f"{_NO_PROFILE} The profile named default must exist unless infra.profile_ml_worker is empty.",
    message="{path} is not set, so pods have no AWS profile {value}: every process crashes (ProfileNotFound)",
    remedy=f"Set aws.profileName to {{value}} and aws.configMap with name, create, namespaces and mountPath "
    f"{AWS_CONFIG_FILE}.",
    explains=NO_START,
)
AWS_PROFILE_MISMATCH: Final = critical(
    "AWSProfileMismatch",
    _NO_PROFILE,
    message="{path} is {value}, but infra.profile_ml_worker is {wanted}: every process crashes (ProfileNotFound)",
    remedy="Set config.values.infra.profile_ml_worker and {path} to the same name.",
    explains=(*NO_START, "ConfigValid/SQSProfileUnknown"),
)
AWS_CONFIG_MAP_UNNAMED: Final = critical(
    "AWSConfigMapUnnamed",
    "The API server rejects the Deployments.",
    message="{path} is {given}, which cannot be the name of a ConfigMap: the API server rejects pods that mount it",
    remedy="Set {path}, for example to default-config.",
    explains=NO_INSTALL,
)


@rule(
    "S2-aws-02",
    title="the AWS configuration is mounted, and has the profile that processes use",
    reads=(
        paths.AWS_CONFIG_MAP_NAME,
        paths.AWS_CONFIG_MAP_CREATE,
        paths.AWS_CONFIG_MAP_NAMESPACES,
        paths.AWS_CONFIG_MAP_MOUNT_PATH,
        paths.AWS_PROFILE,
        paths.PROFILE_ML_WORKER,
    ),
    faults=(
        AWS_CONFIG_MAP_NOT_CREATED,
        AWS_MOUNT_PATH_WRONG,
        AWS_CONFIG_MISSING,
        AWS_PROFILE_MISMATCH,
        AWS_CONFIG_MAP_UNNAMED,
    ),
)
def aws_configuration(view: View) -> Iterator[Finding]:
    needs_profile = view.cloud == Cloud.AWS
    wanted = view.read(paths.PROFILE_ML_WORKER) if view.has(paths.PROFILE_ML_WORKER) else _DEFAULT_PROFILE
    if not view.flag(paths.AWS):
        if needs_profile and wanted and not _mounts_own_configuration(view):
            yield AWS_CONFIG_MISSING.at(paths.AWS, value=wanted)
        return
    if view.flag(paths.AWS_CONFIG_MAP_CREATE):
        yield from _where_created(view)
        made = view.text(paths.AWS_PROFILE)
        if needs_profile and wanted and made != wanted:
            if made:
                yield AWS_PROFILE_MISMATCH.at(paths.AWS_PROFILE, value=made, wanted=wanted)
            else:
                yield AWS_CONFIG_MISSING.at(paths.AWS_PROFILE, value=wanted)
    for problem in view.problems_below(paths.AWS_CONFIG_MAP_NAME):
        yield AWS_CONFIG_MAP_UNNAMED.at(paths.AWS_CONFIG_MAP_NAME, given=problem.given)
    mounted = displayed(view.raw(paths.AWS_CONFIG_MAP_MOUNT_PATH))
    if mounted != AWS_CONFIG_FILE and view.seen(paths.AWS_CONFIG_MAP_MOUNT_PATH):
        explains = NO_START if needs_profile else ()
        yield AWS_MOUNT_PATH_WRONG.at(
            paths.AWS_CONFIG_MAP_MOUNT_PATH, value=mounted or "not set", explains=explains
        )


def _mounts_own_configuration(view: View) -> bool:
    """Whether the values bring an AWS configuration by a volume or an environment of their own."""
    names = {str(item.get("name")) for _, item in view.entries(paths.EXTRA_ENV_VARS)}
    return bool(view.items("extraVolumeMounts")) or "AWS_CONFIG_FILE" in names


def _where_created(view: View) -> Iterator[Finding]:
    path = paths.AWS_CONFIG_MAP_NAMESPACES
    namespaces = [str(item) for item in view.items(path)]
    if not namespaces:
        if view.seen(path):
            yield AWS_CONFIG_MAP_NOT_CREATED.at(path, lack="is empty")
        return
    endpoints = view.endpoint_namespace
    own = view.facts.namespace if view.installed else ""
    if own and own not in namespaces:
        yield AWS_CONFIG_MAP_NOT_CREATED.at(path, lack=f"lacks {own}", explains=NO_START)
    if endpoints and endpoints not in namespaces:
        yield AWS_CONFIG_MAP_NOT_CREATED.at(
            path, lack=f"lacks {endpoints}", explains=("EndpointsReady/VolumeSourceMissing",)
        )


_NO_QUEUE: Final = "Creating an async endpoint ends as UPDATE_FAILED."
SQS_PLACEHOLDER_UNKNOWN: Final = high(
    "SQSPlaceholderUnknown",
    _NO_QUEUE,
    message="{path} has the unknown placeholder {value}",
    remedy="Remove {value} from {path}; it can use {known}.",
    explains=("EndpointsReady/EndpointUpdateFailed",),
)
SQS_TEMPLATE_NOT_JSON: Final = high(
    "SQSTemplateNotJSON",
    _NO_QUEUE,
    message="{path} is not a JSON object: {detail}",
    remedy="Write {path} as a JSON object.",
    explains=("EndpointsReady/EndpointUpdateFailed",),
)
SQS_POLICY_WITHOUT_QUEUE: Final = high(
    "SQSPolicyWithoutQueue",
    "The policy applies to no queue that the platform creates.",
    message="{path} does not contain ${{queue_name}}, so the policy matches no queue that the platform creates",
    remedy="End the Resource of each statement in {path} with ${{queue_name}}.",
)
SQS_SAMPLE_ACCOUNT: Final = high(
    "SQSSampleAccount",
    "The policy is for an account that does not exist.",
    message="{path} still has the account 000000000000 of values_sample.yaml",
    remedy="Replace 000000000000 in {path} by your account.",
)


@rule(
    "S2-aws-03",
    title="the SQS templates are JSON with known placeholders",
    reads=(paths.SQS_QUEUE_POLICY_TEMPLATE, paths.SQS_QUEUE_TAG_TEMPLATE),
    faults=(SQS_PLACEHOLDER_UNKNOWN, SQS_TEMPLATE_NOT_JSON, SQS_POLICY_WITHOUT_QUEUE, SQS_SAMPLE_ACCOUNT),
    clouds=(Cloud.AWS,),
)
def sqs_templates(view: View) -> Iterator[Finding]:
    for path, names in (
        (paths.SQS_QUEUE_POLICY_TEMPLATE, frozenset({"queue_name"})),
        (paths.SQS_QUEUE_TAG_TEMPLATE, _TAG_NAMES),
    ):
        text = view.text(path)
        if not text:
            continue
        unknown = sorted(set(_PLACEHOLDER.findall(text)) - names)
        if unknown:
            usable = ", ".join(f"${{{name}}}" for name in sorted(names))
            yield SQS_PLACEHOLDER_UNKNOWN.at(path, value=f"${{{unknown[0]}}}", known=usable)
            continue
        try:
            parsed = json.loads(_PLACEHOLDER.sub("x", text))
        except ValueError as error:
            yield SQS_TEMPLATE_NOT_JSON.at(path, detail=str(error).split(":")[0].lower())
            continue
        if not isinstance(parsed, dict):
            yield SQS_TEMPLATE_NOT_JSON.at(path, detail="it is another JSON value")
        elif path == paths.SQS_QUEUE_POLICY_TEMPLATE and "queue_name" not in _PLACEHOLDER.findall(text):
            yield SQS_POLICY_WITHOUT_QUEUE.at(path)
        if "000000000000" in text:
            yield SQS_SAMPLE_ACCOUNT.at(path)


DEFAULT_REGION_INVALID: Final = high(
    "DefaultRegionInvalid",
    "No service of AWS has an address there: every call for SQS, ECR and Secrets Manager fails.",
    message="{path} is {value}, {wrong}",
    remedy="Set {path} to {region}.",
    explains=(
        "BrokerReachable/QueueRegionMismatch",
        "BrokerReachable/HostUnresolvable",
        "DatabaseMigrated/HostUnresolvable",
        "VllmImagePullable/HostUnresolvable",
    ),
)
REGISTRY_REGION_MISMATCH: Final = high(
    "RegistryRegionMismatch",
    "The platform asks the ECR of default_region, where the images are not.",
    message="{path} is in {value}, but default_region is {region}: images are looked for in {region}",
    remedy="Set {path} to the registry of {region}, or correct config.values.infra.default_region.",
)
AWS_REGION_MISMATCH: Final = high(
    "AWSRegionMismatch",
    "Queues are looked for where they were not created.",
    message="{path} sets AWS_REGION to {value}, but default_region is {region}",
    remedy="Remove AWS_REGION from extraEnvVars, or set it to {region}.",
    explains=("BrokerReachable/QueueRegionMismatch",),
)


@rule(
    "S2-aws-04",
    title="one region everywhere",
    reads=(paths.DEFAULT_REGION, paths.DOCKER_REPO_PREFIX, paths.EXTRA_ENV_VARS),
    faults=(DEFAULT_REGION_INVALID, REGISTRY_REGION_MISMATCH, AWS_REGION_MISMATCH),
    clouds=(Cloud.AWS,),
)
def one_region(view: View) -> Iterator[Finding]:
    region = view.region
    if not region:
        return
    found = _REGION.fullmatch(region.lower())
    if not found or found["region"] != region:
        yield DEFAULT_REGION_INVALID.at(
            paths.DEFAULT_REGION,
            value=region,
            wrong="an availability zone" if found and found["zone"] else "not a region of AWS",
            region=found["region"] if found else "the region's code, for example us-east-1",
        )
        return
    registry = _ECR.match(view.text(paths.DOCKER_REPO_PREFIX))
    if registry and registry["region"] != region:
        yield REGISTRY_REGION_MISMATCH.at(paths.DOCKER_REPO_PREFIX, value=registry["region"], region=region)
    for where, item in view.entries(paths.EXTRA_ENV_VARS):
        if item.get("name") == "AWS_REGION" and item.get("value") not in (None, region):
            yield AWS_REGION_MISMATCH.at(where, value=item["value"], region=region)


SQS_PROFILE_UNKNOWN: Final = high(
    "SQSProfileUnknown",
    "Every use of SQS fails with ProfileNotFound.",
    message="{path} is {value}, but the AWS configuration has only the profile {made}",
    remedy="Set {path} to {made}.",
    explains=("EndpointsReady/EndpointUpdateFailed",),
)


@rule(
    "S2-aws-05",
    title="sqs_profile is a profile of the AWS configuration",
    reads=(paths.SQS_PROFILE, paths.AWS_PROFILE),
    faults=(SQS_PROFILE_UNKNOWN,),
    clouds=(Cloud.AWS,),
)
def known_profile(view: View) -> Iterator[Finding]:
    given, made = view.text(paths.SQS_PROFILE), view.text(paths.AWS_PROFILE)
    if given and made and view.flag(paths.AWS_CONFIG_MAP_CREATE) and given != made:
        yield SQS_PROFILE_UNKNOWN.at(paths.SQS_PROFILE, value=given, made=made)


TWO_CACHE_SOURCES: Final = warning(
    "TwoCacheSources",
    "The URL wins, and a change of the secret changes nothing.",
    message="{path} is set beside cache_redis_aws_url, which wins",
    remedy="Remove {path} or config.values.launch.cache_redis_aws_url.",
)


@rule(
    "S2-aws-06",
    title="the cache has one source",
    reads=_AWS_CACHE,
    faults=(TWO_CACHE_SOURCES,),
    clouds=(Cloud.AWS,),
)
def one_cache_source(view: View) -> Iterator[Finding]:
    if all(view.text(path) for path in _AWS_CACHE):
        yield TWO_CACHE_SOURCES.at(_AWS_CACHE[1])


AWS_CACHE_ON_AZURE: Final = critical(
    "AWSCacheOnAzure",
    "Gateway, builder and cacher crash: AWS fields are read first and refused on another cloud.",
    message="{path} is set on azure: gateway, builder and cacher crash (AssertionError)",
    remedy="Set {path} to null; leaving it out keeps what an earlier values file gives.",
    explains=("RedisReachable/cache/RedisSourceOfAnotherCloud", *NO_START),
)


@rule(
    "S2-az-01",
    title="no AWS cache is left on Azure",
    reads=_AWS_CACHE,
    faults=(AWS_CACHE_ON_AZURE,),
    clouds=(Cloud.AZURE,),
)
def aws_cache_on_azure(view: View) -> Iterator[Finding]:
    if view.text(paths.CACHE_REDIS_ONPREM_URL):
        return  # read before either
    for path in _AWS_CACHE:
        if view.text(path):
            yield AWS_CACHE_ON_AZURE.at(path)


AZURE_FIELD_UNSET: Final = critical(
    "AzureFieldUnset",
    "The managed identity, Key Vault, Service Bus or Blob Storage cannot be used.",
    message="{path} is not set{hint}",
    remedy="Set {path}.",
    explains=tuple(name for names in _AZURE_EXPLAINS.values() for name in names),
    hint="",
)


@rule(
    "S2-az-02",
    title="the azure block is complete",
    reads=(*(f"azure.{name}" for name in _AZURE), "keyvaultName"),
    faults=(AZURE_FIELD_UNSET,),
    clouds=(Cloud.AZURE,),
)
def azure_block(view: View) -> Iterator[Finding]:
    for name in _AZURE:
        path = f"azure.{name}"
        if view.absent(path):
            hint = (
                "; the top-level keyvaultName is not read"
                if name == "keyvault_name" and view.text("keyvaultName")
                else ""
            )
            yield AZURE_FIELD_UNSET.at(path, hint=hint, explains=_AZURE_EXPLAINS.get(name, ()))


BROKER_TYPE_NOT_SERVICE_BUS: Final = critical(
    "BrokerTypeNotServiceBus",
    "Forwarders of async endpoints crash (ValueError) or consume another broker, and nothing scales them.",
    message="{path} is {value} on azure: forwarders of async endpoints do not consume Service Bus",
    remedy="Set {path} to servicebus.",
    explains=("BrokerReachable/UnknownBrokerType", "BrokerReachable/WorkerBrokerMismatch"),
)


@rule(
    "S2-az-03",
    title="celeryBrokerType is servicebus on Azure",
    reads=(paths.CELERY_BROKER_TYPE,),
    faults=(BROKER_TYPE_NOT_SERVICE_BUS,),
    clouds=(Cloud.AZURE,),
)
def azure_broker(view: View) -> Iterator[Finding]:
    path = paths.CELERY_BROKER_TYPE
    if view.absent(path) or view.text(path) != "servicebus":
        yield BROKER_TYPE_NOT_SERVICE_BUS.at(path, value=view.text(path) or "not set")


REDIS_BROKER_ON_AZURE: Final = critical(
    "RedisBrokerOnAzure",
    "Endpoints stay UPDATE_PENDING: the gateway sends build tasks to Service Bus, the builder consumes Redis.",
    message="{path} is {value} on azure: the gateway sends build tasks to Service Bus, the builder consumes Redis",
    remedy="Set {path} to null.",
    explains=("BrokerReachable/BuilderBrokerMismatch",),
)


@rule(
    "S2-az-04",
    title="celery_broker_type_redis is off on Azure",
    reads=(paths.CELERY_BROKER_TYPE_REDIS,),
    faults=(REDIS_BROKER_ON_AZURE,),
    clouds=(Cloud.AZURE,),
)
def azure_split(view: View) -> Iterator[Finding]:
    if view.flag(paths.CELERY_BROKER_TYPE_REDIS):
        path = _where(view, paths.CELERY_BROKER_TYPE_REDIS)
        yield REDIS_BROKER_ON_AZURE.at(path, value=view.text(path))


AZURE_CACHE_PORT_MISSING: Final = high(
    "AzureCachePortMissing",
    "Port 6379 is used, where Azure Cache for Redis offers no TLS, or does not listen.",
    message="{path} is {value}, without the TLS port 6380: port 6379 is used",
    remedy="Append :6380 to {path}.",
    explains=(
        "RedisReachable/ConnectionTimeout",
        "RedisReachable/ConnectionRefused",
        "RedisReachable/ServerNotTLS",
    ),
)


@rule(
    "S2-az-05",
    title="the Azure cache's host has its port",
    reads=(paths.CACHE_REDIS_AZURE_HOST,),
    faults=(AZURE_CACHE_PORT_MISSING,),
    clouds=(Cloud.AZURE,),
)
def azure_cache_port(view: View) -> Iterator[Finding]:
    host = view.text(paths.CACHE_REDIS_AZURE_HOST)
    if host and not host.endswith((":6380", ":10000")):
        yield AZURE_CACHE_PORT_MISSING.at(paths.CACHE_REDIS_AZURE_HOST, value=host)


AZURE_PULL_SECRET_MISSING: Final = warning(
    "AzurePullSecretMissing",
    "Images are pulled without credentials.",
    message="namespace {namespace} has no Secret {name}, which the ServiceAccounts on azure pull images with",
    remedy="Create the Secret {name} in namespace {namespace}, of type kubernetes.io/dockerconfigjson.",
)


@rule(
    "S2-az-06",
    title="the pull secret of the Azure ServiceAccounts exists",
    reads=("azure.identity_name",),
    faults=(AZURE_PULL_SECRET_MISSING,),
    clouds=(Cloud.AZURE,),
    needs_cluster=True,
)
def azure_pull_secret(view: View) -> Iterator[Finding]:
    for where, exists in view.facts.secrets.items():
        namespace, _, name = where.partition("/")
        if name == "egp-ecr-regcred" and not exists:
            yield AZURE_PULL_SECRET_MISSING.at(paths.AZURE, namespace=namespace, name=name)


GCP_CACHE_UNSET: Final = critical(
    "GCPCacheUnset",
    "Gateway, builder and cacher crash with an AssertionError when they first need the cache.",
    message="{path} is not set on gcp: gateway, builder and cacher crash (AssertionError)",
    remedy="Set {path}, for example to redis://10.0.0.3:6379/0.",
    explains=(*NO_START, "RedisReachable/cache/NoRedisConfigured"),
)
GCP_PROJECT_UNSET: Final = critical(
    "GCPProjectUnset",
    "Gateway and cacher crash with a ValueError when they first need Pub/Sub or Cloud Storage.",
    message="{path} is not set, nor is infra.gcp_project_id: gateway and cacher crash (ValueError)",
    remedy="Set {path} to the project of the buckets and topics.",
    explains=(*_NO_GATEWAY, "ControlPlaneReady/CacherNotReady"),
)
GCP_DECLARED_ON_PREMISES: Final = warning(
    "GCPDeclaredOnPremises",
    "The platform on premises has no client for Cloud Storage.",
    message="{path} is onprem, but images come from {value}, a registry of GCP",
    remedy="Set {path} to gcp if this cluster runs on GCP.",
)


@rule(
    "S2-gcp-01",
    title="GCP has its cache and its project",
    reads=(
        paths.CACHE_REDIS_GCP_URL,
        paths.GCP_PROJECT_ID,
        paths.GCP_PROJECT_ID_OF_INFRA,
        paths.CLOUD_PROVIDER,
    ),
    faults=(GCP_CACHE_UNSET, GCP_PROJECT_UNSET, GCP_DECLARED_ON_PREMISES),
    clouds=(Cloud.GCP, Cloud.ONPREM),
)
def gcp(view: View) -> Iterator[Finding]:
    if view.cloud == Cloud.ONPREM:
        prefix = view.text(paths.DOCKER_REPO_PREFIX)
        if re.match(r"([a-z-]+\.)?gcr\.io/|[a-z0-9-]+-docker\.pkg\.dev/", prefix):
            yield GCP_DECLARED_ON_PREMISES.at(paths.CLOUD_PROVIDER, value=prefix.partition("/")[0])
        return
    if not view.text(paths.CACHE_REDIS_ONPREM_URL) and view.absent(paths.CACHE_REDIS_GCP_URL):
        yield GCP_CACHE_UNSET.at(paths.CACHE_REDIS_GCP_URL)
    names = {str(item.get("name")) for _, item in view.entries(paths.EXTRA_ENV_VARS) if item.get("value")}
    given = view.read(paths.GCP_PROJECT_ID_OF_INFRA) or "GCP_PROJECT_ID" in names
    if not given and view.absent(paths.GCP_PROJECT_ID):
        yield GCP_PROJECT_UNSET.at(paths.GCP_PROJECT_ID)


ASYNC_ON_GCP: Final = high(
    "AsyncOnGCP",
    "The gateway writes tasks to Redis database 0 and forwarders read database 3; results go to Redis and are looked "
    "for in object storage.",
    message="{path} is on, but async endpoints do not work on gcp",
    remedy="Set {path} to false, and use sync and streaming endpoints on GCP.",
)


@rule(
    "S2-gcp-02",
    title="async endpoints are not used on GCP",
    reads=(paths.CELERY_BROKER_TYPE, paths.CELERY_AUTOSCALER_ENABLED),
    faults=(ASYNC_ON_GCP,),
    clouds=(Cloud.GCP,),
)
def gcp_async(view: View) -> Iterator[Finding]:
    if view.flag(paths.CELERY_AUTOSCALER_ENABLED):
        yield ASYNC_ON_GCP.at(paths.CELERY_AUTOSCALER_ENABLED)


BUILDER_CONSUMES_SQS: Final = critical(
    "BuilderConsumesSQS",
    "Endpoints stay UPDATE_PENDING: the gateway sends build tasks to Redis, the builder consumes SQS.",
    message="{path} is {value} on premises: the builder consumes SQS, but the gateway sends build tasks to Redis",
    remedy="Set {path} to true.",
    explains=("BrokerReachable/BuilderBrokerMismatch",),
)


@rule(
    "S2-op-01",
    title="the builder consumes Redis on premises",
    reads=(paths.CELERY_BROKER_TYPE_REDIS,),
    faults=(BUILDER_CONSUMES_SQS,),
    clouds=(Cloud.ONPREM,),
)
def onprem_builder(view: View) -> Iterator[Finding]:
    if not view.flag(paths.CELERY_BROKER_TYPE_REDIS):
        path = _where(view, paths.CELERY_BROKER_TYPE_REDIS)
        yield BUILDER_CONSUMES_SQS.at(path, value=view.text(path) or "not set")


BROKER_TYPE_UNKNOWN: Final = critical(
    "BrokerTypeUnknown",
    "Forwarders of async endpoints crash with a ValueError.",
    message="{path} is {value}: forwarders of async endpoints accept redis, sqs and servicebus, and crash (ValueError)",
    remedy="Set {path} to sqs on aws, and to redis elsewhere.",
    explains=("BrokerReachable/UnknownBrokerType", "BrokerReachable/WorkerBrokerMismatch"),
)
BROKER_TYPE_NOT_REDIS: Final = critical(
    "BrokerTypeNotRedis",
    "Tasks of async endpoints are never picked up.",
    message="{path} is {value} on premises, but the gateway sends tasks to Redis: forwarders never see them",
    remedy="Set {path} to redis.",
    explains=("BrokerReachable/WorkerBrokerMismatch",),
)


@rule(
    "S2-op-02",
    title="celeryBrokerType is one that forwarders of async endpoints know",
    reads=(paths.CELERY_BROKER_TYPE,),
    faults=(BROKER_TYPE_UNKNOWN, BROKER_TYPE_NOT_REDIS),
    clouds=(Cloud.AWS, Cloud.GCP, Cloud.ONPREM),
)
def known_broker(view: View) -> Iterator[Finding]:
    path = paths.CELERY_BROKER_TYPE
    given = view.text(path)
    if view.absent(path) or given not in ("redis", "sqs", "servicebus"):
        yield BROKER_TYPE_UNKNOWN.at(path, value=given or "not set")
    elif view.cloud == Cloud.ONPREM and given != "redis":
        yield BROKER_TYPE_NOT_REDIS.at(path, value=given)


AWS_BLOCK_ON_PREMISES: Final = high(
    "AWSBlockOnPremises",
    "S3-compatible credentials from the environment are not used: an AWS profile is.",
    message="{path} is set on premises: processes use an AWS profile instead of the credentials in their environment",
    remedy="Set {path} to null.",
)


@rule(
    "S2-op-03",
    title="the aws block is absent on premises",
    reads=(paths.AWS_PROFILE,),
    faults=(AWS_BLOCK_ON_PREMISES,),
    clouds=(Cloud.ONPREM,),
)
def onprem_aws(view: View) -> Iterator[Finding]:
    if view.flag(paths.AWS):
        yield AWS_BLOCK_ON_PREMISES.at(paths.AWS)


REDIS_HOSTS_DIFFER: Final = high(
    "RedisHostsDiffer",
    "Control plane and forwarders use different brokers.",
    message="{path} is {value}, but config.values.infra.redis_host is {other}: forwarders use another broker",
    remedy="Set {path} and config.values.infra.redis_host to the same host.",
)
REDIS_PORT_NOT_6379: Final = high(
    "RedisPortNot6379",
    "Forwarders of async endpoints know no other port than 6379.",
    message="{path} is {value}, but forwarders of async endpoints use port 6379",
    remedy="Serve the broker on port 6379 and set {path} to 6379.",
)


@rule(
    "S2-op-04",
    title="redisHost, redisPort and redis_host agree",
    reads=(paths.REDIS_HOST, paths.REDIS_PORT, paths.REDIS_HOST_OF_INFRA),
    faults=(REDIS_HOSTS_DIFFER, REDIS_PORT_NOT_6379),
    clouds=(Cloud.ONPREM, Cloud.GCP),
)
def one_redis(view: View) -> Iterator[Finding]:
    chart, config = view.text(paths.REDIS_HOST), view.text(paths.REDIS_HOST_OF_INFRA)
    port = view.text(paths.REDIS_PORT)
    if chart and chart != config:
        yield REDIS_HOSTS_DIFFER.at(paths.REDIS_HOST, value=chart, other=config or "not set")
    if port and port != "6379":
        yield REDIS_PORT_NOT_6379.at(paths.REDIS_PORT, value=port)


S3_ENDPOINT_UNSET: Final = high(
    "S3EndpointUnset",
    "The platform asks the public AWS for buckets that it does not have.",
    message="{path} is not set on premises: the platform asks the public AWS for its buckets",
    remedy="Set {path} to the URL of the S3-compatible store.",
    explains=("ObjectStoreReachable/BucketNotFound", "ObjectStoreReachable/StoreAddressInvalid"),
)
S3_ENDPOINT_INVALID: Final = high(
    "S3EndpointInvalid",
    "No client of the store can be made.",
    message="{path} is {value}, not a URL with http:// or https://",
    remedy="Set {path} to the URL of the S3-compatible store, with its scheme.",
    explains=("ObjectStoreReachable/BucketNotFound", "ObjectStoreReachable/StoreAddressInvalid"),
)
S3_CREDENTIALS_UNSET: Final = high(
    "S3CredentialsUnset",
    "The store rejects what the platform asks for.",
    message="{path} is empty on premises: no credentials of the object store reach the pods",
    remedy="Name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in {path}.",
)


@rule(
    "S2-op-05",
    title="the object store on premises has an address and credentials",
    reads=(paths.S3_ENDPOINT_URL, paths.EXTRA_POD_ENV_FROM),
    faults=(S3_ENDPOINT_UNSET, S3_ENDPOINT_INVALID, S3_CREDENTIALS_UNSET),
    clouds=(Cloud.ONPREM,),
)
def onprem_store(view: View) -> Iterator[Finding]:
    path = paths.S3_ENDPOINT_URL
    if view.absent(path):
        yield S3_ENDPOINT_UNSET.at(path)
    elif not re.match(r"https?://[^/\s]+", view.text(path)):
        yield S3_ENDPOINT_INVALID.at(path, value=view.text(path))
    if not view.items(paths.EXTRA_POD_ENV_FROM) and not view.items(paths.EXTRA_ENV_VARS):
        yield S3_CREDENTIALS_UNSET.at(paths.EXTRA_POD_ENV_FROM)


REGISTRY_TAGS_NOT_LISTED: Final = critical(
    "RegistryTagsNotListed",
    "The cacher crashes with a NotImplementedError in its first loop, and never becomes ready.",
    message="{path} is {value}: the platform cannot list tags of such a registry, and the cacher crashes",
    remedy="Use ECR, ACR or Artifact Registry in {path}, or an image of the platform that can list other registries' "
    "tags.",
    explains=("ControlPlaneReady/CacherNotReady", "ControlPlaneReady/RolloutStuck"),
)


@rule(
    "S2-op-06",
    title="the registry is of a class whose tags the platform can list",
    reads=(paths.DOCKER_REPO_PREFIX, paths.DOCKER_REGISTRY_TYPE),
    faults=(REGISTRY_TAGS_NOT_LISTED,),
)
def registry_class(view: View) -> Iterator[Finding]:
    given, prefix = view.text(paths.DOCKER_REGISTRY_TYPE), view.text(paths.DOCKER_REPO_PREFIX)
    if not given and not prefix:
        return
    by_name = (
        (".dkr.ecr." in prefix and ".amazonaws.com" in prefix)
        or ".azurecr.io" in prefix
        or "-docker.pkg.dev" in prefix
    )
    if given not in ("ecr", "acr", "gar") and (given or not by_name):
        path = paths.DOCKER_REGISTRY_TYPE if given else paths.DOCKER_REPO_PREFIX
        yield REGISTRY_TAGS_NOT_LISTED.at(path, value=given or prefix)


def _where(view: View, flag: str) -> str:
    """Where a flag of the infra configuration is given: the key inside infra wins."""
    inside = f"{INFRA}.{flag}"
    return inside if view.has(inside) else flag
