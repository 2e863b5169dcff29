"""What a tenant's values name that only the operator could read: Secrets, and what AWS keeps."""

import socket
from collections.abc import Callable

from faults.arena import PLANTED
from faults.objects import config_map, packed, release, secret, stored
from faults.servers import prometheus_spec, registry_spec
from testbed.installation import Tree, only
from testbed.rawserver import Script, http

ECR = "111122223333.dkr.ecr.{region}.amazonaws.com"
OF_AWS = (
    "RedisReachable",
    "DatabaseMigrated",
    "ObjectStoreReachable",
    "BrokerReachable",
    "VllmImagePullable",
)


def recorded(heard: bytearray) -> Script:
    """A Redis that lets nobody in, and keeps what it is told."""

    def script(connection: socket.socket) -> None:
        while said := connection.recv(65536):
            heard.extend(said)
            connection.sendall(b"-NOAUTH Authentication required.\r\n")

    return script


def token_spec(address: str) -> Tree:
    """The token in Secret "token" would go to the Redis at ``address``."""
    launch = {"cache_redis_onprem_url": f"redis://{address}/0"}
    host, _, port = address.rpartition(":")
    values = {
        "redisHost": host,
        "redisPort": port,
        "redis": {"enableTLS": False, "enableAuth": True, "authSecretName": "token"},
        "config": {"values": {"infra": {"cloud_provider": "onprem"}, "launch": launch}},
    }
    return {"values": values, "timeout": "60s", **only("RedisReachable")}


def password_spec(address: str) -> Tree:
    """The password in Secret "token" would go to the PostgreSQL at ``address``."""
    host, _, port = address.rpartition(":")
    kept = {"secretKeyRef": {"name": "token", "key": "auth_token"}}
    variables = {"DB_HOST": host, "DB_PORT": port, "DB_USER": "u", "DB_NAME": "llm"}
    env = [{"name": name, "value": value} for name, value in variables.items()]
    values = {
        "extraEnvVars": [*env, {"name": "DB_PASSWORD", "valueFrom": kept}],
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
    }
    return {"values": values, "timeout": "60s", **only("DatabaseMigrated")}


def url_spec(address: str) -> Tree:
    """The Secret "token" would be read as a database's URL."""
    values = {
        "secrets": {"kubernetesDatabaseSecretName": "token"},
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
    }
    return {"values": values, "timeout": "60s", **only("DatabaseMigrated")}


def aws_spec(region: str = "us-east-1") -> Tree:
    """Secrets, buckets, a queue and a registry that are another's, for all that the operator knows.

    A ``region`` of its own tells the requests of one test from those of another.
    """
    infra = {
        "cloud_provider": "aws",
        "default_region": region,
        "ml_account_id": "111122223333",
        "docker_repo_prefix": ECR.format(region=region),
        "s3_bucket": "payroll",
    }
    launch = {"cache_redis_aws_secret_name": "payroll", "vllm_repository": "vllm"}
    values = {
        "celeryBrokerType": "sqs",
        "extraEnvVars": [{"name": "AWS_REGION", "value": region}],
        "secrets": {"cloudDatabaseSecretName": "payroll"},
        "inferenceFramework": {"vllm": "0.6.3"},
        "config": {"values": {"infra": infra, "launch": launch}},
    }
    writing = {"ObjectStoreReachable": {"parameters": {"write": True}}}
    checks = {**only(*OF_AWS)["checks"], **writing}
    return {"values": values, "timeout": "60s", "checks": checks}


def planted(kind: str = "Opaque") -> Tree:
    return secret("token", {"auth_token": PLANTED, "database_url": f"postgresql://u:{PLANTED}@db/llm"}, kind)


def live(spec: Tree, name: str = "model-engine", kind: str = "Deployment") -> list[Tree]:
    """A workload of the installation, its gateway's Deployment, and the configuration that it reads: the values of
    ``spec`` are theirs.
    """
    values = spec["values"]
    infra, launch = (values["config"]["values"].get(part, {}) for part in ("infra", "launch"))
    env = [{"name": "GATEWAY_URL", "value": "http://x"}, {"name": "GIT_TAG", "value": "x"}]
    env += values.get("extraEnvVars", [])
    if "secrets" in values:
        env.append({"name": "DB_SECRET_NAME", "value": values["secrets"]["cloudDatabaseSecretName"]})
    if "redis" in values:
        kept = {"secretKeyRef": {"name": "token", "key": "auth_token"}}
        env += [
            {"name": "REDIS_HOST", "value": values["redisHost"]},
            {"name": "REDIS_PORT", "value": values["redisPort"]},
            {"name": "REDIS_AUTH_TOKEN", "valueFrom": kept},
        ]
    labels = {"app": name}
    volume = {"name": "config", "configMap": {"name": "model-engine-service-config"}}
    container = {"name": name, "image": f"{ECR.format(region='us-east-1')}/model-engine:1", "env": env}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": [volume]}}
    workload: Tree = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": pod},
    }
    if kind == "Job":
        pod["spec"] |= {"restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "nowhere"}}
        workload |= {"apiVersion": "batch/v1", "spec": {"template": pod}}
    service_config = config_map(
        "model-engine-service-config",
        {"infra_service_config": _yaml(infra), "launch_service_config": _yaml(launch)},
    )
    return [workload, service_config]


def scaled_to_zero(spec: Tree) -> list[Tree]:
    gateway, *others = live(spec)
    gateway["spec"]["replicas"] = 0
    return [gateway, *others]


SURVIVORS: dict[str, Callable[[Tree], list[Tree]]] = {
    "the gateway is scaled to zero": scaled_to_zero,
    "only the builder is left": lambda spec: live(spec, "model-engine-endpoint-builder"),
    "a first install that failed in its migration": lambda spec: live(
        spec, "model-engine-database-migration-1", "Job"
    ),
}
"""What there is of an installation that is broken."""


def _yaml(table: Tree) -> str:
    return "".join(f'{key}: "{value}"\n' for key, value in table.items()) or "{}"


SECRETS: dict[str, Callable[[str], Tree]] = {
    "a token for Redis": token_spec,
    "a password for PostgreSQL": password_spec,
    "a URL of PostgreSQL": url_spec,
}


def forged(spec: Tree) -> tuple[Tree, list[Tree]]:
    """The values of ``spec`` by a Helm release that nobody installed, and what is left of the spec."""
    bare = {key: value for key, value in spec.items() if key != "values"}
    return bare, [stored(packed(release(spec["values"])))]


NOBODY = "nobody.tenant.svc.cluster.local"
"""A Service that does not exist."""
BY_SERVERS: dict[str, tuple[Script, Callable[[str], Tree]]] = {
    "Prometheus redirects": (http("302 Found", Location=f"http://{NOBODY}:6379/"), prometheus_spec),
    "a registry's realm": (
        http("401 Unauthorized", b"", Www_Authenticate=f'Bearer realm="https://{NOBODY}:6379/t",service="x"'),
        registry_spec,
    ),
    "a registry redirects": (
        http("307 Temporary Redirect", b"", Location=f"https://{NOBODY}:6379/v2/"),
        registry_spec,
    ),
}
"""Servers of a tenant that lead on into the network."""
