"""The installations of the demo: a healthy one, and others that differ from it by one fault each."""

import json
from dataclasses import dataclass, replace

from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from testbed import istio, keda
from testbed.aws import Aws
from testbed.azure import AzureCloud, BusQueue, Principal
from testbed.controlplane import ControlPlane
from testbed.google import Account, GoogleCloud
from testbed.helm import HelmInstallation
from testbed.installation import DATABASE_SECRET, Tree, overlaid
from testbed.kwok import CONTAINER_ANNOTATION, STAGE_LABEL, Kwok
from testbed.modelengine import migrate
from testbed.postgres import Postgres
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import ImageStore, Registry
from testbed.sound import AWS, AZURE, GCP, ONPREM

REGISTRY = AWS["config"]["values"]["infra"]["docker_repo_prefix"]
"""The registry's name in the values, at which a proxy leads to the one of the demo."""
MIRROR = ONPREM["config"]["values"]["infra"]["docker_repo_prefix"]
"""The registry of the installation on premises; the proxy leads to the same one."""
ARTIFACTS = GCP["config"]["values"]["infra"]["docker_repo_prefix"]
"""The repository of the installation on Google Cloud: host, project and name."""
REGISTRIES = (REGISTRY, MIRROR, ARTIFACTS.partition("/")[0])
"""Names that the proxy leads to the one registry."""
AZURE_REDIS, AZURE_REDIS_PORT = "my-cache.redis.cache.windows.net", 6380
AZURE_STORE, GOOGLE_STORE = "myaccount.blob.core.windows.net", "storage.googleapis.com"
GOOGLE_SECRETS = "secretmanager.googleapis.com"
GOOGLE_METADATA = "metadata.google.internal"
AZURE_BUS, AMQPS = "my-bus.servicebus.windows.net", 5671
CLOUD_NAMES = (AZURE_REDIS, AZURE_BUS)
"""What the installation on Azure depends on, beside the server of ``testbed.azure``."""
PULL_SECRET = "egp-ecr-regcred"
FORWARDERS_PORT = 6379
"""Of Redis on premises: forwarders know no other."""
VLLM = "0.6.3"
BATCH = "0.17.1-batch"
IMAGES = {
    "vllm": VLLM,
    "text-generation-inference": "latest",
    "lightllm": "latest",
    "tensorrt-llm": "latest",
    "llm-engine/batch-infer-vllm": BATCH,
    "launch/inference": "latest",
    "launch/inference/pytorch": "latest",
    "launch/inference/tf": "latest",
    "launch-docker-build-cache": "latest",
    "model-engine": AWS["tag"],
}
PASSWORD = "correct-horse-battery-staple"
ACL = {
    # KEDA reads the demand lists without credentials; everything else needs the password.
    "default": "on nopass ~launch-endpoint-autoscaling:* resetchannels -@all +@connection +select +llen +eval",
    "app": f"on >{PASSWORD} ~* &* +@all",
}


A10, GPU = "nvidia-ampere-a10", "nvidia.com/gpu"
GPU_NODE = "gpu-node-1"
TOLERATIONS = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
IMAGE_CACHE = "launch-image-cache-a10"


def hardware(gpu_type: str) -> Tree:
    """Values that ask for nodes with `gpu_type` to serve on, and for images kept on the nodes that there are."""
    tier = {"gpu_memory_le": 24, "nodes_per_worker": 1, "gpus": 1, "gpu_type": gpu_type}
    tier |= {"cpus": 10, "memory": "24Gi", "storage": "80Gi"}
    model = {"name": "mistral-7b", **{key: value for key, value in tier.items() if key != "gpu_memory_le"}}
    device = {"name": "a10", "nodeSelector": {ACCELERATOR_LABEL: A10}, "tolerations": TOLERATIONS}
    return {
        "nodeSelector": None,
        "balloons": [],
        "imageCache": {"devices": [device]},
        "recommendedHardware": {"byGpuMemoryGb": [tier], "byModelName": [model]},
    }


def image_cache() -> Tree:
    """The DaemonSet that model engine's cacher makes for the device of `hardware`."""
    labels = {"app": IMAGE_CACHE}
    pod = {
        "nodeSelector": {ACCELERATOR_LABEL: A10},
        "tolerations": TOLERATIONS,
        "containers": [{"name": "main", "image": "vllm"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": IMAGE_CACHE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def workloads(installation: HelmInstallation) -> list[str]:
    """The control plane of an installation, as kubectl names it."""
    deployments = [f"deployment/model-engine{name}" for name in ("", "-cacher", "-endpoint-builder")]
    values = installation.values
    autoscaler = f"statefulset/celery-autoscaler-{values['celeryBrokerType']}"
    return [*deployments, *([autoscaler] if values["celery_autoscaler"]["enabled"] else [])]


def cluster_objects() -> list[Tree]:
    """What model engine's chart makes once in a cluster."""
    classes = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": f"model-engine-{name}-priority"},
            "value": value,
        }
        for name, value in (("low", 0), ("default", 1), ("high", 100000))
    ]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "model-engine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    }
    return [*classes, binding]


def set_up_cluster(control_plane: ControlPlane, kwok: Kwok) -> None:
    """One plain node and one with GPUs, Istio's CRDs, KEDA's CRDs and Deployments."""
    kwok.add_node("node-1")
    control_plane.apply(cluster_objects())
    kwok.add_node(
        GPU_NODE,
        labels={ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
        capacity={"cpu": "48", "memory": "192Gi", "ephemeral-storage": "500Gi", GPU: "4"},
        taints=[{"key": GPU, "value": "present", "effect": "NoSchedule"}],
    )
    istio.install(control_plane)
    keda.install(control_plane)
    keda.deploy(control_plane)


def fill_azure(cloud: AzureCloud) -> Principal:
    """The platform's identity, which the operator has too, and what it may do: a queue, a container, a registry."""
    platform = cloud.identity()
    for host in (AZURE_BUS, AZURE_STORE, MIRROR):
        cloud.grant(platform, host)
    cloud.state.queues[AZURE_BUS, "model-engine-service-builder"] = BusQueue()
    cloud.state.containers[AZURE_STORE, AZURE["azure"]["abs_container_name"]] = {}
    return platform


def fill_google(cloud: GoogleCloud, postgres: Postgres) -> Account:
    """The operator's account, which the metadata server has, and what it may read: a bucket, the database's secret."""
    place = {"clusterHost": postgres.host, "clusterHostRo": postgres.host, "port": postgres.port}
    database = {"username": "modelengine", "password": PASSWORD, **place, "dbname": "google"}
    account = cloud.account("mehc")
    project = GCP["gcp"]["project_id"]
    cloud.grant(account, project)
    cloud.keep(project, "llm-db", json.dumps(database))
    bucket = GCP["config"]["values"]["infra"]["s3_bucket"]
    cloud.grant(account, bucket)
    cloud.state.buckets[bucket] = {}
    cloud.state.on_node = account.email
    return account


def of_azure(platform: Principal) -> list[Tree]:
    """What the chart, and a careful user, put into the endpoint namespace on Azure."""
    authentication = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "azure-workload-identity"},
        "spec": {"podIdentity": {"provider": "azure-workload", "identityId": platform.client}},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": PULL_SECRET}}
    return [authentication, secret]


def endpoint(name: str, *, image: str = "", stage: str = "", **pod: object) -> Tree:
    """An endpoint's Deployment, as the builder makes it; ``stage`` is what happens to its pods."""
    id_ = name.replace("-", "_")
    labels = {"app": f"launch-endpoint-id-{name}", "endpoint_id": id_, "endpoint_name": name}
    containers = [
        {"name": "http-forwarder", "image": "forwarder:1"},
        {"name": "main", "image": image or "vllm:1"},
    ]
    template = {
        "metadata": {
            "labels": {**labels, **({STAGE_LABEL: stage} if stage else {})},
            "annotations": {CONTAINER_ANNOTATION: "main"},
        },
        "spec": {"containers": containers, **pod},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"launch-endpoint-id-{name}", "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": labels["app"]}},
            "template": template,
        },
    }


@dataclass(frozen=True, kw_only=True)
class Servers:
    """What the installations depend on. ``shared`` is the Redis of all of them but the healthy ones."""

    postgres: Postgres
    redis: Redis
    shared: Redis
    plain: Redis
    aws: Aws
    registry: Registry
    prometheus: Prometheus
    azure: Principal | None = None
    """The platform's identity on Azure."""

    def fill(self) -> None:
        """Images, databases at different revisions, a queue and a bucket."""
        images = ImageStore(self.registry)
        for repository, tag in IMAGES.items():
            images.push_index(repository, tag)
            images.push_index(f"{ARTIFACTS.partition('/')[2]}/{repository}", tag)
        self.postgres.create_role("modelengine", PASSWORD)
        revisions = {
            "sound": "head",
            "premises": "head",
            "azure": "head",
            "google": "head",
            "stuck": "head",
            "behind": "62da4f8b3403",
            "empty": None,
        }
        for database, revision in revisions.items():
            self.postgres.create_database(database, owner="modelengine")
            if revision:
                migrate(self.postgres, database, revision=revision)
        self.aws.client("sqs").create_queue(QueueName="model-engine-service-builder")
        self.aws.client("s3").create_bucket(Bucket=AWS["config"]["values"]["infra"]["s3_bucket"])

    def values(
        self,
        redis: Redis | None = None,
        *,
        password: str = PASSWORD,
        scheme: str = "rediss",
        registry: str = REGISTRY,
    ) -> Tree:
        """The values of a healthy installation that uses ``redis`` (default: the shared one)."""
        url = (
            (redis or self.shared).url(15, user="app", password=password).replace("rediss:", f"{scheme}:", 1)
        )
        return overlaid(
            AWS,
            self._common(registry, platform=REGISTRY),
            {
                "redis": {"enableTLS": True},
                "config": {"values": {"launch": {"cache_redis_aws_url": url}}},
            },
        )

    def _common(self, registry: str, *, platform: str | None = None) -> Tree:
        """The values of a healthy installation on any cloud; ``platform`` is the registry of model engine's images."""
        repository = f"{platform or registry}/model-engine"
        infra = {"docker_repo_prefix": registry, "prometheus_server_address": self.prometheus.url()}
        return {
            "image": {
                f"{name}Repository": repository for name in ("gateway", "builder", "cacher", "forwarder")
            },
            "autoscaling": {"horizontal": {"enabled": False}},  # there is no metrics adapter here
            "inferenceFramework": {"vllm": VLLM},
            "config": {"values": {"infra": infra}},
            **hardware(A10),
        }

    def on_premises(self) -> HelmInstallation:
        """A healthy installation on premises: Redis is its broker, and its object store speaks S3."""
        own = self.plain
        values = overlaid(
            ONPREM,
            self._common(MIRROR),
            {
                "redisHost": own.host,
                "redisPort": own.port,
                "s3EndpointUrl": self.aws.url,
                "config": {
                    "values": {
                        "infra": {"redis_host": own.host},
                        "launch": {"cache_redis_onprem_url": own.url(0)},
                    }
                },
            },
        )
        made = self.installation("acme-on-premises", "premises", values)
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
        return replace(made, secrets={**made.secrets, "s3-credentials": keys})

    def on_azure(self) -> HelmInstallation:
        """A healthy installation on Azure, which the operator looks at with the platform's identity."""
        known = {"client_id": self.azure.client, "object_id": self.azure.object} if self.azure else {}
        values = overlaid(AZURE, self._common(MIRROR), {"azure": known})
        made = self.installation("acme-azure", "azure", values)
        return replace(made, secrets={**made.secrets, PULL_SECRET: {"unused": "here"}})

    def on_google(self) -> HelmInstallation:
        """A healthy installation on Google Cloud, which the operator looks at with an account of its own."""
        own = self.plain
        redis = {
            "config": {
                "values": {"infra": {"redis_host": own.host}, "launch": {"cache_redis_gcp_url": own.url(15)}}
            }
        }
        project = {"name": "DB_SECRET_GCP_PROJECT_ID", "value": GCP["gcp"]["project_id"]}
        secret = {
            "secrets": {"kubernetesDatabaseSecretName": None, "cloudDatabaseSecretName": "llm-db"},
            "extraEnvVars": [project],
        }
        values = overlaid(GCP, self._common(ARTIFACTS), redis, secret)
        return self.installation("acme-google", "google", values)

    def clouds(self) -> list[tuple[str, HelmInstallation]]:
        """Those whose dependencies have names that only a resolver of the demo's own knows."""
        return [
            ("nothing: it is healthy, on Azure", self.on_azure()),
            ("nothing: it is healthy, on Google Cloud", self.on_google()),
        ]

    def installation(self, namespace: str, database: str, values: Tree) -> HelmInstallation:
        url = self.postgres.url("modelengine", PASSWORD, database)
        return HelmInstallation(
            namespace=namespace, values=values, secrets={DATABASE_SECRET: {"database_url": url}}
        )

    def faults(self) -> list[tuple[str, HelmInstallation]]:
        """What is wrong with each installation, and the installation; the healthy one comes first."""
        sound = self.values()
        no_tls = {"redis": {"enableTLS": False}}
        no_prometheus = {"config": {"values": {"infra": {"prometheus_server_address": ""}}}}
        made = self.installation
        return [
            ("nothing: it is healthy, on AWS", made("acme-sound", "sound", self.values(self.redis))),
            ("nothing: it is healthy, on premises", self.on_premises()),
            ("the database was never migrated", made("acme-never-migrated", "empty", sound)),
            ("the database is two migrations behind", made("acme-two-behind", "behind", sound)),
            (
                "the Redis password is wrong",
                made("acme-wrong-password", "sound", self.values(password="guess")),
            ),
            (
                "Redis requires TLS, and the values do not use it",
                made("acme-tls-mismatch", "sound", overlaid(self.values(scheme="redis"), no_tls)),
            ),
            (
                "the registry lacks the vLLM image",
                made("acme-image-missing", "sound", self.values(registry=f"{REGISTRY}/mirror")),
            ),
            (
                "the address of Prometheus is an empty string",
                made("acme-no-prometheus", "sound", overlaid(sound, no_prometheus)),
            ),
            (
                "the hardware table names a GPU that no node has",
                made("acme-no-such-gpu", "sound", overlaid(sound, hardware("nvidia-hopper-h100"))),
            ),
        ]
