"""Installations in which nothing is wrong, one for each cloud, as a careful reader writes their values."""

from typing import Any, Final

from testbed.installation import Tree, overlaid

ROLE: Final = "arn:aws:iam::111122223333:role/k8s-main-llm-engine"
HOOKS: Final = {"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-2"}
GPU_TOLERATION: Final = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
POLICY: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "' + ROLE + '"}, '
    '"Action": "sqs:*", "Resource": "arn:aws:sqs:us-east-1:111122223333:${queue_name}"}]}'
)
A10: Final = "nvidia-ampere-a10"

_COMMON: Final[Tree] = {
    "tag": "2e9d00786419ef44ec5c9d3305d8d6451d6aabfb",
    "context": "production",
    "dd_trace_enabled": False,
    "image": {
        "gatewayRepository": "registry.example.com/model-engine",
        "builderRepository": "registry.example.com/model-engine",
        "cacherRepository": "registry.example.com/model-engine",
        "forwarderRepository": "registry.example.com/model-engine",
        "pullPolicy": "Always",
    },
    "secrets": {"kubernetesDatabaseSecretName": "llm-engine-postgres-credentials"},
    "db": {"runDbInitScript": False, "runDbMigrationScript": True},
    "serviceAccount": {"annotations": dict(HOOKS), "namespaces": []},
    "imageBuilderServiceAccount": {"create": False},
    "service": {"type": "ClusterIP", "port": 80},
    "virtualservice": {
        "enabled": True,
        "annotations": {},
        "hostDomains": ["llm-engine.example.com"],
        "gateways": ["default/internal-gateway"],
    },
    "hostDomain": {"prefix": "http://"},
    "destinationrule": {"enabled": True, "annotations": {}},
    "replicaCount": {"gateway": 2, "cacher": 1, "builder": 1},
    "balloonConfig": {"reserveHighPriority": False},
    "balloons": [{"acceleratorName": A10, "replicaCount": 1, "gpuCount": 1}],
    "autoscaling": {
        "horizontal": {"enabled": True, "minReplicas": 2, "maxReplicas": 10, "targetConcurrency": 50},
        "vertical": {"enabled": False},
        "prewarming": {"enabled": False},
    },
    "celery_autoscaler": {"enabled": True, "num_shards": 3},
    "podDisruptionBudget": {"enabled": True, "minAvailable": 1},
    "resources": {"requests": {"cpu": 2, "memory": "4Gi"}},
    "nodeSelector": None,
    "tolerations": [],
    "podSecurityContext": {"runAsUser": 65532, "runAsGroup": 65532, "runAsNonRoot": True, "fsGroup": 65532},
    "containerSecurityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": False,
        "capabilities": {"drop": ["ALL"]},
    },
    "serviceTemplate": {
        "securityContext": {"capabilities": {"drop": ["ALL"]}},
        "mountInfraConfig": True,
        "createServiceAccount": True,
        "serviceAccountName": "model-engine-endpoints",
        "serviceAccountAnnotations": dict(HOOKS),
    },
    "datadog": {"enabled": False},
    "triton": {"image": {"repository": "registry.example.com/std-ml-srv", "tag": "e83eccbc8959-triton"}},
    "imageCache": {
        "devices": [
            {
                "name": "a10",
                "nodeSelector": {"k8s.amazonaws.com/accelerator": A10},
                "tolerations": [GPU_TOLERATION],
            }
        ]
    },
    "recommendedHardware": {
        "byGpuMemoryGb": [
            {
                "gpu_memory_le": 24,
                "cpus": 10,
                "gpus": 1,
                "memory": "24Gi",
                "storage": "80Gi",
                "gpu_type": A10,
                "nodes_per_worker": 1,
            }
        ],
        "byModelName": [
            {
                "name": "llama-3-8b-instruct",
                "cpus": 10,
                "gpus": 1,
                "memory": "24Gi",
                "storage": "80Gi",
                "gpu_type": A10,
                "nodes_per_worker": 1,
            }
        ],
    },
    "config": {
        "values": {
            "infra": {
                "k8s_cluster_name": "my-cluster",
                "dns_host_domain": "llm-engine.example.com",
                "s3_bucket": "my-bucket",
                "prometheus_server_address": "http://prometheus-server.istio-system.svc.cluster.local:80",
            },
            "launch": {
                "endpoint_namespace": "llm-engine",
                "billing_queue_arn": "unused",
                "sqs_profile": "default",
                "sqs_queue_policy_template": "{}",
                "sqs_queue_tag_template": "{}",
                "model_primitive_host": "unused",
                "istio_enabled": True,
                "dd_trace_enabled": False,
                "sensitive_log_mode": True,
                "tgi_repository": "text-generation-inference",
                "vllm_repository": "vllm",
                "lightllm_repository": "lightllm",
                "tensorrt_llm_repository": "tensorrt-llm",
                "batch_inference_vllm_repository": "llm-engine/batch-infer-vllm",
                "user_inference_base_repository": "launch/inference",
                "user_inference_pytorch_repository": "launch/inference/pytorch",
                "user_inference_tensorflow_repository": "launch/inference/tf",
                "docker_image_layer_cache_repository": "launch-docker-build-cache",
            },
        }
    },
}


def _config(infra: Tree, launch: Tree) -> Tree:
    return {"config": {"values": {"infra": infra, "launch": launch}}}


def _files(prefix: str) -> Tree:
    return {
        "cloud_file_llm_fine_tune_repository": f"{prefix}/llm-ft-job-repository",
        "hf_user_fine_tuned_weights_prefix": f"{prefix}/fine_tuned_weights",
    }


AWS: Final = overlaid(
    _COMMON,
    {
        "celeryBrokerType": "sqs",
        "serviceAccount": {
            "annotations": {"eks.amazonaws.com/role-arn": ROLE},
            "namespaces": ["default"],
        },
        "imageBuilderServiceAccount": {
            "create": True,
            "annotations": {"eks.amazonaws.com/role-arn": f"{ROLE}-image-builder"},
        },
        "serviceTemplate": {"serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": ROLE}},
        "aws": {
            "configMap": {
                "name": "default-config",
                "create": True,
                "namespaces": ["model-engine", "llm-engine"],
                "mountPath": "/opt/.aws/config",
            },
            "profileName": "default",
        },
    },
    _config(
        {
            "cloud_provider": "aws",
            "default_region": "us-east-1",
            "ml_account_id": "111122223333",
            "docker_repo_prefix": "111122223333.dkr.ecr.us-east-1.amazonaws.com",
            "redis_host": "my-redis.use1.cache.amazonaws.com",
        },
        {
            "cache_redis_aws_url": "redis://my-redis.use1.cache.amazonaws.com:6379/15",
            "sqs_queue_policy_template": POLICY,
            "sqs_queue_tag_template": '{"Endpoint-Id": "${endpoint_id}"}',
            **_files("s3://my-bucket"),
        },
    ),
)
AZURE: Final = overlaid(
    _COMMON,
    {
        "celeryBrokerType": "servicebus",
        "redis": {"enableTLS": True},
        "azure": {
            "client_id": "c",
            "object_id": "o",
            "identity_name": "i",
            "keyvault_name": "my-keyvault",
            "servicebus_namespace": "my-bus",
            "abs_account_name": "myaccount",
            "abs_container_name": "my-container",
        },
    },
    _config(
        {
            "cloud_provider": "azure",
            "default_region": "eastus",
            "ml_account_id": "my-subscription",
            "docker_repo_prefix": "myregistry.azurecr.io",
        },
        {
            "cache_redis_azure_host": "my-cache.redis.cache.windows.net:6380",
            **_files("azure://my-container"),
        },
    ),
)
GCP: Final = overlaid(
    _COMMON,
    {
        "celeryBrokerType": "redis",
        "gcp": {"project_id": "my-project"},
        "celery_autoscaler": {"enabled": False},
    },
    _config(
        {
            "cloud_provider": "gcp",
            "default_region": "us-central1",
            "ml_account_id": "my-project",
            "docker_repo_prefix": "us-central1-docker.pkg.dev/my-project/llm",
            "redis_host": "redis.internal",
        },
        {"cache_redis_gcp_url": "redis://redis.internal:6379/15", **_files("gs://my-bucket")},
    ),
)
ONPREM: Final = overlaid(
    _COMMON,
    {
        "celeryBrokerType": "redis",
        "celery_broker_type_redis": True,
        "redisHost": "redis.internal",
        "redisPort": 6379,
        "s3EndpointUrl": "https://minio.internal:9000",
        "extraPodEnvFrom": [{"secretRef": {"name": "s3-credentials"}}],
        "celery_autoscaler": {"enabled": False},
    },
    _config(
        {
            "cloud_provider": "onprem",
            "default_region": "us-east-1",
            "ml_account_id": "unused",
            "docker_repo_prefix": "mirror.azurecr.io",
            "redis_host": "redis.internal",
        },
        {"cache_redis_onprem_url": "redis://redis.internal:6379/0", **_files("s3://my-bucket")},
    ),
)
BY_CLOUD: Final[dict[str, Any]] = {"aws": AWS, "azure": AZURE, "gcp": GCP, "onprem": ONPREM}
