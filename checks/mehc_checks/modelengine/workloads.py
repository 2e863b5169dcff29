"""The control plane's Deployments: how to know them, and the values that their pods' environment shows.

Source: ``_helpers.tpl`` and the Deployments of the chart.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mehc_checks.modelengine.names import CHART

PRODUCT: Final = "product=model-engine"
"""Selects the chart's own objects."""
CACHER, BUILDER = "-cacher", "-endpoint-builder"
AUTOSCALER: Final = "celery-autoscaler-"
_AZURE: Final = {
    "AZURE_IDENTITY_NAME": "identity_name",
    "AZURE_CLIENT_ID": "client_id",
    "AZURE_OBJECT_ID": "object_id",
    "KEYVAULT_NAME": "keyvault_name",
    "ABS_ACCOUNT_NAME": "abs_account_name",
    "ABS_CONTAINER_NAME": "abs_container_name",
    "SERVICEBUS_NAMESPACE": "servicebus_namespace",
}
_PLAIN: Final = {
    "SERVICE_IDENTIFIER": ("serviceIdentifier",),
    "SERVICE_BUILDER_QUEUE": ("serviceBuilderQueue",),
    "DB_SECRET_NAME": ("secrets", "cloudDatabaseSecretName"),
    "REDIS_HOST": ("redisHost",),
    "REDIS_PORT": ("redisPort",),
    "CELERY_BROKER_URL": ("celeryBrokerUrl",),
    "CELERY_RESULT_BACKEND": ("celeryResultBackend",),
    "S3_ENDPOINT_URL": ("s3EndpointUrl",),
    "AWS_PROFILE": ("aws", "profileName"),
    "S3_WRITE_AWS_PROFILE": ("aws", "s3WriteProfileName"),
    "GCP_PROJECT_ID": ("gcp", "project_id"),
    "REDIS_AUTH_TOKEN": ("redis", "auth"),
    **{name: ("azure", key) for name, key in _AZURE.items()},
}
"""Environment variables that show a value as it is, and where it is among the values."""
_FROM_SECRETS: Final = {
    "ML_INFRA_DATABASE_URL": (("secrets", "kubernetesDatabaseSecretName"), None),
    "REDIS_AUTH_TOKEN": (("redis", "authSecretName"), ("redis", "authSecretKey")),
}
"""Those read from a Secret: where its name, and its key, are among the values."""
SHOWN_WHOLE: Final = frozenset(
    {path[0] for path in _PLAIN.values()} - {"aws", "redis"} | {"secrets", "extraEnvVars"}
)
"""Top-level keys of which the environment shows all that processes read."""
_OF_THE_CHART: Final = frozenset(
    {
        *(
            "AWS_CONFIG_FILE",
            "CELERY_ELASTICACHE_ENABLED",
            "CIRCLECI",
            "DB_SECRET_AWS_PROFILE",
            "DD_AGENT_HOST",
            "DD_ENV",
        ),
        *(
            "DD_REMOTE_CONFIGURATION_ENABLED",
            "DD_SERVICE",
            "DD_TRACE_ENABLED",
            "DD_VERSION",
            "DEPLOY_SERVICE_CONFIG_PATH",
        ),
        *(
            "ECR_READ_AWS_PROFILE",
            "GATEWAY_URL",
            "GIT_TAG",
            "LAUNCH_SERVICE_TEMPLATE_FOLDER",
            "MODEL_CACHE_ENABLED",
        ),
        *("MODEL_CACHE_LOCK_STALE_SECONDS", "MODEL_CACHE_MOUNT_PATH", "ML_INFRA_SERVICES_CONFIG_PATH"),
        *("PUBSUB_SUBSCRIPTION_PREFIX", "PUBSUB_TOPIC_PREFIX", "REDIS_ENABLE_TLS", *_PLAIN, *_FROM_SECRETS),
    }
)
"""What the chart sets itself; the rest is ``extraEnvVars``."""


def fullnames(deployments: Iterable[Mapping[str, Any]]) -> list[str]:
    """The fullnames of the installations among ``deployments``: gateways that have a cacher and a builder beside.

    Where there is none, those of which a part is there, with the chart's label: not all of it is applied yet.
    """
    by_name = {item["metadata"]["name"]: item for item in deployments}
    whole = {name for name in by_name if {name + CACHER, name + BUILDER} <= by_name.keys()}
    if whole:
        return sorted(whole)
    own = [name for name, item in by_name.items() if is_labelled(item)]
    parts = {name.removesuffix(part) for part in (CACHER, BUILDER) for name in own if name.endswith(part)}
    return sorted(parts | {CHART} & {*own})


def is_labelled(item: Mapping[str, Any]) -> bool:
    """Whether an object has the label that the chart gives to its own."""
    key, _, value = PRODUCT.partition("=")
    return (item["metadata"].get("labels") or {}).get(key) == value


def environment_values(gateway: Mapping[str, Any]) -> dict[str, Any]:
    """The values, in the chart's shape, that the environment of the gateway's Deployment shows."""
    shown: dict[str, Any] = {}
    extra = []
    for item in container(gateway).get("env") or ():
        name, value = item.get("name"), item.get("value")
        reference = (item.get("valueFrom") or {}).get("secretKeyRef")
        if reference and name in _FROM_SECRETS:
            for path, part in zip(
                _FROM_SECRETS[name], (reference.get("name"), reference.get("key")), strict=True
            ):
                if path and part:
                    _put(shown, path, part)
        elif value and name in _PLAIN:
            _put(shown, _PLAIN[name], value)
        elif name not in _OF_THE_CHART or (name in _FROM_SECRETS and name not in _PLAIN):
            extra.append(dict(item))
    if extra:
        shown["extraEnvVars"] = extra
    return shown


def environment_objects(container: Mapping[str, Any]) -> list[tuple[str, str, frozenset[str]]]:
    """What a container reads into its environment when it starts: kind, name, and which keys.

    No keys are named where all are read. The kind is "Secret" or "ConfigMap".
    """
    keys: dict[tuple[str, str], set[str] | None] = {}
    for item in container.get("env") or ():
        for source, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            reference = (item.get("valueFrom") or {}).get(source)
            if reference and reference.get("name"):
                named = keys.setdefault((kind, reference["name"]), set())
                if named is not None:
                    named.add(str(reference.get("key", "")))
    for item in container.get("envFrom") or ():
        for source, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if name := (item.get(source) or {}).get("name"):
                keys[kind, name] = None
    return [(kind, name, frozenset(named or ())) for (kind, name), named in keys.items()]


def container(deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    """The process itself: its container has the Deployment's name; sidecars may have been injected beside it."""
    containers = deployment["spec"]["template"]["spec"].get("containers") or [{}]
    named = [item for item in containers if item.get("name") == deployment["metadata"]["name"]]
    container: Mapping[str, Any] = (named or containers)[0]
    return container


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = value
