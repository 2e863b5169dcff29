"""The values that the chart and the platform read, and the chart's own defaults.

Sources: ``values.yaml``, ``values_sample.yaml`` and the templates of the model engine chart; the dataclasses of
``core/config.py`` and ``common/config.py`` of model engine.
"""

from collections.abc import Mapping
from typing import Any, Final

CHART_DEFAULTS: Final[Mapping[str, Any]] = {
    "dd_trace_enabled": True,
    "celery_enable_sha256": None,
    "debug_mode": None,
    "celery_broker_type_redis": None,
    "datadog": {"env": ""},
    "spellbook": {"enabled": False},
    "redis": {
        "auth": None,
        "authSecretName": "",
        "authSecretKey": "",
        "enableTLS": False,
        "enableAuth": False,
        "kedaSecretName": "",
        "unsafeSsl": False,
    },
    "db": {"runDbInitScript": False, "runDbMigrationScript": True},
    "balloonConfig": {"reserveHighPriority": True},
    "balloonNodeSelector": {"node-lifecycle": "normal"},
    "nodeSelector": {"node-lifecycle": "normal"},
    "keda": {"cooldownPeriod": 300},
    "inferenceFramework": {
        "vllm": "latest",
        "deepspeed": "latest",
        "text_generation_inference": "latest",
        "lightllm": "latest",
        "tensorrt_llm": "latest",
        "vllm_batch": "0.17.1-batch",
        "vllm_batch_v2": "0.17.1-batch",
    },
    "extraEnvVars": [],
    "extraVolumes": [],
    "extraVolumeMounts": [],
    "extraPodEnvFrom": [],
    "modelCache": {
        "enabled": False,
        "storage": "100Gi",
        "storageClassName": None,
        "accessMode": "ReadWriteMany",
        "mountPath": "/mnt/model-cache",
        "lockStaleSeconds": 600,
    },
    "automountServiceAccountToken": True,
    "gpuTolerations": [],
    "gcp": {
        "project_id": "",
        "pubsub_topic_prefix": "launch-endpoint-id-",
        "pubsub_subscription_prefix": "launch-endpoint-id-",
    },
    "utilityImages": {
        "busybox": {"repository": "busybox", "tag": "latest"},
        "curl": {"repository": "curlimages/curl", "tag": "latest"},
        "ubuntu": {"repository": "ubuntu", "tag": "latest"},
    },
}
"""``values.yaml`` of the chart, version 0.2.7: what an install has where nobody says otherwise."""

INFRA_FIELDS: Final = frozenset(
    {
        *(
            "celery_broker_type_redis",
            "celery_enable_sha256",
            "cloud_provider",
            "db_engine_disconnect_strategy",
        ),
        *(
            "db_engine_echo",
            "db_engine_echo_pool",
            "db_engine_max_overflow",
            "db_engine_pool_size",
            "debug_mode",
        ),
        *("default_region", "dns_host_domain", "docker_registry_type", "docker_repo_prefix", "env"),
        *("firehose_role_arn", "firehose_stream_name", "gcp_project_id", "identity_service_url"),
        *("k8s_cluster_name", "ml_account_id", "profile_ml_inference_worker", "profile_ml_worker"),
        *("prometheus_server_address", "redis_aws_secret_name", "redis_host", "s3_bucket"),
    }
)
LAUNCH_FIELDS: Final = frozenset(
    {
        *("batch_inference_vllm_repository", "billing_queue_arn", "cache_redis_aws_secret_name"),
        *("cache_redis_aws_url", "cache_redis_azure_host", "cache_redis_gcp_url", "cache_redis_onprem_url"),
        *("cloud_file_llm_fine_tune_repository", "dd_trace_enabled", "docker_image_layer_cache_repository"),
        *("endpoint_namespace", "gateway_namespace", "hf_user_fine_tuned_weights_prefix", "istio_enabled"),
        *(
            "lightllm_repository",
            "model_primitive_host",
            "sensitive_log_mode",
            "sglang_repository",
            "sqs_profile",
        ),
        *("sqs_queue_policy_template", "sqs_queue_tag_template", "tensorrt_llm_repository", "tgi_repository"),
        *("user_inference_base_repository", "user_inference_pytorch_repository"),
        *("user_inference_tensorflow_repository", "vllm_repository"),
    }
)
