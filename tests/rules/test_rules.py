# ruff: noqa: E501 - a table
"""Each rule fires on what it is about, with the place and the words that tell why, and is quiet on what is sound."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from mehc_checks.checks.config.rules.catalogue import SECTIONS, all_rules
from mehc_checks.checks.config.rules.coverage import CHECKED, NOT_CHECKABLE, VALUES
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.checks.config.rules.rule import INFRA, LAUNCH, ClusterFacts
from mehc_checks.core.errors import UsageError
from mehc_checks.core.outcome import Severity
from mehc_checks.engine.check import catalogue
from testbed.installation import Tree, overlaid, without
from testbed.rulejudging import SOUND, at, judge
from testbed.sound import A10, AWS, AZURE, BY_CLOUD, GCP, GPU_TOLERATION, ONPREM

W, H, C, I = Severity.WARNING, Severity.HIGH, Severity.CRITICAL, Severity.INFO  # noqa: E741


@dataclass(frozen=True)
class Case:
    """``layers`` over the good installation ``base`` break ``rule`` at ``path``, in ``words`` of the message."""

    rule: str
    base: Tree
    layer: Tree
    path: str
    words: str
    severity: Severity
    facts: ClusterFacts | None = None

    def __str__(self) -> str:
        return f"{self.rule}-{self.path}"


def facts(**changed: Any) -> ClusterFacts:
    return replace(SOUND, **changed)


def launch(name: str, value: Any) -> Tree:
    return at(f"{LAUNCH}.{name}", value)


def infra(name: str, value: Any) -> Tree:
    return at(f"{INFRA}.{name}", value)


FILE = f"{LAUNCH}.cloud_file_llm_fine_tune_repository"
TIER: Tree = {
    "gpu_memory_le": 24,
    "cpus": 1,
    "gpus": 1,
    "memory": "1Gi",
    "storage": "1Gi",
    "gpu_type": A10,
    "nodes_per_worker": 1,
}
DEVICE = {
    "name": "a10",
    "nodeSelector": {"k8s.amazonaws.com/accelerator": A10},
    "tolerations": [GPU_TOLERATION],
}


def tiers(*given: Tree) -> Tree:
    return at("recommendedHardware.byGpuMemoryGb", list(given))


def devices(**changed: Any) -> Tree:
    return at("imageCache.devices", [{**DEVICE, **changed}])


def balloon(**given: Any) -> Tree:
    return at("balloons", [given])


CASES = [
    Case("S1-01", without(AWS, FILE), {}, FILE, "is not set", C),
    Case(
        "S1-01", without(AWS, FILE), launch("s3_file_llm_fine_tuning_job_repository", "s3://b/x"), FILE,
        "s3_file_llm_fine_tuning_job_repository, which the values reference names, is read nowhere", C,
    ),
    *(
        Case("S1-02", without(AZURE, f"{LAUNCH}.{name}"), {}, f"{LAUNCH}.{name}", "no default", C)
        for name in (
            "endpoint_namespace", "billing_queue_arn", "sqs_profile", "sqs_queue_policy_template",
            "sqs_queue_tag_template", "model_primitive_host", "hf_user_fine_tuned_weights_prefix", "istio_enabled",
            "sensitive_log_mode", "tgi_repository", "vllm_repository", "lightllm_repository",
            "tensorrt_llm_repository", "batch_inference_vllm_repository", "user_inference_base_repository",
            "user_inference_pytorch_repository", "user_inference_tensorflow_repository",
            "docker_image_layer_cache_repository",
        )
    ),
    *(
        Case("S1-03", AWS, at(name, None), name, "absent", C)
        for name in (
            "imageBuilderServiceAccount", "service", "virtualservice", "hostDomain", "destinationrule",
            "replicaCount", "autoscaling", "celery_autoscaler", "podDisruptionBudget", "serviceTemplate",
            "imageCache", "recommendedHardware",
        )
    ),
    Case("S1-04", AWS, at("tag", 1234567), "tag", "is not text, it was read as 1234567", C),
    Case("S1-04", AWS, at("tag", "12345e7"), "tag", "reads as a number", C),
    Case("S1-04", AWS, at("tag", None), "tag", "is not set", C),
    *(
        Case("S1-05", AWS, at(f"image.{name}Repository", None), f"image.{name}Repository", "is not set", C)
        for name in ("gateway", "builder", "forwarder")
    ),
    Case("S1-05", AWS, at("image.cacherRepository", "other"), "image.cacherRepository", "the cacher pulls", W),
    Case(
        "S1-06", AWS, at("secrets.kubernetesDatabaseSecretName", None), "secrets.kubernetesDatabaseSecretName",
        "and neither is", C,
    ),
    Case(
        "S1-06", AWS, at("secrets.cloudDatabaseSecretName", "x"), "secrets.cloudDatabaseSecretName", "which wins", W
    ),
    Case("S1-07", AWS, at("serviceAccount.annotations", {"helm.sh/hook": None}), "serviceAccount.annotations", "hook", C),
    *(
        Case("S1-08", AWS, infra("cloud_provider", given), f"{INFRA}.cloud_provider", f"is {given}", C)
        for given in ("AWS", "google", "eks")
    ),
    Case("S1-09", AWS, infra("ml_account_id", 111122223333), f"{INFRA}.ml_account_id", "is the number", H),
    Case("S1-09", AWS, infra("ml_account_id", "1.11122223333e+11"), f"{INFRA}.ml_account_id", "is the number", H),
    Case("S1-10", AWS, infra("k8s_cluster_name", "main_cluster"), f"{INFRA}.k8s_cluster_name", "main_cluster", W),
    Case(
        "S1-10", AWS, infra("docker_repo_prefix", "000000000000.dkr.ecr.us-east-1.amazonaws.com"),
        f"{INFRA}.docker_repo_prefix", "000000000000", W,
    ),
    Case(
        "S1-10", AWS, at("virtualservice.hostDomains", ["llm-engine.domain.com"]), "virtualservice.hostDomains",
        "llm-engine.domain.com", W,
    ),
    Case(
        "S1-11", AWS, {}, f"{LAUNCH}.endpoint_namespace", "there is no such namespace", C,
        facts(endpoint_namespace_exists=False),
    ),
    Case(
        "S1-11", AWS, overlaid(launch("endpoint_namespace", "model-engine"), at("serviceTemplate.serviceAccountName", "model-engine")),
        f"{LAUNCH}.endpoint_namespace", "both use the ServiceAccount model-engine", H, SOUND,
    ),
    Case("S1-12", AWS, launch("cache_redis_aws_url", None), f"{LAUNCH}.cache_redis_aws_url", "nor is another", C),
    Case("S1-12", AZURE, launch("cache_redis_azure_host", ""), f"{LAUNCH}.cache_redis_azure_host", "nor is another", C),
    Case("S1-13", AWS, at("autoscalling", {}), "autoscalling", "did you mean autoscaling?", W),
    Case("S1-13", AWS, infra("redis_hosts", "x"), f"{INFRA}.redis_hosts", "did you mean redis_host?", W),
    Case("S1-13", AWS, launch("frobnicate", "x"), f"{LAUNCH}.frobnicate", "is no field", W),
    Case("S1-14", AWS, at("redis", "redis.internal"), "redis", "is 'redis.internal', not a map", C),
    Case("S1-14", AWS, at("balloons", {"a": 1}), "balloons", "is a map, not a list", C),
    Case("S1-14", AWS, at("config.values.launch", []), "config.values.launch", "is a list, not a map", C),
    *(
        Case("S1-15", without(ONPREM, f"{INFRA}.{name}"), {}, f"{INFRA}.{name}", "no default", C)
        for name in ("k8s_cluster_name", "dns_host_domain", "default_region", "ml_account_id", "s3_bucket")
    ),
    Case("S1-15", without(AWS, f"{INFRA}.docker_repo_prefix"), {}, f"{INFRA}.docker_repo_prefix", "no default", C),
    Case(
        "S2-aws-01", AWS, at("serviceAccount.annotations", {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}),
        "serviceAccount.annotations", "no role ARN", H,
    ),
    Case(
        "S2-aws-01", AWS, infra("ml_account_id", "999999999999"), "serviceAccount.annotations",
        "is of account 111122223333, ml_account_id is 999999999999", H,
    ),
    Case(
        "S2-aws-01", AWS, at("serviceAccount.annotations", {"eks.amazonaws.com/role-arn": None}),
        "serviceAccount.annotations", "has no eks.amazonaws.com/role-arn", H,
    ),
    Case("S2-aws-02", AWS, at("aws.configMap.namespaces", None), "aws.configMap.namespaces", "made nowhere", C),
    Case(
        "S2-aws-02", AWS, at("aws.configMap.namespaces", ["model-engine"]), "aws.configMap.namespaces",
        "lacks the endpoint namespace llm-engine", C,
    ),
    Case("S2-aws-02", AWS, at("aws.configMap.name", None), "aws.configMap.name", "is not set", C),
    Case("S2-aws-02", AWS, at("aws.configMap.mountPath", None), "aws.configMap.mountPath", "is not set", C),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", "{not json ${queue_name}"),
        f"{LAUNCH}.sqs_queue_policy_template", "is not JSON", H,
    ),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_tag_template", '{"a": "${owner}"}'), f"{LAUNCH}.sqs_queue_tag_template",
        "the unknown placeholder ${owner}", H,
    ),
    Case("S2-aws-03", AWS, launch("sqs_queue_tag_template", "[]"), f"{LAUNCH}.sqs_queue_tag_template", "no object", H),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", "{}"), f"{LAUNCH}.sqs_queue_policy_template",
        "names no ${queue_name}", H,
    ),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", '{"a": "arn:aws:sqs:us-east-1:000000000000:${queue_name}"}'),
        f"{LAUNCH}.sqs_queue_policy_template", "the sample's account", H,
    ),
    Case(
        "S2-aws-04", AWS, infra("default_region", "eu-west-1"), f"{INFRA}.docker_repo_prefix",
        "is in us-east-1, default_region is eu-west-1", H,
    ),
    Case(
        "S2-aws-04", AWS, at("extraEnvVars", [{"name": "AWS_REGION", "value": "eu-west-1"}]), "extraEnvVars[0]",
        "sets AWS_REGION to eu-west-1", H,
    ),
    Case("S2-aws-05", AWS, launch("sqs_profile", "queues"), f"{LAUNCH}.sqs_profile", "is queues", H),
    Case(
        "S2-aws-06", AWS, launch("cache_redis_aws_secret_name", "x"), f"{LAUNCH}.cache_redis_aws_secret_name",
        "which wins", W,
    ),
    Case("S2-az-01", AZURE, launch("cache_redis_aws_url", "redis://a/0"), f"{LAUNCH}.cache_redis_aws_url", "azure", C),
    Case("S2-az-01", AZURE, launch("cache_redis_aws_secret_name", "x"), f"{LAUNCH}.cache_redis_aws_secret_name", "azure", C),
    *(
        Case("S2-az-02", AZURE, at(f"azure.{name}", None), f"azure.{name}", "is not set", C)
        for name in ("client_id", "object_id", "identity_name", "servicebus_namespace", "abs_account_name", "abs_container_name")
    ),
    Case(
        "S2-az-02", AZURE, overlaid(at("azure.keyvault_name", None), at("keyvaultName", "kv")), "azure.keyvault_name",
        "keyvaultName is read nowhere", C,
    ),
    Case("S2-az-03", AZURE, at("celeryBrokerType", "elasticache"), "celeryBrokerType", "is elasticache", C),
    Case("S2-az-03", AZURE, at("celeryBrokerType", None), "celeryBrokerType", "is not set", C),
    Case("S2-az-04", AZURE, at("celery_broker_type_redis", True), "celery_broker_type_redis", "is true", C),
    Case(
        "S2-az-04", AZURE, infra("celery_broker_type_redis", "false"), f"{INFRA}.celery_broker_type_redis", "is false", C
    ),
    Case(
        "S2-az-05", AZURE, launch("cache_redis_azure_host", "c.redis.cache.windows.net"),
        f"{LAUNCH}.cache_redis_azure_host", "without :6380", H,
    ),
    Case(
        "S2-az-06", AZURE, {}, "azure", "namespace llm-engine has no Secret egp-ecr-regcred", W,
        facts(secrets={"llm-engine/egp-ecr-regcred": False}),
    ),
    Case("S2-gcp-01", GCP, launch("cache_redis_gcp_url", None), f"{LAUNCH}.cache_redis_gcp_url", "is not set", C),
    Case("S2-gcp-01", GCP, at("gcp.project_id", ""), "gcp.project_id", "is not set", C),
    Case("S2-gcp-01", ONPREM, infra("docker_repo_prefix", "gcr.io/p"), f"{INFRA}.cloud_provider", "is this GCP?", W),
    Case("S2-gcp-02", GCP, at("celery_autoscaler.enabled", "true"), "celery_autoscaler.enabled", "on gcp", H),
    Case("S2-op-01", ONPREM, at("celery_broker_type_redis", None), "celery_broker_type_redis", "is not set", C),
    Case("S2-op-01", ONPREM, at("celery_broker_type_redis", "false"), "celery_broker_type_redis", "is false", C),
    Case("S2-op-02", ONPREM, at("celeryBrokerType", "elasticache"), "celeryBrokerType", "is elasticache", C),
    Case("S2-op-02", ONPREM, at("celeryBrokerType", "sqs"), "celeryBrokerType", "sends to Redis", C),
    Case("S2-op-02", AWS, at("celeryBrokerType", None), "celeryBrokerType", "is not set", C),
    Case("S2-op-03", ONPREM, at("aws.profileName", "default"), "aws", "is set", H),
    Case("S2-op-04", ONPREM, at("redisHost", "other"), "redisHost", "redis_host is redis.internal", H),
    Case("S2-op-04", ONPREM, at("redisPort", "6380"), "redisPort", "is 6380", H),
    Case("S2-op-05", ONPREM, at("s3EndpointUrl", None), "s3EndpointUrl", "is not set", H),
    Case("S2-op-05", ONPREM, at("s3EndpointUrl", "minio:9000"), "s3EndpointUrl", "is no URL", H),
    Case("S2-op-05", ONPREM, at("extraPodEnvFrom", []), "extraPodEnvFrom", "no credentials", H),
    Case("S2-op-06", ONPREM, infra("docker_repo_prefix", "harbor.internal/llm"), f"{INFRA}.docker_repo_prefix", "tags", C),
    Case("S2-op-06", AWS, infra("docker_registry_type", "onprem"), f"{INFRA}.docker_registry_type", "is onprem", C),
    Case("S3-01", AWS, balloon(acceleratorName="nvidia-tesla-a10", replicaCount=1), "balloons[0].acceleratorName", "did you mean", W),
    Case("S3-01", AWS, balloon(acceleratorName=A10, replicaCount=1, gpuCount="16"), "balloons[0].gpuCount", "is 16", W),
    Case("S3-02", AWS, balloon(acceleratorName=A10, replicaCount=0), "balloons[0].replicaCount", "is 0", I),
    Case(
        "S3-03", AWS, at("balloonConfig.reserveHighPriority", True), "balloonConfig.reserveHighPriority",
        "balloons[0] holds GPUs", W,
    ),
    Case("S3-04", AWS, devices(name="A10"), "imageCache.devices[0].name", "never looks for", W),
    Case("S3-04", AWS, devices(nodeSelector={}), "imageCache.devices[0].nodeSelector", "every node", W),
    Case(
        "S3-04", AWS, devices(nodeSelector={"k8s.amazonaws.com/accelerator": "nvidia-tesla-t4"}),
        "imageCache.devices[0].nodeSelector", "selects nvidia-tesla-t4 for the device a10", W,
    ),
    Case("S3-04", AWS, devices(tolerations=[]), "imageCache.devices[0].tolerations", "does not tolerate", W),
    Case("S3-04", AWS, at("imageCache.devices", []), "imageCache.devices", "has no a10", W),
    Case("S3-05", AWS, tiers(TIER, TIER), "recommendedHardware.byGpuMemoryGb[1].gpu_memory_le", "which is used instead", W),
    Case("S3-05", AWS, tiers({**TIER, "gpu_type": "a10"}), "recommendedHardware.byGpuMemoryGb[0].gpu_type", "did you mean nvidia-ampere-a10", W),
    Case(
        "S3-05", AWS, tiers({**TIER, "gpu_type": "nvidia-ampere-a100e"}),
        "recommendedHardware.byGpuMemoryGb[0].gpu_type", "LLM endpoints cannot have", W,
    ),
    Case("S3-05", AWS, tiers({**TIER, "memory": None}), "recommendedHardware.byGpuMemoryGb[0].memory", "not set", W),
    Case("S3-05", AWS, tiers({**TIER, "nodes_per_worker": None}), "recommendedHardware.byGpuMemoryGb[0].nodes_per_worker", "not set", W),
    Case("S3-05", AWS, tiers({**TIER, "gpus": 0}), "recommendedHardware.byGpuMemoryGb[0].gpus", "is 0", W),
    Case("S3-05", AWS, tiers({**TIER, "cpus": 80}), "recommendedHardware.byGpuMemoryGb[0].cpus", "at most 62", W),
    Case("S3-05", AWS, tiers({**TIER, "gpu_memory_le": "big"}), "recommendedHardware.byGpuMemoryGb[0].gpu_memory_le", "a number", H),
    Case("S3-05", AWS, at("recommendedHardware.byModelName", []), "recommendedHardware.byModelName", "is empty", H),
    Case("S3-05", AWS, at("recommendedHardware", {"byModelName": [{"name": "a: b", **TIER}]}), "recommendedHardware.byModelName[0].name", "breaks the YAML", H),
    Case("S3-05", AWS, at("recommendedHardware.byGpuMemoryGb", None), "recommendedHardware.byGpuMemoryGb", "not set", H),
    Case(
        "S3-06", AWS, at("nodeSelector", {"node-lifecycle": "normal"}), "nodeSelector",
        "asks for node-lifecycle=normal, and no node has that", H, facts(selected_nodes=0),
    ),
    Case("S4-01", AWS, at("autoscaling.horizontal.minReplicas", 1), "autoscaling.horizontal.minReplicas", "is 1", I),
    Case("S4-01", AWS, at("autoscaling.horizontal.maxReplicas", 1), "autoscaling.horizontal.maxReplicas", "below", H),
    Case("S4-01", AWS, at("autoscaling.horizontal.targetConcurrency", 0), "autoscaling.horizontal.targetConcurrency", "from 1", H),
    Case("S4-02", AWS, {}, "autoscaling.horizontal.enabled", "serves no custom metrics", H, facts(request_metric=False)),
    *(
        Case("S4-03", AWS, at("autoscaling.vertical.enabled", True), f"autoscaling.vertical.{name}", "is not set", H)
        for name in ("minAllowed", "maxAllowed", "updateMode")
    ),
    Case(
        "S4-03", AWS, at("autoscaling.vertical", {"enabled": "true", "minAllowed": {"cpu": 1}, "maxAllowed": {"cpu": 2}, "updateMode": "Auto"}),
        "autoscaling.vertical.enabled", "has no VerticalPodAutoscaler", H, facts(crds=frozenset()),
    ),
    Case("S4-04", AWS, at("autoscaling.prewarming.enabled", True), "autoscaling.prewarming.enabled", "is true", W),
    Case("S4-05", AWS, at("celery_autoscaler.enabled", False), "celery_autoscaler.enabled", "is false", H),
    Case("S4-05", AWS, at("celery_autoscaler.num_shards", 0), "celery_autoscaler.num_shards", "is 0", H),
    Case("S4-05", AZURE, at("serviceIdentifier", "blue"), "serviceIdentifier", "no Celery autoscaler", H),
    Case("S4-06", AWS, infra("prometheus_server_address", None), f"{INFRA}.prometheus_server_address", "is not set", H),
    Case("S4-06", AWS, infra("prometheus_server_address", ""), f"{INFRA}.prometheus_server_address", "counts as set", H),
    Case("S4-06", AWS, infra("prometheus_server_address", "prometheus:9090"), f"{INFRA}.prometheus_server_address", "without http", H),
    Case("S4-06", AWS, at("keda.cooldownPeriod", "5m"), "keda.cooldownPeriod", "not a number of seconds", H),
    Case("S4-07", AWS, {}, "autoscaling", "of endpoint launch-endpoint-id-1", H, facts(scaled_twice=("launch-endpoint-id-1",))),
    Case("S5-01", AWS, {}, "azure", "no namespace istio-system", C, facts(istio_namespace_exists=False)),
    Case("S5-01", AWS, {}, "azure", "no telemetries.telemetry.istio.io", C, facts(crds=frozenset())),
    Case("S5-01", AZURE, {}, "virtualservice.enabled", "no virtualservices.networking.istio.io", C, facts(crds=frozenset())),
    Case("S5-02", AWS, launch("istio_enabled", "false"), f"{LAUNCH}.istio_enabled", "which counts as true", C),
    Case("S5-02", AWS, launch("istio_enabled", "true"), f"{LAUNCH}.istio_enabled", "is the text 'true'", C),
    Case("S5-02", AWS, {}, f"{LAUNCH}.istio_enabled", "Istio is not installed", C, facts(crds=frozenset())),
    Case("S5-02", AWS, launch("istio_enabled", False), f"{LAUNCH}.istio_enabled", "Istio is installed", W, SOUND),
    Case("S5-03", AWS, at("virtualservice.hostDomains", []), "virtualservice.hostDomains", "is empty", H),
    Case("S5-03", AWS, at("virtualservice.gateways", ["gw"]), "virtualservice.gateways", "not <namespace>/<name>", H),
    Case(
        "S5-03", AWS, {}, "virtualservice.gateways", "default/internal-gateway, which is not there", H,
        facts(gateways={"default/internal-gateway": False}),
    ),
    Case("S5-04", AWS, at("service.port", "8080"), "service.port", "is 8080", H),
    Case("S5-05", AWS, at("hostDomain.prefix", "https://"), "hostDomain.prefix", "is https://", W),
    Case("S5-05", AWS, at("hostDomain.prefix", "llm."), "hostDomain.prefix", "no prefix of a URL", H),
    Case("S5-06", AWS, at("service.type", "LoadBalancer"), "service.type", "is LoadBalancer", H),
    Case("S5-06", AWS, at("service.type", "clusterip"), "service.type", "Kubernetes does not know", H),
    Case("S5-07", AWS, at("redis.auth", "s3cret-token"), "redis.auth", "is set", H),
    Case("S5-07", AWS, at("redis.auth", 12345678), "redis.auth", "reads as a number", H),
    Case("S5-08", AWS, at("redis.enableAuth", "true"), "redis.kedaSecretName", "is not set", H),
    Case("S5-08", ONPREM, at("redis.enableAuth", True), "redis.enableAuth", "on onprem", H),
    Case("S5-08", AWS, at("redis.enableTLS", True), "redis.enableTLS", "reached by redis://", H),
    Case("S5-08", AWS, launch("cache_redis_aws_url", "rediss://h:6379/0"), "redis.enableTLS", "reached by rediss://", H),
    Case("S5-08", AZURE, at("redis.enableTLS", False), "redis.enableTLS", "reached by rediss://", H),
    Case("S5-09", AWS, at("redis.unsafeSsl", "true"), "redis.unsafeSsl", "is true", W),
    Case("S5-10", AWS, infra("dns_host_domain", "https://llm.example.com"), f"{INFRA}.dns_host_domain", "no domain name", H),
    Case("S6-01", AWS, launch("dd_trace_enabled", True), f"{LAUNCH}.dd_trace_enabled", "while dd_trace_enabled is false", W),
    Case("S6-01", AWS, at("datadog.enabled", True), "datadog.enabled", "while dd_trace_enabled is false", W),
    Case("S6-01", AWS, overlaid(at("dd_trace_enabled", "true"), launch("dd_trace_enabled", True)), "datadog.enabled", "is false", W),
    Case("S6-02", without(AWS, f"{LAUNCH}.dd_trace_enabled"), {}, f"{LAUNCH}.dd_trace_enabled", "while dd_trace_enabled is false", W),
    Case("S6-02", AWS, launch("dd_trace_enabled", "false"), f"{LAUNCH}.dd_trace_enabled", "counts as true", W),
    Case("S6-03", AWS, launch("sensitive_log_mode", False), f"{LAUNCH}.sensitive_log_mode", "is false", W),
    Case("S6-04", AWS, at("debug_mode", True), "debug_mode", "is true", I),
    Case("S6-04", AWS, at("debug_mode", "yes"), "debug_mode", "is yes", I),
    Case("S7-01", AWS, at("podSecurityContext.runAsNonRoot", None), "podSecurityContext.runAsNonRoot", "not set", W),
    Case("S7-01", AWS, at("podSecurityContext.runAsUser", 0), "podSecurityContext.runAsNonRoot", "refuses every", C),
    Case("S7-01", AWS, at("podSecurityContext.fsGroup", 1), "podSecurityContext.fsGroup", "runAsGroup is 65532", W),
    Case(
        "S7-01", AWS, at("containerSecurityContext.allowPrivilegeEscalation", True),
        "containerSecurityContext.allowPrivilegeEscalation", "is true", W,
    ),
    Case(
        "S7-02", AWS, at("containerSecurityContext.readOnlyRootFilesystem", True),
        "containerSecurityContext.readOnlyRootFilesystem", "is true", H,
    ),
    Case(
        "S7-03", AWS, at("serviceTemplate.securityContext.capabilities.drop", ["all"]),
        "serviceTemplate.securityContext.capabilities.drop", "has all, not ALL", W,
    ),
    Case("S7-04", AWS, at("serviceTemplate.mountInfraConfig", False), "serviceTemplate.mountInfraConfig", "is false", H),
    Case("S7-04", AWS, at("serviceTemplate.mountInfraConfig", None), "serviceTemplate.mountInfraConfig", "not set", H),
    Case("S7-05", AWS, at("serviceTemplate.createServiceAccount", False), "serviceTemplate.createServiceAccount", "is false", H),
    Case(
        "S7-05", overlaid(AZURE, at("serviceTemplate", {"serviceAccountAnnotations": None})), {},
        "serviceTemplate.serviceAccountAnnotations", "is empty", H,
    ),
    Case(
        "S7-05", AWS, {}, "serviceTemplate.serviceAccountName", "namespace llm-engine has no such ServiceAccount", H,
        facts(service_accounts={"llm-engine/model-engine-endpoints": False}),
    ),
    Case("S7-06", AWS, infra("default_region", "us-gov-west-1"), "celery_enable_sha256", "government", W),
    Case(
        "S7-06", AWS, overlaid(infra("default_region", "us-gov-west-1"), at("celery_enable_sha256", "false")),
        "celery_enable_sha256", "is not on", W,
    ),
    Case("S8-01", AWS, at("podDisruptionBudget.minAvailable", 2), "podDisruptionBudget.minAvailable", "is 2 of 2", W),
    Case("S8-01", AWS, at("podDisruptionBudget.minAvailable", "100%"), "podDisruptionBudget.minAvailable", "100%", W),
    Case("S8-01", AWS, at("podDisruptionBudget.minAvailable", 0), "podDisruptionBudget.minAvailable", "not set", H),
    Case("S8-02", AWS, at("db.runDbMigrationScript", False), "db.runDbMigrationScript", "is false", W),
    Case("S8-02", AWS, at("db.runDbInitScript", "true"), "db.runDbInitScript", "fails on what it makes", C),
    Case("S8-03", AWS, infra("db_engine_pool_size", 10), f"{INFRA}.db_engine_pool_size", "is set, to 10", C),
    Case("S8-03", AWS, infra("db_engine_pool_size", None), f"{INFRA}.db_engine_pool_size", "is set, to null", C),
    Case("S8-03", AWS, infra("db_engine_max_overflow", "10"), f"{INFRA}.db_engine_max_overflow", "is set, to 10", C),
    Case("S8-04", AWS, infra("db_engine_disconnect_strategy", "optimistic"), f"{INFRA}.db_engine_disconnect_strategy", "optimistic", W),
    Case("S8-04", AWS, infra("db_engine_disconnect_strategy", "none"), f"{INFRA}.db_engine_disconnect_strategy", "not know", H),
    Case("S8-04", AWS, infra("db_engine_echo", True), f"{INFRA}.db_engine_echo", "is true", I),
    *(
        Case("S8-05", AWS, launch(f"{name}_repository", "registry.example.com/x"), f"{LAUNCH}.{name}_repository", "not a path", C)
        for name in ("vllm", "tensorrt_llm", "tgi", "lightllm", "sglang", "batch_inference_vllm")
    ),
    Case(
        "S8-05", GCP, launch("user_inference_base_repository", "gcr.io/x"),
        f"{LAUNCH}.user_inference_base_repository", "not a path", C,
    ),
    Case(
        "S8-06", AWS, overlaid(at("image.pullPolicy", "IfNotPresent"), at("tag", "latest")), "image.pullPolicy",
        "tag is latest, which moves", W,
    ),
    Case("S8-06", AWS, at("image.pullPolicy", "always"), "image.pullPolicy", "not Always", C),
    Case("S8-07", AWS, at("serviceAccount.namespaces", []), "serviceAccount.namespaces", "lacks default", H),
    Case(
        "S8-07", AWS, at("imageBuilderServiceAccount.annotations", {"eks.amazonaws.com/role-arn": None}),
        "imageBuilderServiceAccount.annotations", "role-arn", H,
    ),
    Case("S8-08", AZURE, at(FILE, "az://c/x"), FILE, "on azure", H),
    Case("S8-08", AWS, launch("hf_user_fine_tuned_weights_prefix", "/data"), f"{LAUNCH}.hf_user_fine_tuned_weights_prefix", "on aws", H),
    Case("S8-08", GCP, at(FILE, "s3://c/x"), FILE, "on gcp", H),
    Case("S8-08", AWS, at(FILE, "s3://"), FILE, "names no bucket", H),
    Case("S8-08", AWS, infra("s3_bucket", "s3://b"), f"{INFRA}.s3_bucket", "bare name", H),
    Case("S8-09", AWS, at("resources.requests.memory", None), "resources.requests.memory", "not set", W),
    Case("S8-09", AWS, at("resources.limits.cpu", "4 cores"), "resources.limits.cpu", "no quantity", H),
    Case("S8-10", AWS, at("context", None), "context", "is not set", H),
    Case("S8-10", AWS, at("context", "circleci"), "context", "is circleci", H),
    Case("S8-10", AWS, at("context", "my prod"), "context", "no label can hold", H),
    Case("S8-11", AWS, at("spellbook.enabled", True), "spellbook.enabled", "is true", I),
    Case("S8-12", AWS, at("replicaCount.cacher", 0), "replicaCount.cacher", "is 0", C),
    Case("S8-12", AWS, at("replicaCount.builder", "0"), "replicaCount.builder", "is 0", C),
    Case(
        "S8-12", AWS, overlaid(at("replicaCount.gateway", 1), at("autoscaling.horizontal.enabled", False)),
        "replicaCount.gateway", "no high availability", W,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_fires(case: Case) -> None:
    one = judge(case.base, case.layer, facts=case.facts)[case.rule]
    assert one.verdict is Verdict.BROKEN, one.why
    found = [item for item in one.broken if item.path == case.path]
    assert found, one.broken
    assert case.words in "; ".join(item.message for item in found)
    assert case.severity in {item.severity or one.rule.severity for item in found}


@pytest.mark.parametrize(
    ("base", "layer", "rules"),
    [
        (AZURE, at("celery_broker_type_redis", "false"), ("S2-az-04",)),  # rendered bare: off
        (AWS, at("debug_mode", "false"), ("S6-04",)),
        (AWS, at("celery_enable_sha256", "false"), ("S7-06",)),
        (
            ONPREM,
            overlaid(at("celery_broker_type_redis", None), infra("celery_broker_type_redis", True)),
            ("S2-op-01",),
        ),
        (AWS, launch("tgi_repository", None), ("S1-02",)),  # None is a value for the process
        (AWS, launch("dd_trace_enabled", None), ("S6-02",)),
        (AWS, launch("sensitive_log_mode", "false"), ("S6-03",)),  # text is true
    ],
)
def test_it_is_quiet(base: Tree, layer: Tree, rules: tuple[str, ...]) -> None:
    judged = judge(base, layer, facts=SOUND)
    assert [judged[id].broken for id in rules] == [()] * len(rules)


@pytest.mark.parametrize("cloud", BY_CLOUD)
@pytest.mark.parametrize("given", [None, SOUND], ids=["before the install", "installed"])
def test_nothing_fires_where_nothing_is_wrong(cloud: str, given: ClusterFacts | None) -> None:
    judged = judge(BY_CLOUD[cloud], facts=given).values()
    assert [(one.rule.id, one.broken, one.why) for one in judged if one.verdict is Verdict.BROKEN] == []
    assert [one.rule.id for one in judged if one.verdict is Verdict.CRASHED] == []


def test_every_rule_is_known_to_fire_and_to_hold() -> None:
    holds = {
        id
        for values in BY_CLOUD.values()
        for id, one in judge(values, facts=SOUND).items()
        if one.verdict is Verdict.HOLDS
    }
    assert {case.rule for case in CASES} == set(all_rules()) == holds


def test_what_needs_the_cluster_is_skipped_without_one() -> None:
    judged = judge(AWS, at("nodeSelector", {"node-lifecycle": "normal"}))
    skipped = {id for id, one in judged.items() if one.verdict is Verdict.SKIPPED and "cluster" in one.why}
    assert skipped == {id for id, rule in all_rules().items() if rule.needs_cluster and not rule.clouds}


def test_ignored_rules_are_listed_with_their_reason() -> None:
    one = judge(AWS, at("debug_mode", True), ignored={"S6-04": "an incident"})["S6-04"]
    assert (one.verdict, one.why, len(one.broken)) == (Verdict.IGNORED, "an incident", 1)


@pytest.mark.parametrize(("id", "hint"), [("S6-4", "did you mean S6-04?"), ("XYZ", "there is no rule XYZ")])
def test_an_ignored_rule_must_exist(id: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", "[?]")):
        judge(AWS, ignored={id: "x"})


def test_declarations() -> None:
    for id, rule in all_rules().items():
        assert rule.section in SECTIONS
        assert rule.title[0].islower() or rule.title.split()[0] in (
            "Istio",
            "GPUs",
            "GCP",
            "KEDA",
            "Redis'",
            "ServiceAccounts",
        ), rule.title
        assert rule.consequence.endswith("."), id
        assert rule.remedy.endswith("."), id
        if rule.severity is Severity.INFO:
            assert not rule.needs_cluster


def test_every_value_of_the_values_reference_is_judged_or_it_is_said_why_not() -> None:
    read = {path for rule in all_rules().values() for path in rule.reads}
    assert {value for value in VALUES if value not in read | CHECKED.keys() | NOT_CHECKABLE.keys()} == set()
    assert (CHECKED.keys() | NOT_CHECKABLE.keys()) <= VALUES
    assert NOT_CHECKABLE.keys() & (read | CHECKED.keys()) == set()
    assert {name for names in CHECKED.values() for name in names} <= catalogue().keys()


@pytest.mark.parametrize(
    ("cloud", "id", "path", "value", "explains"),
    [
        ("aws", "S4-06", "keda.cooldownPeriod", "soon", []),
        ("aws", "S1-05", "image.forwarderRepository", "", ["EndpointsReady/ImageNameInvalid"]),
        ("aws", "S8-12", "replicaCount.builder", 0, ["ControlPlaneReady/builder/ScaledDown"]),
        ("aws", "S4-05", "celery_autoscaler.enabled", False, []),
        ("aws", "S4-05", "celery_autoscaler.num_shards", 0, ["ControlPlaneReady/autoscaler/ScaledDown"]),
        ("aws", "S8-10", "context", "circleci", []),
        ("azure", "S2-az-02", "azure.client_id", "", []),
        ("azure", "S2-az-02", "azure.servicebus_namespace", "", ["BrokerReachable/servicebus"]),
        ("gcp", "S2-gcp-01", f"{LAUNCH}.cache_redis_gcp_url", "", ["RedisReachable/cache/NoRedisConfigured"]),
        ("onprem", "S2-op-05", "extraPodEnvFrom", [], []),
    ],
)
def test_a_place_explains_what_follows_from_it_alone(
    cloud: str, id: str, path: str, value: object, explains: list[str]
) -> None:
    one = judge(BY_CLOUD[cloud], at(path, value), facts=SOUND)[id]
    assert one.broken
    assert list(one.explains) == explains
