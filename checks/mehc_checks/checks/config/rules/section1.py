"""Section 1: what must be set for the control plane to start and any endpoint to be created."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from mehc_checks.checks.config.rules.rule import (
    INFRA,
    LAUNCH,
    NO_INSTALL,
    NO_START,
    Broken,
    Cloud,
    View,
    rule,
)
from mehc_checks.core.outcome import Severity
from mehc_checks.modelengine.fields import CHART_KEYS, CHART_LISTS, CHART_MAPS, INFRA_FIELDS, LAUNCH_FIELDS
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.valuesfile import is_number

FINE_TUNE_FILE: Final = f"{LAUNCH}.cloud_file_llm_fine_tune_repository"
_DOCUMENTED_FILE: Final = f"{LAUNCH}.s3_file_llm_fine_tuning_job_repository"
REQUIRED_LAUNCH: Final = tuple(
    f"{LAUNCH}.{name}"
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
REQUIRED_INFRA: Final = tuple(
    f"{INFRA}.{name}"
    for name in (
        "cloud_provider",
        "k8s_cluster_name",
        "dns_host_domain",
        "default_region",
        "ml_account_id",
        "docker_repo_prefix",
        "s3_bucket",
    )
)
"""Fields without a default of the platform's infra configuration. Source: ``core/config.py``."""
REQUIRED_BLOCKS: Final = (
    "imageBuilderServiceAccount",
    "service",
    "virtualservice",
    "hostDomain",
    "destinationrule",
    "replicaCount",
    "autoscaling",
    "celery_autoscaler",
    "podDisruptionBudget",
    "serviceTemplate",
    "imageCache",
    "recommendedHardware",
)
"""Blocks that the chart's templates reach into and its own values.yaml does not have."""
_REPOSITORIES: Final = ("image.gatewayRepository", "image.builderRepository", "image.forwarderRepository")
_PLACEHOLDERS: Final = {
    f"{INFRA}.ml_account_id": "000000000000",
    f"{INFRA}.k8s_cluster_name": "main_cluster",
    f"{INFRA}.dns_host_domain": "llm-engine.domain.com",
    f"{INFRA}.docker_repo_prefix": "000000000000",
    "serviceAccount.annotations": "000000000000",
    "imageBuilderServiceAccount.annotations": "000000000000",
    "serviceTemplate.serviceAccountAnnotations": "000000000000",
    "virtualservice.hostDomains": "llm-engine.domain.com",
}


@rule(
    "S1-01",
    title="cloud_file_llm_fine_tune_repository is set",
    severity=Severity.CRITICAL,
    reads=(FINE_TUNE_FILE, _DOCUMENTED_FILE),
    consequence="Gateway, builder and cacher end with a TypeError before they serve anything, on every cloud.",
    remedy=f"Set {FINE_TUNE_FILE}, for example to s3://my-bucket/llm-ft-job-repository, and take "
    "s3_file_llm_fine_tuning_job_repository out: the values reference and the sample name it, the platform does not.",
    explains=NO_START,
)
def fine_tune_repository(view: View) -> Iterator[Broken]:
    if view.missing(FINE_TUNE_FILE):
        instead = (
            "; s3_file_llm_fine_tuning_job_repository, which the values reference names, is read nowhere"
            if view.text(_DOCUMENTED_FILE)
            else ""
        )
        yield Broken(path=FINE_TUNE_FILE, message=f"is not set{instead}")


@rule(
    "S1-02",
    title="every field that the platform has no default for is set",
    severity=Severity.CRITICAL,
    reads=REQUIRED_LAUNCH,
    consequence="Gateway, builder and cacher end with a TypeError before they serve anything, on every cloud.",
    remedy="Set each of them; where a feature is not used, to any text, for example unused.",
    explains=NO_START,
)
def required_fields(view: View) -> Iterator[Broken]:
    for path in REQUIRED_LAUNCH:
        # Null and empty text are values for a field of a dataclass; only a missing one ends the process.
        if view.missing(path):
            yield Broken(path=path, message="is not set and has no default")


@rule(
    "S1-03",
    title="the blocks that the chart's templates reach into are there",
    severity=Severity.CRITICAL,
    reads=REQUIRED_BLOCKS,
    consequence="helm install ends with a nil pointer error in a template.",
    remedy="Begin from the chart's values_sample.yaml, and put your own values over it.",
    explains=NO_INSTALL,
)
def required_blocks(view: View) -> Iterator[Broken]:
    for path in REQUIRED_BLOCKS:
        if view.absent(path):
            yield Broken(
                path=path, message="is absent: the minimal example of the values reference does not install"
            )


@rule(
    "S1-04",
    title="tag is text that YAML does not take for a number",
    severity=Severity.CRITICAL,
    reads=("tag",),
    consequence="The chart writes the tag bare into labels and environment variables, and the API server rejects them.",
    remedy="Use a tag with a letter that keeps YAML from reading a number, for example v1234567 or sha-1234567.",
    explains=NO_INSTALL,
)
def numeric_tag(view: View) -> Iterator[Broken]:
    if view.absent("tag"):
        yield Broken(path="tag", message="is not set")
        return
    value = view.raw("tag")
    text = view.text("tag")
    if not isinstance(value, str):
        yield Broken(path="tag", message=f"is not text, it was read as {text or type(value).__name__}")
    elif is_number(text):
        yield Broken(
            path="tag", message=f"{text} reads as a number wherever the chart writes it without quotes"
        )


@rule(
    "S1-05",
    title="the repositories of gateway, builder and forwarder are set",
    severity=Severity.CRITICAL,
    reads=(*_REPOSITORIES, "image.cacherRepository"),
    consequence="Pods stay in InvalidImageName.",
    remedy="Set it. The cacher runs the gateway's image: image.cacherRepository is read nowhere.",
    explains=(
        *NO_START,
        "EndpointsReady/ImageNameInvalid",
    ),
)
def repositories(view: View) -> Iterator[Broken]:
    for path in _REPOSITORIES:
        if view.absent(path):
            forwarder = path == "image.forwarderRepository"
            explains = ("EndpointsReady/ImageNameInvalid",) if forwarder else NO_START
            yield Broken(path=path, message="is not set", explains=explains)
    cacher, gateway = view.text("image.cacherRepository"), view.text("image.gatewayRepository")
    if cacher and gateway and cacher != gateway:
        yield Broken(
            path="image.cacherRepository",
            message=f"is {cacher}, but the cacher pulls image.gatewayRepository, {gateway}",
            severity=Severity.WARNING,
            explains=(),
        )


@rule(
    "S1-06",
    title="exactly one database secret is named",
    severity=Severity.CRITICAL,
    reads=("secrets.kubernetesDatabaseSecretName", "secrets.cloudDatabaseSecretName"),
    consequence="With neither, the platform falls back to names and addresses of its own; with both, the Kubernetes "
    "Secret wins silently.",
    remedy="Set one of them. A Kubernetes Secret holds the URL under the key database_url; the values reference says "
    "DATABASE_URL, which the chart does not read.",
    explains=("DatabaseMigrated/DatabaseNotConfigured",),
)
def database_secret(view: View) -> Iterator[Broken]:
    kubernetes, cloud = "secrets.kubernetesDatabaseSecretName", "secrets.cloudDatabaseSecretName"
    if view.text(kubernetes) and view.text(cloud):
        yield Broken(
            path=cloud,
            message=f"is set beside {kubernetes}, which wins",
            severity=Severity.WARNING,
        )
    elif not view.text(kubernetes) and view.absent(cloud):
        named = {str(item.get("name")) for _, item in view.entries("extraEnvVars")}
        own = view.cloud in (Cloud.ONPREM, Cloud.GCP) and "DB_HOST" in named
        if not own and view.absent(kubernetes):
            yield Broken(path=kubernetes, message=f"is not set, and neither is {cloud}")


@rule(
    "S1-07",
    title="the ServiceAccount is there before the migration Job",
    severity=Severity.CRITICAL,
    reads=("serviceAccount.annotations", "db.runDbMigrationScript"),
    consequence="On a first install the migration Job, a hook, runs before the ServiceAccount is there, and fails.",
    remedy='Add "helm.sh/hook": pre-install,pre-upgrade and "helm.sh/hook-weight": "-2" to serviceAccount.annotations.',
    explains=("DatabaseMigrated/NeverMigrated",),
)
def hooked_service_account(view: View) -> Iterator[Broken]:
    path = "serviceAccount.annotations"
    if not view.flag("db.runDbMigrationScript"):
        return
    hooks = str(view.table(path).get("helm.sh/hook", ""))
    if "pre-install" not in hooks and view.seen(path):
        yield Broken(path=path, message="has no pre-install hook, while db.runDbMigrationScript is on")


@rule(
    "S1-08",
    title="cloud_provider is aws, azure, gcp or onprem",
    severity=Severity.CRITICAL,
    reads=(f"{INFRA}.cloud_provider",),
    consequence="The platform takes the AWS branch everywhere, and says nothing.",
    remedy="Set it to aws, azure, gcp or onprem, in lower case.",
    explains=(
        "RedisReachable/NoRedisConfigured",
        "RedisReachable/RedisSourceOfAnotherCloud",
        "BrokerReachable/WorkerBrokerMismatch",
        "ObjectStoreReachable/WrongScheme",
    ),
)
def cloud_provider(view: View) -> Iterator[Broken]:
    path = f"{INFRA}.cloud_provider"
    given = view.raw(path)
    if given is not None and not (isinstance(given, str) and given in frozenset(Cloud)):
        yield Broken(path=path, message=f"is {view.text(path) or 'no text'}")


@rule(
    "S1-09",
    title="ml_account_id is quoted",
    severity=Severity.HIGH,
    reads=(f"{INFRA}.ml_account_id",),
    consequence="The chart writes a number as 1.11122223333e+11, which is part of queue and image names.",
    remedy='Quote it: ml_account_id: "111122223333".',
)
def quoted_account(view: View) -> Iterator[Broken]:
    path = f"{INFRA}.ml_account_id"
    value = view.raw(path)
    if isinstance(value, int | float) or (isinstance(value, str) and "e+" in value and is_number(value)):
        yield Broken(path=path, message=f"is the number {value}, not text")


@rule(
    "S1-10",
    title="no placeholder of the sample is left",
    severity=Severity.WARNING,
    reads=tuple(_PLACEHOLDERS),
    consequence="Names, roles and images of somebody else's account, or of none, are used.",
    remedy="Replace it by your own.",
)
def placeholders(view: View) -> Iterator[Broken]:
    for path, placeholder in _PLACEHOLDERS.items():
        value = view.raw(path)
        if placeholder in (view.text(path) or str(value or "")):
            yield Broken(path=path, message=f"still has the sample's {placeholder}")


@rule(
    "S1-11",
    title="endpoints have a namespace of their own, and it exists",
    severity=Severity.CRITICAL,
    reads=(f"{LAUNCH}.endpoint_namespace", "serviceTemplate.serviceAccountName"),
    consequence="Without it the install's hooks fail; in the gateway's own, two ServiceAccounts overwrite each other.",
    remedy="Create the namespace before the install, and give endpoints another than the gateway's.",
    needs_cluster=True,
    explains=("VllmImagePullable/InferenceServiceAccountMissing",),
)
def endpoint_namespace(view: View) -> Iterator[Broken]:
    path = f"{LAUNCH}.endpoint_namespace"
    where = view.text(path)
    if not where:
        return
    facts = view.facts
    if facts.endpoint_namespace_exists is False:
        yield Broken(path=path, message=f"is {where}, and there is no such namespace")
    account = view.text("serviceTemplate.serviceAccountName")
    if where == facts.namespace and account and account == fullname(view.values):
        yield Broken(
            path=path,
            message=f"is the gateway's own namespace, and both use the ServiceAccount {account}",
            severity=Severity.HIGH,
            explains=(),
        )


@rule(
    "S1-12",
    title="the cache has a Redis for this cloud",
    severity=Severity.CRITICAL,
    reads=(
        f"{LAUNCH}.cache_redis_aws_url",
        f"{LAUNCH}.cache_redis_aws_secret_name",
        f"{LAUNCH}.cache_redis_azure_host",
        f"{LAUNCH}.cache_redis_onprem_url",
    ),
    consequence="The gateway ends with an AssertionError at startup.",
    remedy="Set the field of your cloud: cache_redis_aws_url or cache_redis_aws_secret_name on aws, "
    "cache_redis_azure_host on azure, or cache_redis_onprem_url on any.",
    clouds=(Cloud.AWS, Cloud.AZURE),
    explains=("RedisReachable/cache/NoRedisConfigured", "RedisReachable/cache/RedisSourceOfAnotherCloud"),
)
def cache_source(view: View) -> Iterator[Broken]:
    names = ["cache_redis_onprem_url", "cache_redis_aws_url", "cache_redis_aws_secret_name"]
    if view.cloud == Cloud.AZURE:
        names.append("cache_redis_azure_host")
    if all(view.absent(f"{LAUNCH}.{name}") for name in names):
        yield Broken(
            path=f"{LAUNCH}.{names[-1] if view.cloud == Cloud.AZURE else names[1]}",
            message="is not set, nor is another",
        )


@rule(
    "S1-13",
    title="every key is one that the chart or the platform reads",
    severity=Severity.WARNING,
    reads=(),
    consequence="The value has no effect, and what it was meant to replace stays; an unknown field of launch "
    "can end the "
    "platform's processes with a TypeError.",
    remedy="Correct the name, or take the key out.",
)
def known_keys(view: View) -> Iterator[Broken]:
    for path, fields in (("", CHART_KEYS), (INFRA, INFRA_FIELDS), (LAUNCH, LAUNCH_FIELDS)):
        table = view.table(path) if path else view.values.tree
        for key in table:
            if key in fields or f"{path}.{key}" == _DOCUMENTED_FILE:
                continue
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.75)
            where = f"{path}.{key}" if path else key
            if near:
                yield Broken(path=where, message=f"is read nowhere; did you mean {near[0]}?")
            elif path == LAUNCH:
                yield Broken(path=where, message="is no field of the platform's configuration")


@rule(
    "S1-14",
    title="blocks are maps, and lists are lists",
    severity=Severity.CRITICAL,
    reads=(*CHART_MAPS, *CHART_LISTS),
    consequence="helm install ends in an error of a template, or the value has no effect.",
    remedy="Write it as the values reference shows it.",
)
def shapes(view: View) -> Iterator[Broken]:
    for paths, kind, name in ((CHART_MAPS, Mapping, "a map"), (CHART_LISTS, list, "a list")):
        for path in paths:
            value = view.raw(path)
            if value is not None and not isinstance(value, kind):
                given = (
                    "a map"
                    if isinstance(value, Mapping)
                    else "a list"
                    if isinstance(value, list)
                    else f"{value!r}"
                )
                yield Broken(path=path, message=f"is {given}, not {name}")


@rule(
    "S1-15",
    title="the fields of infra that have no default are set",
    severity=Severity.CRITICAL,
    reads=REQUIRED_INFRA,
    consequence="Every process of the platform ends with a TypeError before it serves anything.",
    remedy="Set it.",
    explains=NO_START,
)
def required_infra(view: View) -> Iterator[Broken]:
    for path in REQUIRED_INFRA:
        if view.missing(path):
            yield Broken(path=path, message="is not set and has no default")
