"""Section 1: what must be set for the control plane to start and any endpoint to be created."""

import re
from collections.abc import Iterator
from typing import Final

from mehc_checks.checks.config.rules.fault import NO_INSTALL, NO_START, OF_THE_CLOUD, critical, high, warning
from mehc_checks.checks.config.rules.rule import Cloud, View, rule
from mehc_checks.core.outcome import Finding
from mehc_checks.core.text import nearest
from mehc_checks.modelengine import paths, structure
from mehc_checks.modelengine.configuration import displayed, printed
from mehc_checks.modelengine.fieldtypes import is_namespace
from mehc_checks.modelengine.structure import Kind, Problem
from mehc_checks.modelengine.valuesfile import is_number

_DOCUMENTED_FILE: Final = f"{paths.LAUNCH}.s3_file_llm_fine_tuning_job_repository"
REQUIRED_LAUNCH: Final = tuple(
    f"{paths.LAUNCH}.{name}"
    for name in (
        "endpoint_namespace",
        "billing_queue_arn",
        "sqs_profile",
        "sqs_queue_policy_template",
        "sqs_queue_tag_template",
        "model_primitive_host",
        "hf_user_fine_tuned_weights_prefix",
        "istio_enabled",
        "sensitive_log_mode",
        "tgi_repository",
        "vllm_repository",
        "lightllm_repository",
        "tensorrt_llm_repository",
        "batch_inference_vllm_repository",
        "user_inference_base_repository",
        "user_inference_pytorch_repository",
        "user_inference_tensorflow_repository",
        "docker_image_layer_cache_repository",
    )
)
"""Fields without a default of the platform's service configuration. Source: ``common/config.py``."""
REQUIRED_INFRA: Final = (
    paths.CLOUD_PROVIDER,
    paths.K8S_CLUSTER_NAME,
    paths.DNS_HOST_DOMAIN,
    paths.DEFAULT_REGION,
    paths.ML_ACCOUNT_ID,
    paths.DOCKER_REPO_PREFIX,
    paths.S3_BUCKET,
)
"""Fields without a default of the platform's infra configuration. Source: ``core/config.py``."""
JUDGED_ELSEWHERE: Final = (
    paths.TAG,
    paths.CONTEXT,
    paths.HPA_MIN_REPLICAS,
    paths.HPA_MAX_REPLICAS,
    paths.HPA_TARGET_CONCURRENCY,
    f"{paths.VPA}.minAllowed",
    f"{paths.VPA}.maxAllowed",
    "resources",
    paths.PULL_POLICY,
    paths.SERVICE_TYPE,
    paths.AWS_CONFIG_MAP_NAME,
    paths.REDIS_AUTH,
)
"""Whose rejections are told by rules of their own."""
_READ: Final = tuple(dict.fromkeys(row.path for row in structure.rows()))
_REPOSITORIES: Final = (paths.GATEWAY_REPOSITORY, paths.BUILDER_REPOSITORY, paths.FORWARDER_REPOSITORY)
_PLACEHOLDERS: Final = {
    paths.ML_ACCOUNT_ID: "000000000000",
    paths.K8S_CLUSTER_NAME: "main_cluster",
    paths.DNS_HOST_DOMAIN: "llm-engine.domain.com",
    paths.DOCKER_REPO_PREFIX: "000000000000",
    paths.ACCOUNT_ANNOTATIONS: "000000000000",
    paths.IMAGE_BUILDER_ANNOTATIONS: "000000000000",
    paths.INFERENCE_ACCOUNT_ANNOTATIONS: "000000000000",
    paths.VIRTUAL_SERVICE_HOSTS: "llm-engine.domain.com",
}
_STARTUP_CRASH: Final = "Gateway, builder and cacher crash at startup with a TypeError, on every cloud."

FINE_TUNE_REPOSITORY_MISSING: Final = critical(
    "FineTuneRepositoryMissing",
    _STARTUP_CRASH,
    message="{path} is missing: gateway, builder and cacher crash at startup (TypeError){hint}",
    remedy="Set {path}, for example to s3://my-bucket/llm-ft-job-repository, and remove "
    "s3_file_llm_fine_tuning_job_repository: the platform does not read it.",
    explains=NO_START,
    hint="",
)


@rule(
    "S1-01",
    title="cloud_file_llm_fine_tune_repository is set",
    reads=(paths.FINE_TUNE_REPOSITORY, _DOCUMENTED_FILE),
    faults=(FINE_TUNE_REPOSITORY_MISSING,),
    of_version=True,
)
def fine_tune_repository(view: View) -> Iterator[Finding]:
    if view.missing(paths.FINE_TUNE_REPOSITORY):
        hint = "; s3_file_llm_fine_tuning_job_repository is not read" if view.text(_DOCUMENTED_FILE) else ""
        yield FINE_TUNE_REPOSITORY_MISSING.at(paths.FINE_TUNE_REPOSITORY, hint=hint)


_NO_ENDPOINT_NAMESPACE: Final = (
    "ConfigValid/EndpointNamespaceShared",
    "ConfigValid/InferenceAccountMissing",
    "ConfigValid/ConfigMapMissing",
    "VllmImagePullable/InferenceServiceAccountMissing",
)
"""What follows where the namespace of endpoints is not known, or not there."""
LAUNCH_FIELD_MISSING: Final = critical(
    "LaunchFieldMissing",
    _STARTUP_CRASH,
    message="{path} is missing and has no default: gateway, builder and cacher crash at startup (TypeError)",
    remedy="Set {path}; for a feature that you do not use any string works, for example unused.",
    explains=(*NO_START, *_NO_ENDPOINT_NAMESPACE),
)


@rule(
    "S1-02",
    title="every launch field without a default is set",
    reads=REQUIRED_LAUNCH,
    faults=(LAUNCH_FIELD_MISSING,),
    of_version=True,
)
def required_launch(view: View) -> Iterator[Finding]:
    for path in REQUIRED_LAUNCH:
        if view.missing(path):  # null and empty text are values for a field of a dataclass
            explains = None if path == paths.ENDPOINT_NAMESPACE else NO_START
            yield LAUNCH_FIELD_MISSING.at(path, explains=explains)


BLOCK_MISSING: Final = critical(
    "BlockMissing",
    "The chart's templates read below the block, and helm install fails with a nil pointer error.",
    message="{path} is missing: the chart's templates read below it and helm install fails",
    remedy="Add the block {path} to your values; values_sample.yaml of the chart shows it.",
    explains=NO_INSTALL,
)
VALUE_MISSING: Final = critical(
    "ValueMissing",
    "The API server rejects an object that the chart makes, and helm install fails.",
    message="{path} is missing: the API server rejects the object that needs it",
    remedy="Set {path} to {wanted}.",
    explains=NO_INSTALL,
)


@rule(
    "S1-03",
    title="what the chart's templates need is there",
    reads=_READ,
    faults=(BLOCK_MISSING, VALUE_MISSING),
    of_install=True,
    of_version=True,
)
def required_values(view: View) -> Iterator[Finding]:
    for problem in _problems(view):
        if problem.kind is Kind.MISSING and view.absent(problem.path):
            block = problem.wanted == "a map"
            yield (
                BLOCK_MISSING.at(problem.path)
                if block
                else VALUE_MISSING.at(problem.path, wanted=problem.wanted)
            )


def _problems(view: View) -> list[Problem]:
    elsewhere = view.problems_below(*JUDGED_ELSEWHERE)
    return [problem for problem in view.problems if problem not in elsewhere]


TAG_NOT_TEXT: Final = critical(
    "TagNotText",
    "The chart writes the tag without quotes into labels, and the API server rejects what cannot be the value of one: "
    "a number, a boolean, more than 63 characters.",
    message="{path} is {given}, which cannot be the value of a label: the API server rejects every object",
    remedy="Use a {path} of at most 63 letters, digits, -, _ and . that only reads as text, for example sha-1234567.",
    explains=NO_INSTALL,
)
TAG_UNSET: Final = critical(
    "TagUnset",
    "Images have no tag, and pods stay in InvalidImageName.",
    message="{path} is not set: pods stay in InvalidImageName",
    remedy="Set {path} to the tag of the platform's images.",
    explains=NO_START,
)


@rule(
    "S1-04",
    title="tag is text that can be the value of a label",
    reads=(paths.TAG,),
    faults=(TAG_NOT_TEXT, TAG_UNSET),
)
def tag(view: View) -> Iterator[Finding]:
    if view.absent(paths.TAG):
        yield TAG_UNSET.at(paths.TAG)
    for problem in view.problems_below(paths.TAG):
        yield TAG_NOT_TEXT.at(paths.TAG, given=problem.given)


IMAGE_REPOSITORY_UNSET: Final = critical(
    "ImageRepositoryUnset",
    "Pods stay in InvalidImageName.",
    message="{path} is not set: the pods that use it stay in InvalidImageName",
    remedy="Set {path}.",
    explains=(*NO_START, "EndpointsReady/ImageNameInvalid"),
)
CACHER_REPOSITORY_IGNORED: Final = warning(
    "CacherRepositoryIgnored",
    "The cacher runs the gateway's image, whatever image.cacherRepository says.",
    message="{path} is {value}, but the cacher runs image.gatewayRepository, {gateway}",
    remedy="Remove {path}: the cacher always runs image.gatewayRepository.",
)


@rule(
    "S1-05",
    title="the image repositories are set",
    reads=(*_REPOSITORIES, paths.CACHER_REPOSITORY),
    faults=(IMAGE_REPOSITORY_UNSET, CACHER_REPOSITORY_IGNORED),
)
def repositories(view: View) -> Iterator[Finding]:
    for path in _REPOSITORIES:
        if view.absent(path):
            forwarder = path == paths.FORWARDER_REPOSITORY
            explains = ("EndpointsReady/ImageNameInvalid",) if forwarder else NO_START
            yield IMAGE_REPOSITORY_UNSET.at(path, explains=explains)
    cacher, gateway = view.text(paths.CACHER_REPOSITORY), view.text(paths.GATEWAY_REPOSITORY)
    if cacher and gateway and cacher != gateway:
        yield CACHER_REPOSITORY_IGNORED.at(paths.CACHER_REPOSITORY, value=cacher, gateway=gateway)


DATABASE_SECRET_UNSET: Final = critical(
    "DatabaseSecretUnset",
    "The platform falls back to database names and addresses of its own.",
    message="neither {path} nor secrets.cloudDatabaseSecretName is set: no database is configured",
    remedy="Set {path} to a Secret that has the database URL under the key database_url, or set "
    "secrets.cloudDatabaseSecretName to a secret of the cloud.",
    explains=("DatabaseMigrated/DatabaseNotConfigured",),
)
TWO_DATABASE_SECRETS_NAMED: Final = warning(
    "TwoDatabaseSecretsNamed",
    "The Kubernetes Secret wins silently.",
    message="{path} is set beside secrets.kubernetesDatabaseSecretName, which wins",
    remedy="Remove {path} or secrets.kubernetesDatabaseSecretName.",
)


@rule(
    "S1-06",
    title="exactly one database secret is named",
    reads=(paths.KUBERNETES_DATABASE_SECRET, paths.CLOUD_DATABASE_SECRET),
    faults=(DATABASE_SECRET_UNSET, TWO_DATABASE_SECRETS_NAMED),
)
def database_secret(view: View) -> Iterator[Finding]:
    kubernetes, cloud = paths.KUBERNETES_DATABASE_SECRET, paths.CLOUD_DATABASE_SECRET
    if view.text(kubernetes) and view.text(cloud):
        yield TWO_DATABASE_SECRETS_NAMED.at(cloud)
    elif not view.text(kubernetes) and view.absent(cloud):
        named = {str(item.get("name")) for _, item in view.entries(paths.EXTRA_ENV_VARS)}
        own = "ML_INFRA_DATABASE_URL" in named or (
            view.cloud in (Cloud.ONPREM, Cloud.GCP) and "DB_HOST" in named
        )
        if not own and view.absent(kubernetes):
            yield DATABASE_SECRET_UNSET.at(kubernetes)


SERVICE_ACCOUNT_NOT_HOOKED: Final = critical(
    "ServiceAccountNotHooked",
    "On a first install the migration Job, a hook, runs before its ServiceAccount exists, and fails.",
    message="{path} has no pre-install hook, so on a first install the migration Job has no ServiceAccount",
    remedy='Add "helm.sh/hook": pre-install,pre-upgrade and "helm.sh/hook-weight": "-2" to {path}.',
    explains=("DatabaseMigrated/NeverMigrated",),
)


@rule(
    "S1-07",
    title="the ServiceAccount exists before the migration Job",
    reads=(paths.ACCOUNT_ANNOTATIONS, paths.RUN_MIGRATION),
    faults=(SERVICE_ACCOUNT_NOT_HOOKED,),
)
def hooked_service_account(view: View) -> Iterator[Finding]:
    path = paths.ACCOUNT_ANNOTATIONS
    if not view.flag(paths.RUN_MIGRATION):
        return
    hooks = str(view.table(path).get("helm.sh/hook", ""))
    if "pre-install" not in hooks and view.seen(path):
        yield SERVICE_ACCOUNT_NOT_HOOKED.at(path)


CLOUD_PROVIDER_UNKNOWN: Final = critical(
    "CloudProviderUnknown",
    "Parts of the platform take the AWS branch, others refuse AWS settings: the gateway crashes or asks AWS.",
    message="{path} is {value}, not aws, azure, gcp or onprem",
    remedy="Set {path} to aws, azure, gcp or onprem, in lower case.",
    explains=(*OF_THE_CLOUD, *NO_START),
)


@rule(
    "S1-08",
    title="cloud_provider is aws, azure, gcp or onprem",
    reads=(paths.CLOUD_PROVIDER,),
    faults=(CLOUD_PROVIDER_UNKNOWN,),
)
def cloud_provider(view: View) -> Iterator[Finding]:
    path = paths.CLOUD_PROVIDER
    if view.has(path) and view.raw(path) not in tuple(Cloud):
        yield CLOUD_PROVIDER_UNKNOWN.at(path, value=displayed(view.raw(path)) or "empty")


ACCOUNT_ID_NOT_QUOTED: Final = high(
    "AccountIDNotQuoted",
    "The chart writes a number as 1.11122223333e+11, which becomes part of queue and image names.",
    message="{path} is the number {value}, which becomes part of queue and image names",
    remedy='Quote {path}, for example "111122223333".',
)


@rule(
    "S1-09",
    title="ml_account_id is quoted",
    reads=(paths.ML_ACCOUNT_ID,),
    faults=(ACCOUNT_ID_NOT_QUOTED,),
)
def quoted_account(view: View) -> Iterator[Finding]:
    text = printed(view.raw(paths.ML_ACCOUNT_ID))
    if "e+" in text and is_number(text):
        yield ACCOUNT_ID_NOT_QUOTED.at(paths.ML_ACCOUNT_ID, value=text)


SAMPLE_PLACEHOLDER_LEFT: Final = warning(
    "SamplePlaceholderLeft",
    "Names, roles or images of an account that is not yours are used.",
    message="{path} still has the placeholder {value} of values_sample.yaml",
    remedy="Replace {value} in {path} by your own.",
)


@rule(
    "S1-10",
    title="no placeholder of values_sample.yaml is left",
    reads=tuple(_PLACEHOLDERS),
    faults=(SAMPLE_PLACEHOLDER_LEFT,),
)
def placeholders(view: View) -> Iterator[Finding]:
    for path, placeholder in _PLACEHOLDERS.items():
        value = view.raw(path)
        if placeholder in (view.text(path) or str(value or "")):
            yield SAMPLE_PLACEHOLDER_LEFT.at(path, value=placeholder)


ENDPOINT_NAMESPACE_MISSING: Final = critical(
    "EndpointNamespaceMissing",
    "The install's hooks create ConfigMaps in the endpoint namespace and fail.",
    message="{path} is {value}, a namespace that does not exist",
    remedy="Run kubectl create namespace {value}, then run helm upgrade.",
    explains=(*NO_INSTALL, *_NO_ENDPOINT_NAMESPACE),
)
ENDPOINT_NAMESPACE_SHARED: Final = high(
    "EndpointNamespaceShared",
    "Two ServiceAccounts of one name overwrite each other.",
    message="{path} is the gateway's own namespace {value}, and both use the ServiceAccount {account}",
    remedy="Set {path} to another namespace, or serviceTemplate.serviceAccountName to another name.",
)


@rule(
    "S1-11",
    title="endpoints have a namespace of their own, and it exists",
    reads=(paths.ENDPOINT_NAMESPACE, paths.INFERENCE_ACCOUNT),
    faults=(ENDPOINT_NAMESPACE_MISSING, ENDPOINT_NAMESPACE_SHARED),
    needs_cluster=True,
)
def endpoint_namespace(view: View) -> Iterator[Finding]:
    path, where = paths.ENDPOINT_NAMESPACE, view.endpoint_namespace
    if not where:
        return
    facts = view.facts
    if facts.endpoint_namespace_exists is False:
        yield ENDPOINT_NAMESPACE_MISSING.at(path, value=where)
    account = view.inference_account
    if where == facts.namespace and account and account == view.fullname:
        yield ENDPOINT_NAMESPACE_SHARED.at(path, value=where, account=account)


ENDPOINT_NAMESPACE_INVALID: Final = critical(
    "EndpointNamespaceInvalid",
    "The install's hooks create ConfigMaps in the endpoint namespace and fail.",
    message="{path} is {value}, which cannot be the name of a namespace",
    remedy="Set {path} to at most 63 lower-case letters, digits and -, beginning and ending with a letter or digit.",
    explains=(*NO_INSTALL, *_NO_ENDPOINT_NAMESPACE, "ConfigValid/EndpointNamespaceMissing"),
)


@rule(
    "S1-19",
    title="the name of the endpoint namespace is valid",
    reads=(paths.ENDPOINT_NAMESPACE,),
    faults=(ENDPOINT_NAMESPACE_INVALID,),
)
def endpoint_namespace_name(view: View) -> Iterator[Finding]:
    where = view.endpoint_namespace
    if where and not is_namespace(where):
        yield ENDPOINT_NAMESPACE_INVALID.at(paths.ENDPOINT_NAMESPACE, value=where)


CACHE_REDIS_UNSET: Final = critical(
    "CacheRedisUnset",
    "Gateway, builder and cacher crash with an AssertionError when they first need the cache.",
    message="no cache Redis is configured for {cloud}: gateway, builder and cacher crash (AssertionError)",
    remedy="Set {path}, or config.values.launch.cache_redis_onprem_url, which works on every cloud.",
    explains=(
        "RedisReachable/cache/NoRedisConfigured",
        "RedisReachable/cache/RedisSourceOfAnotherCloud",
        *NO_START,
    ),
)


@rule(
    "S1-12",
    title="the cache has a Redis for this cloud",
    reads=(
        paths.CACHE_REDIS_AWS_URL,
        paths.CACHE_REDIS_AWS_SECRET_NAME,
        paths.CACHE_REDIS_AZURE_HOST,
        paths.CACHE_REDIS_ONPREM_URL,
    ),
    faults=(CACHE_REDIS_UNSET,),
    clouds=(Cloud.AWS, Cloud.AZURE),
)
def cache_source(view: View) -> Iterator[Finding]:
    sources = [paths.CACHE_REDIS_ONPREM_URL, paths.CACHE_REDIS_AWS_URL, paths.CACHE_REDIS_AWS_SECRET_NAME]
    if view.cloud == Cloud.AZURE:
        sources.append(paths.CACHE_REDIS_AZURE_HOST)
    if all(view.absent(path) for path in sources):
        own = paths.CACHE_REDIS_AZURE_HOST if view.cloud == Cloud.AZURE else paths.CACHE_REDIS_AWS_URL
        yield CACHE_REDIS_UNSET.at(own, cloud=view.cloud)


KEY_UNKNOWN: Final = warning(
    "KeyUnknown",
    "The value has no effect, and what it was meant to replace stays.",
    message="{path} is not read by the chart or the platform{hint}",
    remedy="Correct the name of {path}, or remove it.",
    hint="",
)


@rule(
    "S1-13",
    title="every key is one that the chart or the platform reads",
    reads=(),
    faults=(KEY_UNKNOWN,),
    of_version=True,
)
def known_keys(view: View) -> Iterator[Finding]:
    for path, beside in structure.unknown(view.values.tree):
        if path == _DOCUMENTED_FILE and view.missing(paths.FINE_TUNE_REPOSITORY):
            continue  # told by S1-01
        key = path.rpartition(".")[2]
        near = nearest(key, beside, cutoff=0.8)
        yield KEY_UNKNOWN.at(path, hint=f"; did you mean {near[0]}?" if near else "")


VALUE_HAS_WRONG_TYPE: Final = critical(
    "ValueHasWrongType",
    "helm install fails in a template.",
    message="{path} is {given}, but must be {wanted}: helm install fails",
    remedy="Write {path} as {wanted}.",
    explains=NO_INSTALL,
)
VALUE_BREAKS_YAML: Final = critical(
    "ValueBreaksYAML",
    "The chart writes the value without quotes, and what it makes is not YAML: helm install fails.",
    message="{path} is {given}, which breaks the YAML that the chart writes it into: helm install fails",
    remedy="Set {path} to {wanted}.",
    explains=NO_INSTALL,
)
VALUE_REJECTED: Final = critical(
    "ValueRejected",
    "The API server rejects an object that the chart makes, and helm install fails.",
    message="{path} is {given}, but must be {wanted}: the API server rejects it",
    remedy="Set {path} to {wanted}.",
    explains=NO_INSTALL,
)
_BY_KIND: Final = {
    Kind.TYPE: VALUE_HAS_WRONG_TYPE,
    Kind.YAML: VALUE_BREAKS_YAML,
    Kind.REJECTED: VALUE_REJECTED,
}


@rule(
    "S1-14",
    title="every value is of a kind that Helm and the API server accept",
    reads=_READ,
    faults=(VALUE_HAS_WRONG_TYPE, VALUE_BREAKS_YAML, VALUE_REJECTED),
    of_install=True,
    of_version=True,
)
def accepted_values(view: View) -> Iterator[Finding]:
    for problem in _problems(view):
        if problem.kind in _BY_KIND:
            yield _BY_KIND[problem.kind].at(problem.path, given=problem.given, wanted=problem.wanted)


INFRA_FIELD_MISSING: Final = critical(
    "InfraFieldMissing",
    _STARTUP_CRASH,
    message="{path} is missing and has no default: gateway, builder and cacher crash at startup (TypeError)",
    remedy="Set {path}.",
    explains=NO_START,
)
REGISTRY_PREFIX_NULL: Final = critical(
    "RegistryPrefixNull",
    "Gateway, builder and cacher crash with a TypeError when they first need the registry.",
    message="{path} is null: gateway, builder and cacher crash when they first need the registry (TypeError)",
    remedy="Set {path} to the registry of the platform's images.",
    explains=NO_START,
)


@rule(
    "S1-15",
    title="every infra field without a default is set",
    reads=REQUIRED_INFRA,
    faults=(INFRA_FIELD_MISSING, REGISTRY_PREFIX_NULL),
    of_version=True,
)
def required_infra(view: View) -> Iterator[Finding]:
    for path in REQUIRED_INFRA:
        if view.missing(path):
            yield INFRA_FIELD_MISSING.at(path)
    if view.has(paths.DOCKER_REPO_PREFIX) and view.raw(paths.DOCKER_REPO_PREFIX) is None:
        yield REGISTRY_PREFIX_NULL.at(paths.DOCKER_REPO_PREFIX)


KEY_GIVEN_TWICE: Final = warning(
    "KeyGivenTwice",
    "Helm takes the last of two equal keys silently, and the other value has no effect.",
    message="{path} is given twice in {file}, in {first} and in {last}; Helm takes the last",
    remedy="Remove {path} from {first} or from {last} of {file}.",
)


@rule("S1-16", title="no key is given twice", reads=(), faults=(KEY_GIVEN_TWICE,))
def duplicates(view: View) -> Iterator[Finding]:
    for one in view.duplicates:
        yield KEY_GIVEN_TWICE.at(one.path, file=one.file, first=one.first, last=one.last)


CONFIG_FILE_NOT_MOUNTED: Final = critical(
    "ConfigFileNotMounted",
    "Gateway, builder and cacher read the file in place of config.values, and crash at startup with a "
    "FileNotFoundError.",
    message="{path} is {value}, a file that no extra volume mounts: gateway, builder and cacher crash at startup",
    remedy="Remove {path}, or mount the file with extraVolumes and extraVolumeMounts.",
    explains=NO_START,
)


@rule(
    "S1-17",
    title="a configuration file is mounted where it is named",
    reads=("config.file.launch", "config.file.infra"),
    faults=(CONFIG_FILE_NOT_MOUNTED,),
)
def mounted_config_file(view: View) -> Iterator[Finding]:
    mounts = [str(mount.get("mountPath") or "") for _, mount in view.entries("extraVolumeMounts")]
    for path in ("config.file.launch", "config.file.infra"):
        file = view.text(path)
        if file and not any(
            file == mount or file.startswith(f"{mount.rstrip('/')}/") for mount in mounts if mount
        ):
            yield CONFIG_FILE_NOT_MOUNTED.at(path, value=file)


_ECR: Final = re.compile(r"\d{12}\.dkr\.ecr\.")
_TELLING: Final = 2
"""Values that only one cloud has, from which on they tell which cloud is meant."""
CLOUD_PROVIDER_MISMATCH: Final = critical(
    "CloudProviderMismatch",
    "cloud_provider decides which Redis, broker, object store and identity the platform uses, and no value for that "
    "cloud is set.",
    message="{path} is {value}, but the values are for {meant}: {signs}",
    remedy="Set {path} to {meant}. If the platform does run on {value}, replace {signs} by the values for {value}.",
    explains=OF_THE_CLOUD,
)


@rule(
    "S1-18",
    title="cloud_provider is the cloud of the other values",
    reads=(
        paths.CLOUD_PROVIDER,
        paths.CELERY_BROKER_TYPE,
        paths.CELERY_BROKER_TYPE_REDIS,
        paths.CACHE_REDIS_AWS_URL,
        paths.CACHE_REDIS_AZURE_HOST,
        paths.CACHE_REDIS_GCP_URL,
        paths.CACHE_REDIS_ONPREM_URL,
        paths.FINE_TUNE_REPOSITORY,
    ),
    faults=(CLOUD_PROVIDER_MISMATCH,),
)
def cloud_of_the_values(view: View) -> Iterator[Finding]:
    given = view.text(paths.CLOUD_PROVIDER)
    signs = {cloud: list(_signs_of(cloud, view)) for cloud in Cloud}
    meant = max(signs, key=lambda cloud: len(signs[cloud]))
    if given in signs and not signs[Cloud(given)] and len(signs[meant]) >= _TELLING:
        shown = ", ".join(signs[meant][:3])
        yield CLOUD_PROVIDER_MISMATCH.at(paths.CLOUD_PROVIDER, value=given, meant=meant, signs=shown)


def _signs_of(cloud: Cloud, view: View) -> Iterator[str]:
    """The values that make sense on ``cloud`` alone, as they are named to people."""
    files, broker = view.text(paths.FINE_TUNE_REPOSITORY), view.text(paths.CELERY_BROKER_TYPE)
    match cloud:
        case Cloud.AWS:
            told = {
                "cache_redis_aws_url": view.text(paths.CACHE_REDIS_AWS_URL),
                "cache_redis_aws_secret_name": view.text(paths.CACHE_REDIS_AWS_SECRET_NAME),
                "celeryBrokerType sqs": broker == "sqs",
                "the aws block": view.table(paths.AWS),
                "an ECR registry": _ECR.match(view.text(paths.DOCKER_REPO_PREFIX)),
            }
        case Cloud.AZURE:
            told = {
                "cache_redis_azure_host": view.text(paths.CACHE_REDIS_AZURE_HOST),
                "celeryBrokerType servicebus": broker == "servicebus",
                "the azure block": view.table(paths.AZURE),
                "files at azure://": files.startswith("azure:"),
            }
        case Cloud.GCP:
            told = {
                "cache_redis_gcp_url": view.text(paths.CACHE_REDIS_GCP_URL),
                "gcp.project_id": view.text(paths.GCP_PROJECT_ID) or view.text(paths.GCP_PROJECT_ID_OF_INFRA),
                "files at gs://": files.startswith("gs:"),
            }
        case Cloud.ONPREM:
            told = {
                "cache_redis_onprem_url": view.text(paths.CACHE_REDIS_ONPREM_URL),
                "celery_broker_type_redis": view.raw(paths.CELERY_BROKER_TYPE_REDIS),
                "redisHost": view.text(paths.REDIS_HOST),
                "s3EndpointUrl": view.text(paths.S3_ENDPOINT_URL),
            }
    yield from (sign for sign, is_there in told.items() if is_there)
