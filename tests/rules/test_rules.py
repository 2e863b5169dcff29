# ruff: noqa: E501 - a table
"""Each rule fires on what it is about, with the place and the words that tell why, and is quiet on what is sound."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from mehc_checks.checks.config.rules.catalogue import SECTIONS, all_rules
from mehc_checks.checks.config.rules.coverage import CHECKED, VALUES
from mehc_checks.checks.config.rules.evaluate import Verdict
from mehc_checks.checks.config.rules.fault import NO_START
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
    """``layer`` over the good installation ``base`` breaks ``rule`` at ``path``, which is found as ``reason``."""

    rule: str
    base: Tree
    layer: Tree
    path: str
    reason: str
    severity: Severity
    facts: ClusterFacts | None = None

    def __str__(self) -> str:
        return f"{self.rule}-{self.reason}-{self.path}"


def facts(**changed: Any) -> ClusterFacts:
    return replace(SOUND, **changed)


def launch(name: str, value: Any) -> Tree:
    return at(f"{LAUNCH}.{name}", value)


def infra(name: str, value: Any) -> Tree:
    return at(f"{INFRA}.{name}", value)


MEMORY, NAMED = "recommendedHardware.byGpuMemoryGb", "recommendedHardware.byModelName"
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
    Case("S1-01", without(AWS, FILE), {}, FILE, "FineTuneRepositoryMissing", C),
    Case(
        "S1-01", without(AWS, FILE), launch("s3_file_llm_fine_tuning_job_repository", "s3://b/x"), FILE,
        "FineTuneRepositoryMissing", C,
    ),
    *(
        Case("S1-02", without(AZURE, f"{LAUNCH}.{name}"), {}, f"{LAUNCH}.{name}", "LaunchFieldMissing", C)
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
        Case("S1-03", AWS, at(name, None), name, "BlockMissing", C)
        for name in (
            "service", "virtualservice", "hostDomain", "destinationrule", "replicaCount", "autoscaling",
            "autoscaling.horizontal", "autoscaling.vertical", "autoscaling.prewarming", "celery_autoscaler",
            "serviceTemplate", "imageCache", "triton", "triton.image", "aws.configMap", "secrets", "redis",
            "utilityImages.curl",
        )
    ),
    Case("S1-03", AWS, at("service.port", None), "service.port", "ValueMissing", C),
    Case("S1-03", ONPREM, at("aws", {}), "aws.configMap", "BlockMissing", C),
    Case("S1-03", AWS, balloon(replicaCount=1), "balloons[0].acceleratorName", "ValueMissing", C),
    Case("S1-04", AWS, at("tag", True), "tag", "TagNotText", C),
    Case("S1-04", AWS, at("tag", "x" * 64), "tag", "TagNotText", C),
    Case("S1-04", AWS, at("tag", "v1 beta"), "tag", "TagNotText", C),
    Case("S1-04", AWS, at("tag", 1234567), "tag", "TagNotText", C),
    Case("S1-04", AWS, at("tag", "12345e7"), "tag", "TagNotText", C),
    Case("S1-04", AWS, at("tag", None), "tag", "TagUnset", C),
    *(
        Case("S1-05", AWS, at(f"image.{name}Repository", None), f"image.{name}Repository", "ImageRepositoryUnset", C)
        for name in ("gateway", "builder", "forwarder")
    ),
    Case("S1-05", AWS, at("image.cacherRepository", "other"), "image.cacherRepository", "CacherRepositoryIgnored", W),
    Case(
        "S1-06", AWS, at("secrets.kubernetesDatabaseSecretName", None), "secrets.kubernetesDatabaseSecretName",
        "DatabaseSecretUnset", C,
    ),
    Case(
        "S1-06", AWS, at("secrets.cloudDatabaseSecretName", "x"), "secrets.cloudDatabaseSecretName", "TwoDatabaseSecretsNamed", W
    ),
    Case("S1-07", AWS, at("serviceAccount.annotations", {"helm.sh/hook": None}), "serviceAccount.annotations", "ServiceAccountNotHooked", C),
    *(
        Case("S1-08", AWS, infra("cloud_provider", given), f"{INFRA}.cloud_provider", "CloudProviderUnknown", C)
        for given in ("AWS", "google", "eks")
    ),
    Case("S1-09", AWS, infra("ml_account_id", 111122223333), f"{INFRA}.ml_account_id", "AccountIDNotQuoted", H),
    Case("S1-09", AWS, infra("ml_account_id", "1.11122223333e+11"), f"{INFRA}.ml_account_id", "AccountIDNotQuoted", H),
    Case("S1-10", AWS, infra("k8s_cluster_name", "main_cluster"), f"{INFRA}.k8s_cluster_name", "SamplePlaceholderLeft", W),
    Case(
        "S1-10", AWS, infra("docker_repo_prefix", "000000000000.dkr.ecr.us-east-1.amazonaws.com"),
        f"{INFRA}.docker_repo_prefix", "SamplePlaceholderLeft", W,
    ),
    Case(
        "S1-10", AWS, at("virtualservice.hostDomains", ["llm-engine.domain.com"]), "virtualservice.hostDomains",
        "SamplePlaceholderLeft", W,
    ),
    Case(
        "S1-11", AWS, {}, f"{LAUNCH}.endpoint_namespace", "EndpointNamespaceMissing", C,
        facts(endpoint_namespace_exists=False),
    ),
    Case(
        "S1-11", AWS, overlaid(launch("endpoint_namespace", "model-engine"), at("serviceTemplate.serviceAccountName", "model-engine")),
        f"{LAUNCH}.endpoint_namespace", "EndpointNamespaceShared", H, SOUND,
    ),
    *(
        Case("S1-19", AWS, launch("endpoint_namespace", given), f"{LAUNCH}.endpoint_namespace", "EndpointNamespaceInvalid", C)
        for given in ("LLM-Engine", "llm_engine", "llm.engine", "-llm", "x" * 64)
    ),
    Case("S1-12", AWS, launch("cache_redis_aws_url", None), f"{LAUNCH}.cache_redis_aws_url", "CacheRedisUnset", C),
    Case("S1-12", AZURE, launch("cache_redis_azure_host", ""), f"{LAUNCH}.cache_redis_azure_host", "CacheRedisUnset", C),
    Case("S1-13", AWS, at("autoscalling", {}), "autoscalling", "KeyUnknown", W),
    Case("S1-13", AWS, infra("redis_hosts", "x"), f"{INFRA}.redis_hosts", "KeyUnknown", W),
    Case("S1-13", AWS, launch("frobnicate", "x"), f"{LAUNCH}.frobnicate", "KeyUnknown", W),
    Case("S1-14", AWS, at("autoscaling", "on"), "autoscaling", "ValueHasWrongType", C),
    Case("S1-14", AWS, at("balloons", "many"), "balloons", "ValueHasWrongType", C),
    Case("S1-14", AWS, at("config.values.launch", []), "config.values.launch", "ValueHasWrongType", C),
    Case("S1-14", AWS, at("aws.configMap.create", "true"), "aws.configMap.create", "ValueHasWrongType", C),
    Case("S1-14", AWS, at("hostDomain.prefix", "a: b"), "hostDomain.prefix", "ValueBreaksYAML", C),
    Case("S1-14", AWS, at("message", "hello"), "message", "ValueBreaksYAML", C),
    Case("S1-14", AWS, at("balloons", [{"acceleratorName": A10, "replicaCount": "two"}]), "balloons[0].replicaCount", "ValueRejected", C),
    Case("S1-14", AWS, at("celery_autoscaler.num_shards", True), "celery_autoscaler.num_shards", "ValueRejected", C),
    Case("S1-14", AWS, at("podDisruptionBudget.minAvailable", "half"), "podDisruptionBudget.minAvailable", "ValueRejected", C),
    Case("S1-14", AWS, at("secrets.kubernetesDatabaseSecretName", "My_Secret"), "secrets.kubernetesDatabaseSecretName", "ValueRejected", C),
    Case(
        "S1-14", AWS, {"serviceAccount": {"annotations": {"helm.sh/hook-weight": -2}}},
        "serviceAccount.annotations.helm.sh/hook-weight", "ValueRejected", C,
    ),
    Case("S1-14", AWS, at("extraEnvVars", [{"name": "A", "value": 1}]), "extraEnvVars[0].value", "ValueRejected", C),
    Case("S1-14", AWS, at("tolerations", [{"effect": "Never", "key": "a"}]), "tolerations[0].effect", "ValueRejected", C),
    Case("S1-13", AWS, at("redis.enableTls", True), "redis.enableTls", "KeyUnknown", W),
    Case("S1-13", AWS, at("autoscaling.horizontal.maxReplica", 3), "autoscaling.horizontal.maxReplica", "KeyUnknown", W),
    Case("S1-13", AWS, balloon(acceleratorName=A10, replicaCount=1, gpus=1), "balloons[0].gpus", "KeyUnknown", W),
    *(
        Case("S1-13", ONPREM, infra(name, "x"), f"{INFRA}.{name}", "KeyUnknown", W)
        for name in ("onprem_redis_host", "disable_aws", "disable_sqs_broker", "aws_endpoint_url", "redis_password")
    ),
    Case("S1-13", ONPREM, at("secrets.kubernetesRedisSecretName", "r"), "secrets.kubernetesRedisSecretName", "KeyUnknown", W),
    Case("S1-13", ONPREM, at("gpuMappings", {}), "gpuMappings", "KeyUnknown", W),
    *(
        Case("S1-18", values, infra("cloud_provider", given), f"{INFRA}.cloud_provider", "CloudProviderMismatch", C)
        for cloud, values in BY_CLOUD.items()
        for given in sorted(BY_CLOUD.keys() - {cloud})
    ),
    Case("S1-17", AWS, at("config.file.launch", "/x/l.yaml"), "config.file.launch", "ConfigFileNotMounted", C),
    Case("S7-07", AWS, {}, f"{LAUNCH}.endpoint_namespace", "EndpointNamespaceRestricted", C, facts(pod_security="restricted")),
    Case(
        "S7-08", AWS, at("podSecurityContext.runAsNonRoot", None), "podSecurityContext.runAsNonRoot", "ControlPlaneNotAdmitted",
        C, facts(own_pod_security="restricted"),
    ),
    Case("S8-13", AWS, at("fullnameOverride", "foo"), "fullnameOverride", "GatewayPriorityClassNotCreated", H),
    Case(
        "S8-13", AWS, at("serviceIdentifier", "blue"), "serviceIdentifier", "GatewayPriorityClassMissing", C,
        facts(priority_classes={"model-engine-high-priority": False}),
    ),
    Case("S8-14", AWS, at("extraVolumeMounts", [{"name": "ca", "mountPath": "/ca"}]), "extraVolumeMounts[0]", "MountWithoutVolume", C),
    Case("S8-15", AWS, at("modelCache.lockStaleSeconds", "abc"), "modelCache.lockStaleSeconds", "ModelCacheSecondsInvalid", C),
    Case("S8-15", AWS, at("modelCache.lockStaleSeconds", 1000000), "modelCache.lockStaleSeconds", "ModelCacheSecondsInvalid", C),
    *(
        Case("S1-15", without(ONPREM, f"{INFRA}.{name}"), {}, f"{INFRA}.{name}", "InfraFieldMissing", C)
        for name in ("k8s_cluster_name", "dns_host_domain", "default_region", "ml_account_id", "s3_bucket")
    ),
    Case("S1-15", AWS, infra("docker_repo_prefix", None), f"{INFRA}.docker_repo_prefix", "RegistryPrefixNull", C),
    Case("S1-15", without(AWS, f"{INFRA}.docker_repo_prefix"), {}, f"{INFRA}.docker_repo_prefix", "InfraFieldMissing", C),
    Case(
        "S2-aws-01", AWS, at("serviceAccount.annotations", {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}),
        "serviceAccount.annotations", "RoleARNInvalid", H,
    ),
    Case(
        "S2-aws-01", AWS, infra("ml_account_id", "999999999999"), "serviceAccount.annotations",
        "RoleOfOtherAccount", H,
    ),
    Case(
        "S2-aws-01", AWS, at("serviceAccount.annotations", {"eks.amazonaws.com/role-arn": None}),
        "serviceAccount.annotations", "RoleARNMissing", H,
    ),
    Case("S2-aws-02", AWS, at("aws.configMap.namespaces", None), "aws.configMap.namespaces", "AWSConfigMapNotCreated", C),
    Case(
        "S2-aws-02", AWS, at("aws.configMap.namespaces", ["model-engine"]), "aws.configMap.namespaces",
        "AWSConfigMapNotCreated", C,
    ),
    Case("S2-aws-02", AWS, at("aws.configMap.name", None), "aws.configMap.name", "AWSConfigMapUnnamed", C),
    Case("S2-aws-02", AWS, at("aws.configMap.mountPath", "/opt/.aws"), "aws.configMap.mountPath", "AWSMountPathWrong", C),
    Case("S2-aws-02", AWS, at("aws", None), "aws", "AWSConfigMissing", C),
    Case("S2-aws-02", AWS, at("aws.profileName", None), "aws.profileName", "AWSConfigMissing", C),
    Case("S2-aws-02", AWS, at("aws.profileName", "myprof"), "aws.profileName", "AWSProfileMismatch", C),
    Case("S2-aws-02", AWS, infra("profile_ml_worker", "myprof"), "aws.profileName", "AWSProfileMismatch", C),
    Case("S2-aws-02", AWS, at("aws.configMap.mountPath", None), "aws.configMap.mountPath", "AWSMountPathWrong", C),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", "{not json ${queue_name}"),
        f"{LAUNCH}.sqs_queue_policy_template", "SQSTemplateNotJSON", H,
    ),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_tag_template", '{"a": "${owner}"}'), f"{LAUNCH}.sqs_queue_tag_template",
        "SQSPlaceholderUnknown", H,
    ),
    Case("S2-aws-03", AWS, launch("sqs_queue_tag_template", "[]"), f"{LAUNCH}.sqs_queue_tag_template", "SQSTemplateNotJSON", H),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", "{}"), f"{LAUNCH}.sqs_queue_policy_template",
        "SQSPolicyWithoutQueue", H,
    ),
    Case(
        "S2-aws-03", AWS, launch("sqs_queue_policy_template", '{"a": "arn:aws:sqs:us-east-1:000000000000:${queue_name}"}'),
        f"{LAUNCH}.sqs_queue_policy_template", "SQSSampleAccount", H,
    ),
    *(
        Case("S2-aws-04", AWS, infra("default_region", given), f"{INFRA}.default_region", "DefaultRegionInvalid", H)
        for given in ("us-east-1a", "US-EAST-1", "eastus", "us_east_1", "us-east")
    ),
    Case(
        "S2-aws-04", AWS, infra("default_region", "eu-west-1"), f"{INFRA}.docker_repo_prefix",
        "RegistryRegionMismatch", H,
    ),
    Case(
        "S2-aws-04", AWS, at("extraEnvVars", [{"name": "AWS_REGION", "value": "eu-west-1"}]), "extraEnvVars[0]",
        "AWSRegionMismatch", H,
    ),
    Case("S2-aws-05", AWS, launch("sqs_profile", "queues"), f"{LAUNCH}.sqs_profile", "SQSProfileUnknown", H),
    Case(
        "S2-aws-06", AWS, launch("cache_redis_aws_secret_name", "x"), f"{LAUNCH}.cache_redis_aws_secret_name",
        "TwoCacheSources", W,
    ),
    Case("S2-az-01", AZURE, launch("cache_redis_aws_url", "redis://a/0"), f"{LAUNCH}.cache_redis_aws_url", "AWSCacheOnAzure", C),
    Case("S2-az-01", AZURE, launch("cache_redis_aws_secret_name", "x"), f"{LAUNCH}.cache_redis_aws_secret_name", "AWSCacheOnAzure", C),
    *(
        Case("S2-az-02", AZURE, at(f"azure.{name}", None), f"azure.{name}", "AzureFieldUnset", C)
        for name in ("client_id", "object_id", "identity_name", "servicebus_namespace", "abs_account_name", "abs_container_name")
    ),
    Case(
        "S2-az-02", AZURE, overlaid(at("azure.keyvault_name", None), at("keyvaultName", "kv")), "azure.keyvault_name",
        "AzureFieldUnset", C,
    ),
    Case("S2-az-03", AZURE, at("celeryBrokerType", "elasticache"), "celeryBrokerType", "BrokerTypeNotServiceBus", C),
    Case("S2-az-03", AZURE, at("celeryBrokerType", None), "celeryBrokerType", "BrokerTypeNotServiceBus", C),
    Case("S2-az-04", AZURE, at("celery_broker_type_redis", True), "celery_broker_type_redis", "RedisBrokerOnAzure", C),
    Case(
        "S2-az-04", AZURE, infra("celery_broker_type_redis", "false"), f"{INFRA}.celery_broker_type_redis", "RedisBrokerOnAzure", C
    ),
    Case(
        "S2-az-05", AZURE, launch("cache_redis_azure_host", "c.redis.cache.windows.net"),
        f"{LAUNCH}.cache_redis_azure_host", "AzureCachePortMissing", H,
    ),
    Case(
        "S2-az-06", AZURE, {}, "azure", "AzurePullSecretMissing", W,
        facts(secrets={"llm-engine/egp-ecr-regcred": False}),
    ),
    Case("S2-gcp-01", GCP, launch("cache_redis_gcp_url", None), f"{LAUNCH}.cache_redis_gcp_url", "GCPCacheUnset", C),
    Case("S2-gcp-01", GCP, at("gcp.project_id", ""), "gcp.project_id", "GCPProjectUnset", C),
    Case("S2-gcp-01", ONPREM, infra("docker_repo_prefix", "gcr.io/p"), f"{INFRA}.cloud_provider", "GCPDeclaredOnPremises", W),
    Case("S2-gcp-02", GCP, at("celery_autoscaler.enabled", "true"), "celery_autoscaler.enabled", "AsyncOnGCP", H),
    Case("S2-op-01", ONPREM, at("celery_broker_type_redis", None), "celery_broker_type_redis", "BuilderConsumesSQS", C),
    Case("S2-op-01", ONPREM, at("celery_broker_type_redis", "false"), "celery_broker_type_redis", "BuilderConsumesSQS", C),
    Case("S2-op-02", ONPREM, at("celeryBrokerType", "elasticache"), "celeryBrokerType", "BrokerTypeUnknown", C),
    Case("S2-op-02", ONPREM, at("celeryBrokerType", "sqs"), "celeryBrokerType", "BrokerTypeNotRedis", C),
    Case("S2-op-02", AWS, at("celeryBrokerType", None), "celeryBrokerType", "BrokerTypeUnknown", C),
    Case("S2-op-03", ONPREM, at("aws.profileName", "default"), "aws", "AWSBlockOnPremises", H),
    Case("S2-op-04", ONPREM, at("redisHost", "other"), "redisHost", "RedisHostsDiffer", H),
    Case("S2-op-04", ONPREM, at("redisPort", "6380"), "redisPort", "RedisPortNot6379", H),
    Case("S2-op-05", ONPREM, at("s3EndpointUrl", None), "s3EndpointUrl", "S3EndpointUnset", H),
    Case("S2-op-05", ONPREM, at("s3EndpointUrl", "minio:9000"), "s3EndpointUrl", "S3EndpointInvalid", H),
    Case("S2-op-05", ONPREM, at("extraPodEnvFrom", []), "extraPodEnvFrom", "S3CredentialsUnset", H),
    Case("S2-op-06", ONPREM, infra("docker_repo_prefix", "harbor.internal/llm"), f"{INFRA}.docker_repo_prefix", "RegistryTagsNotListed", C),
    Case("S2-op-06", AWS, infra("docker_registry_type", "onprem"), f"{INFRA}.docker_registry_type", "RegistryTagsNotListed", C),
    Case("S3-01", AWS, balloon(acceleratorName="nvidia-tesla-a10", replicaCount=1), "balloons[0].acceleratorName", "BalloonAcceleratorUnknown", W),
    Case("S3-01", AWS, balloon(acceleratorName=A10, replicaCount=1, gpuCount="16"), "balloons[0].gpuCount", "BalloonGpuCountUnusual", W),
    Case("S3-02", AWS, balloon(acceleratorName=A10, replicaCount=0), "balloons[0].replicaCount", "NodesNotKeptWarm", I),
    Case(
        "S3-03", AWS, at("balloonConfig.reserveHighPriority", True), "balloonConfig.reserveHighPriority",
        "BalloonsBlockOrdinaryEndpoints", W,
    ),
    Case("S3-04", AWS, devices(name="A10"), "imageCache.devices[0].name", "CacheDeviceUnknown", W),
    Case("S3-04", AWS, devices(nodeSelector={}), "imageCache.devices[0].nodeSelector", "CacheDeviceSelectorEmpty", W),
    Case(
        "S3-04", AWS, devices(nodeSelector={"k8s.amazonaws.com/accelerator": "nvidia-tesla-t4"}),
        "imageCache.devices[0].nodeSelector", "CacheDeviceSelectorMismatch", W,
    ),
    Case("S3-04", AWS, devices(tolerations=[]), "imageCache.devices[0].tolerations", "CacheDeviceNotTolerating", W),
    Case("S3-04", AWS, at("imageCache.devices", []), "imageCache.devices", "CacheDeviceMissing", W),
    Case("S3-05", AWS, tiers(TIER, TIER), f"{MEMORY}[1].gpu_memory_le", "TierHidden", W),
    Case("S3-05", AWS, tiers({**TIER, "gpu_type": "a10"}), f"{MEMORY}[0].gpu_type", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "gpu_type": "nvidia-ampere-a100e"}), f"{MEMORY}[0].gpu_type", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "memory": None}), f"{MEMORY}[0].memory", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "nodes_per_worker": None}), f"{MEMORY}[0].nodes_per_worker", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "gpus": 0}), f"{MEMORY}[0].gpus", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "cpus": 80}), f"{MEMORY}[0].cpus", "TierRejected", W),
    Case("S3-05", AWS, tiers({**TIER, "gpu_memory_le": "big"}), f"{MEMORY}[0].gpu_memory_le", "RecommendedHardwareUnusable", H),
    Case("S3-05", AWS, at(NAMED, []), NAMED, "RecommendedHardwareUnusable", H),
    Case(
        "S3-05", AWS, at("recommendedHardware", {"byModelName": [{"name": "a: b", **TIER}]}), f"{NAMED}[0].name",
        "RecommendedHardwareUnusable", H,
    ),
    Case("S3-05", AWS, at(MEMORY, None), MEMORY, "RecommendedHardwareUnusable", H),
    Case(
        "S3-06", AWS, at("nodeSelector", {"node-lifecycle": "normal"}), "nodeSelector",
        "NodeSelectorMatchesNoNode", H, facts(selected_nodes=0),
    ),
    Case("S4-01", AWS, at("autoscaling.horizontal.minReplicas", 1), "autoscaling.horizontal.minReplicas", "GatewayNotRedundant", I),
    Case("S4-01", AWS, at("autoscaling.horizontal.maxReplicas", 1), "autoscaling.horizontal.maxReplicas", "HPALimitsReversed", C),
    Case("S4-01", AWS, at("autoscaling.horizontal.targetConcurrency", 0), "autoscaling.horizontal.targetConcurrency", "HPANumberInvalid", C),
    Case("S4-02", AWS, {}, "autoscaling.horizontal.enabled", "CustomMetricsNotServed", H, facts(request_metric=False)),
    *(
        Case("S4-03", AWS, at("autoscaling.vertical.enabled", True), f"autoscaling.vertical.{name}", "VPASettingMissing", C)
        for name in ("minAllowed", "maxAllowed", "updateMode")
    ),
    Case(
        "S4-03", AWS, at("autoscaling.vertical", {"enabled": "true", "minAllowed": {"cpu": 1}, "maxAllowed": {"cpu": 2}, "updateMode": "Auto"}),
        "autoscaling.vertical.enabled", "VPANotInstalled", C, facts(crds=frozenset()),
    ),
    Case("S4-04", AWS, at("autoscaling.prewarming.enabled", True), "autoscaling.prewarming.enabled", "PrewarmingOn", W),
    Case("S4-05", AWS, at("celery_autoscaler.enabled", False), "celery_autoscaler.enabled", "CeleryAutoscalerOff", H),
    Case("S4-05", AWS, at("celery_autoscaler.num_shards", 0), "celery_autoscaler.num_shards", "CeleryAutoscalerWithoutShards", H),
    Case("S4-05", AZURE, at("serviceIdentifier", "blue"), "serviceIdentifier", "CeleryAutoscalerLeftOut", H),
    *(
        Case(
            "S4-06", AWS, infra("prometheus_server_address", f"http://prometheus:9090{page}"),
            f"{INFRA}.prometheus_server_address", "PrometheusAddressIsPage", H,
        )
        for page in ("/graph", "/graph/", "/graph?g0.expr=up", "/api/v1/query", "/api/v1", "/prefix/targets")
    ),
    Case("S4-06", AWS, infra("prometheus_server_address", None), f"{INFRA}.prometheus_server_address", "PrometheusAddressUnset", H),
    Case("S4-06", AWS, infra("prometheus_server_address", ""), f"{INFRA}.prometheus_server_address", "PrometheusAddressEmpty", H),
    Case("S4-06", AWS, infra("prometheus_server_address", "prometheus:9090"), f"{INFRA}.prometheus_server_address", "PrometheusAddressInvalid", H),
    Case("S4-06", AWS, at("keda.cooldownPeriod", "5m"), "keda.cooldownPeriod", "CooldownInvalid", H),
    Case("S4-07", AWS, {}, "autoscaling", "TwoAutoscalers", H, facts(scaled_twice=("launch-endpoint-id-1",))),
    Case("S5-01", AWS, {}, "azure", "IstioNotInstalled", C, facts(istio_namespace_exists=False)),
    Case("S5-01", AWS, {}, "azure", "IstioNotInstalled", C, facts(crds=frozenset())),
    Case("S5-01", AZURE, {}, "virtualservice.enabled", "IstioNotInstalled", C, facts(crds=frozenset())),
    Case("S5-02", AWS, launch("istio_enabled", "false"), f"{LAUNCH}.istio_enabled", "IstioEnabledQuoted", C),
    Case("S5-02", AWS, launch("istio_enabled", "true"), f"{LAUNCH}.istio_enabled", "IstioEnabledQuoted", C),
    Case("S5-02", AWS, {}, f"{LAUNCH}.istio_enabled", "IstioEnabledWithoutIstio", C, facts(crds=frozenset())),
    Case("S5-02", AWS, launch("istio_enabled", False), f"{LAUNCH}.istio_enabled", "IstioNotUsed", W, SOUND),
    Case("S5-03", AWS, at("virtualservice.hostDomains", []), "virtualservice.hostDomains", "VirtualServiceIncomplete", H),
    Case("S5-03", AWS, at("virtualservice.gateways", ["gw"]), "virtualservice.gateways", "IstioGatewayMalformed", H),
    Case(
        "S5-03", AWS, {}, "virtualservice.gateways", "IstioGatewayMissing", H,
        facts(gateways={"default/internal-gateway": False}),
    ),
    Case("S5-04", AWS, at("service.port", "8080"), "service.port", "ServicePortNot80", H),
    Case("S5-05", AWS, at("hostDomain.prefix", "https://"), "hostDomain.prefix", "HostPrefixHTTPS", W),
    Case("S5-05", AWS, at("hostDomain.prefix", "llm."), "hostDomain.prefix", "HostPrefixInvalid", H),
    Case("S5-06", AWS, at("service.type", "LoadBalancer"), "service.type", "GatewayExposed", H),
    Case("S5-06", AWS, at("service.type", "clusterip"), "service.type", "ServiceTypeUnknown", C),
    Case("S5-07", AWS, at("redis.auth", "s3cret-token"), "redis.auth", "RedisTokenInValues", H),
    Case("S5-07", AWS, at("redis.auth", 12345678), "redis.auth", "RedisTokenNotText", H),
    Case("S5-08", AWS, at("redis.enableAuth", "true"), "redis.kedaSecretName", "KedaSecretNameUnset", H),
    Case("S5-08", ONPREM, at("redis.enableAuth", True), "redis.enableAuth", "KedaAuthNotOnThisCloud", H),
    Case("S5-08", AWS, at("redis.enableTLS", True), "redis.enableTLS", "KedaTLSMismatch", H),
    Case("S5-08", AWS, launch("cache_redis_aws_url", "rediss://h:6379/0"), "redis.enableTLS", "KedaTLSMismatch", H),
    Case("S5-09", AWS, at("redis.unsafeSsl", "true"), "redis.unsafeSsl", "RedisNotVerified", W),
    Case("S5-10", AWS, infra("dns_host_domain", "https://llm.example.com"), f"{INFRA}.dns_host_domain", "HostDomainInvalid", H),
    Case("S6-01", AWS, launch("dd_trace_enabled", True), f"{LAUNCH}.dd_trace_enabled", "TracingTogglesDiffer", W),
    Case("S6-01", AWS, at("datadog.enabled", True), "datadog.enabled", "TracingTogglesDiffer", W),
    Case("S6-01", AWS, overlaid(at("dd_trace_enabled", "true"), launch("dd_trace_enabled", True)), "datadog.enabled", "TracingTogglesDiffer", W),
    Case("S6-02", without(AWS, f"{LAUNCH}.dd_trace_enabled"), {}, f"{LAUNCH}.dd_trace_enabled", "TracingNotOff", W),
    Case("S6-02", AWS, launch("dd_trace_enabled", "false"), f"{LAUNCH}.dd_trace_enabled", "TracingNotOff", W),
    Case("S6-03", AWS, launch("sensitive_log_mode", False), f"{LAUNCH}.sensitive_log_mode", "PayloadsLogged", W),
    Case("S6-04", AWS, at("debug_mode", True), "debug_mode", "DebugModeOn", I),
    Case("S6-04", AWS, at("debug_mode", "yes"), "debug_mode", "DebugModeOn", I),
    Case("S7-01", AWS, at("podSecurityContext.runAsNonRoot", None), "podSecurityContext.runAsNonRoot", "RunsAsRoot", W),
    Case("S7-01", AWS, at("podSecurityContext.runAsUser", 0), "podSecurityContext.runAsNonRoot", "RootForbiddenButChosen", C),
    Case("S7-01", AWS, at("podSecurityContext.fsGroup", 1), "podSecurityContext.fsGroup", "MountedFilesUnreadable", W),
    Case(
        "S7-01", AWS, at("containerSecurityContext.allowPrivilegeEscalation", True),
        "containerSecurityContext.allowPrivilegeEscalation", "PrivilegeEscalationAllowed", W,
    ),
    Case(
        "S7-02", AWS, at("containerSecurityContext.readOnlyRootFilesystem", True),
        "containerSecurityContext.readOnlyRootFilesystem", "RootFilesystemReadOnly", H,
    ),
    Case(
        "S7-03", AWS, at("serviceTemplate.securityContext.capabilities.drop", ["all"]),
        "serviceTemplate.securityContext.capabilities.drop", "CapabilityNameWrong", W,
    ),
    Case("S7-04", AWS, at("serviceTemplate.mountInfraConfig", False), "serviceTemplate.mountInfraConfig", "InfraConfigNotMounted", H),
    Case("S7-04", AWS, at("serviceTemplate.mountInfraConfig", None), "serviceTemplate.mountInfraConfig", "InfraConfigNotMounted", H),
    Case("S7-05", AWS, at("serviceTemplate.createServiceAccount", False), "serviceTemplate.createServiceAccount", "InferenceAccountNotCreated", H),
    Case(
        "S7-05", overlaid(AZURE, at("serviceTemplate", {"serviceAccountAnnotations": None})), {},
        "serviceTemplate.serviceAccountAnnotations", "InferenceAccountNotCreated", H,
    ),
    Case(
        "S7-05", AWS, {}, "serviceTemplate.serviceAccountName", "InferenceAccountMissing", H,
        facts(service_accounts={"llm-engine/model-engine-endpoints": False}),
    ),
    Case("S7-06", AWS, infra("default_region", "us-gov-west-1"), "celery_enable_sha256", "SHA256OffUnderFIPS", W),
    Case(
        "S7-06", AWS, overlaid(infra("default_region", "us-gov-west-1"), at("celery_enable_sha256", "false")),
        "celery_enable_sha256", "SHA256OffUnderFIPS", W,
    ),
    Case("S8-01", AWS, at("podDisruptionBudget.minAvailable", 2), "podDisruptionBudget.minAvailable", "DrainBlocked", W),
    Case("S8-01", AWS, at("podDisruptionBudget.minAvailable", "100%"), "podDisruptionBudget.minAvailable", "DrainBlocked", W),
    Case("S8-02", AWS, at("db.runDbMigrationScript", False), "db.runDbMigrationScript", "MigrationOff", W),
    Case("S8-02", AWS, at("db.runDbInitScript", "true"), "db.runDbInitScript", "InitAndMigration", C),
    Case("S8-03", AWS, infra("db_engine_pool_size", 10), f"{INFRA}.db_engine_pool_size", "PoolSizeUnusable", C),
    Case("S8-03", AWS, infra("db_engine_pool_size", None), f"{INFRA}.db_engine_pool_size", "PoolSizeUnusable", C),
    Case("S8-03", AWS, infra("db_engine_max_overflow", "10"), f"{INFRA}.db_engine_max_overflow", "PoolSizeUnusable", C),
    Case("S8-04", AWS, infra("db_engine_echo", "false"), f"{INFRA}.db_engine_echo", "SQLEchoInvalid", C),
    Case("S8-04", AWS, infra("db_engine_echo_pool", 0), f"{INFRA}.db_engine_echo_pool", "SQLEchoInvalid", C),
    Case("S8-04", AWS, infra("db_engine_disconnect_strategy", "optimistic"), f"{INFRA}.db_engine_disconnect_strategy", "DisconnectStrategyWeak", W),
    Case("S8-04", AWS, infra("db_engine_disconnect_strategy", "none"), f"{INFRA}.db_engine_disconnect_strategy", "DisconnectStrategyUnknown", H),
    Case("S8-04", AWS, infra("db_engine_echo", True), f"{INFRA}.db_engine_echo", "SQLLogged", I),
    *(
        Case("S8-05", AWS, launch(f"{name}_repository", "registry.example.com/x"), f"{LAUNCH}.{name}_repository", "RepositoryNotRelative", C)
        for name in ("vllm", "tensorrt_llm", "tgi", "lightllm", "sglang", "batch_inference_vllm")
    ),
    Case(
        "S8-05", GCP, launch("user_inference_base_repository", "gcr.io/x"),
        f"{LAUNCH}.user_inference_base_repository", "RepositoryNotRelative", C,
    ),
    Case(
        "S8-06", AWS, overlaid(at("image.pullPolicy", "IfNotPresent"), at("tag", "latest")), "image.pullPolicy",
        "MovingTagKept", W,
    ),
    Case("S8-06", AWS, at("image.pullPolicy", "always"), "image.pullPolicy", "PullPolicyUnknown", C),
    Case("S8-07", AWS, at("serviceAccount.namespaces", []), "serviceAccount.namespaces", "ImageBuilderNotInDefault", H),
    Case(
        "S8-07", AWS, at("imageBuilderServiceAccount.annotations", {"eks.amazonaws.com/role-arn": None}),
        "imageBuilderServiceAccount.annotations", "ImageBuilderWithoutRole", H,
    ),
    Case("S8-08", AZURE, at(FILE, "az://c/x"), FILE, "StoreSchemeWrong", H),
    Case("S8-08", AWS, launch("hf_user_fine_tuned_weights_prefix", "/data"), f"{LAUNCH}.hf_user_fine_tuned_weights_prefix", "StoreSchemeWrong", H),
    Case("S8-08", GCP, at(FILE, "s3://c/x"), FILE, "StoreSchemeWrong", H),
    Case("S8-08", AWS, at(FILE, "s3://"), FILE, "StoreBucketUnnamed", H),
    Case("S8-08", AWS, infra("s3_bucket", "s3://b"), f"{INFRA}.s3_bucket", "BucketNotBare", H),
    Case("S8-09", AWS, at("resources.requests.memory", None), "resources.requests.memory", "MemoryNotReserved", W),
    Case("S8-09", AWS, at("resources.limits.cpu", "4 cores"), "resources.limits.cpu", "ResourcesInvalid", C),
    Case("S8-10", AWS, at("context", None), "context", "ContextUnset", W),
    Case("S8-10", AWS, at("context", "circleci"), "context", "ContextCircleCI", H),
    Case("S8-10", AWS, at("context", "my prod"), "context", "ContextNotALabel", C),
    Case("S8-11", AWS, at("spellbook.enabled", True), "spellbook.enabled", "SpellbookOn", I),
    Case("S8-12", AWS, at("replicaCount.cacher", 0), "replicaCount.cacher", "CacherWithoutReplicas", W),
    Case("S8-12", AWS, at("replicaCount.builder", "0"), "replicaCount.builder", "ReplicasMissing", C),
    Case(
        "S8-12", AWS, overlaid(at("replicaCount.gateway", 1), at("autoscaling.horizontal.enabled", False)),
        "replicaCount.gateway", "GatewaySingle", W,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_fires(case: Case) -> None:
    one = judge(case.base, case.layer, facts=case.facts)[case.rule]
    assert one.verdict is Verdict.BROKEN, one.why
    found = [item for item in one.findings if (item.subject, item.reason.name) == (case.path, case.reason)]
    assert found, one.findings
    assert {item.severity for item in found} == {case.severity}
    assert all(item.remediation for item in found)


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
        (AWS, at("serviceIdentifier", "blue"), ("S8-13",)),  # another installation made the classes
        (AWS, at("redis.enableTLS", "false"), ("S5-08",)),
        (AWS, at("serviceAccount", {"annotations": {"a/b": "c"}}), ("S1-13", "S1-14")),
        (AWS, at("podDisruptionBudget", None), ("S1-03", "S8-01")),
        (AWS, at("imageBuilderServiceAccount", None), ("S1-03", "S8-07")),
        (AWS, at("podDisruptionBudget.minAvailable", 0), ("S8-01",)),  # the chart leaves it out
        (AZURE, at("redis.enableTLS", False), ("S5-08",)),  # KEDA asks Service Bus there
        (
            AWS,
            at("serviceTemplate", {"serviceAccountName": "default", "createServiceAccount": False}),
            ("S7-05",),
        ),
        (GCP, overlaid(at("gcp.project_id", ""), infra("gcp_project_id", "p")), ("S2-gcp-01",)),
        (
            ONPREM,
            overlaid(infra("docker_registry_type", "onprem"), launch("vllm_repository", "r.io/x/vllm")),
            ("S8-05",),
        ),
        (AWS, infra("profile_ml_worker", ""), ("S2-aws-02",)),  # no profile is used
        (AWS, infra("db_engine_echo", None), ("S8-04",)),
    ],
)
def test_it_is_quiet(base: Tree, layer: Tree, rules: tuple[str, ...]) -> None:
    judged = judge(base, layer, facts=SOUND)
    assert [judged[id].findings for id in rules] == [()] * len(rules)


@pytest.mark.parametrize("cloud", BY_CLOUD)
@pytest.mark.parametrize("given", [None, SOUND], ids=["before the install", "installed"])
def test_nothing_fires_where_nothing_is_wrong(cloud: str, given: ClusterFacts | None) -> None:
    judged = judge(BY_CLOUD[cloud], facts=given).values()
    assert [(one.rule.id, one.findings, one.why) for one in judged if one.verdict is Verdict.BROKEN] == []
    assert [one.rule.id for one in judged if one.verdict is Verdict.CRASHED] == []


def test_every_rule_is_known_to_fire_and_to_hold() -> None:
    holds = {
        id
        for values in BY_CLOUD.values()
        for id, one in judge(values, facts=SOUND).items()
        if one.verdict is Verdict.HOLDS
    }
    assert {case.rule for case in CASES} | {"S1-16"} == set(all_rules()) == holds


def test_every_fault_is_known_to_fire() -> None:
    declared = {fault.name for rule in all_rules().values() for fault in rule.faults}
    assert {case.reason for case in CASES} | {"KeyGivenTwice"} == declared


def test_what_needs_the_cluster_is_skipped_without_one() -> None:
    judged = judge(AWS, at("nodeSelector", {"node-lifecycle": "normal"}))
    skipped = {id for id, one in judged.items() if one.verdict is Verdict.SKIPPED and "cluster" in one.why}
    assert skipped == {id for id, rule in all_rules().items() if rule.needs_cluster and not rule.clouds}


def test_ignored_rules_are_listed_with_their_reason() -> None:
    one = judge(AWS, at("debug_mode", True), ignored={"S6-04": "an incident"})["S6-04"]
    assert (one.verdict, one.why, len(one.findings)) == (Verdict.IGNORED, "an incident", 1)


@pytest.mark.parametrize(("id", "hint"), [("S6-4", "did you mean S6-04?"), ("XYZ", "there is no rule XYZ")])
def test_an_ignored_rule_must_exist(id: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", "[?]")):
        judge(AWS, ignored={id: "x"})


def test_declarations() -> None:
    for rule in all_rules().values():
        assert rule.section in SECTIONS
        assert rule.title[0].islower() or rule.title.split()[0] in (
            "Istio",
            "GPUs",
            "GCP",
            "KEDA",
            "Redis'",
            "ServiceAccounts",
        ), rule.title
        for fault in rule.faults:
            assert fault.meaning.endswith("."), fault.name
        if rule.severity is Severity.INFO:
            assert not rule.needs_cluster


def test_every_value_of_the_values_reference_is_judged() -> None:
    read = {path for rule in all_rules().values() for path in rule.reads}
    assert {value for value in VALUES if value not in read | CHECKED.keys()} == set()
    assert CHECKED.keys() <= VALUES
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
        (
            "gcp",
            "S2-gcp-01",
            f"{LAUNCH}.cache_redis_gcp_url",
            "",
            [*NO_START, "RedisReachable/cache/NoRedisConfigured"],
        ),
        ("onprem", "S2-op-05", "extraPodEnvFrom", [], []),
    ],
)
def test_a_place_explains_what_follows_from_it_alone(
    cloud: str, id: str, path: str, value: object, explains: list[str]
) -> None:
    one = judge(BY_CLOUD[cloud], at(path, value), facts=SOUND)[id]
    assert one.findings
    assert list(dict.fromkeys(name for found in one.findings for name in found.explains)) == explains
