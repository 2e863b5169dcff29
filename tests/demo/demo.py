"""The main job on real components: sound and broken installations side by side, then a fault and its recovery.

Run by `make demo`; `make demo KEEP=1` leaves everything running until Ctrl-C.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from mehc_checks.installation.metricsapi import EXTERNAL_METRICS
from mehc_checks.modelengine.gpu import ACCELERATOR_LABEL
from testbed import istio, keda
from testbed.aggregation import register
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator
from testbed.endpoints import World
from testbed.helm import Helm, HelmInstallation
from testbed.httpserver import Reply, ScriptedServer
from testbed.installation import DATABASE_SECRET, Tree, overlaid
from testbed.istio_exporter import IstioExporter
from testbed.kwok import CONTAINER_ANNOTATION, STAGE_LABEL, Kwok
from testbed.modelengine import migrate
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import ImageStore, Registry
from testbed.sound import AWS

VLLM = "0.6.3"
MEHC = Path(sys.executable).with_name("mehc")
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    with ExitStack() as stack:
        demo = Demo(stack)
        demo.install()
        demo.look()
        demo.explain()
        demo.break_and_mend()
        demo.take_over()
        if keep:
            demo.stay()
    return 0


A10, GPU = "nvidia-ampere-a10", "nvidia.com/gpu"
GPU_NODE = "gpu-node-1"
TOLERATIONS = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
WORKLOADS = (
    *(f"deployment/model-engine{name}" for name in ("", "-cacher", "-endpoint-builder")),
    "statefulset/celery-autoscaler-sqs",
)
IMAGE_CACHE = "launch-image-cache-a10"


def hardware(gpu_type: str) -> Tree:
    """Values that ask for nodes with `gpu_type` to serve on, and for images kept on the nodes that there are."""
    tier = {"gpu_memory_le": 24, "nodes_per_worker": 1, "gpus": 1, "gpu_type": gpu_type}
    tier |= {"cpus": 10, "memory": "24Gi", "storage": "80Gi"}
    device = {"name": "a10", "nodeSelector": {ACCELERATOR_LABEL: A10}, "tolerations": TOLERATIONS}
    return {
        "nodeSelector": None,
        "balloons": [],
        "imageCache": {"devices": [device]},
        "recommendedHardware": {"byGpuMemoryGb": [tier], "byModelName": []},
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


class Demo:
    """The components, started side by side; stopped by the stack in reverse order."""

    def __init__(self, stack: ExitStack) -> None:
        clock = time.monotonic()
        self.ca = CertificateAuthority()
        start = stack.enter_context
        with ThreadPoolExecutor() as pool:
            control_plane = pool.submit(start, ControlPlane())
            exporter = start(IstioExporter({"launch-endpoint-id-1": 2.0}))
            prometheus = pool.submit(start, Prometheus([exporter.address]))
            postgres = pool.submit(start, Postgres(max_connections=400))
            redis = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            spare = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            aws = pool.submit(start, Aws(account=AWS["config"]["values"]["infra"]["ml_account_id"]))
            registry = pool.submit(start, Registry(storage=temporary_directory("registry")))
            self.control_plane = control_plane.result()
            self.postgres, self.redis, self.spare = postgres.result(), redis.result(), spare.result()
            self.registry, self.aws = registry.result(), aws.result()
            self.prometheus = prometheus.result()
        self.kwok = start(Kwok(self.control_plane))
        images = ImageStore(self.registry)
        for repository, tag in IMAGES.items():
            images.push_index(f"ml/{repository}", tag)
        self.postgres.create_role("modelengine", PASSWORD)
        for database, revision in (
            ("sound", "head"),
            ("stuck", "head"),
            ("behind", "62da4f8b3403"),
            ("empty", None),
        ):
            self.postgres.create_database(database, owner="modelengine")
            if revision:
                migrate(self.postgres, database, revision=revision)
        self.aws.client("sqs").create_queue(QueueName="model-engine-service-builder")
        self.aws.client("s3").create_bucket(Bucket=AWS["config"]["values"]["infra"]["s3_bucket"])
        self.environment = {"SSL_CERT_FILE": str(self.ca.ca_file), **self.aws.client_environment()}
        self.stack = stack
        self.set_up_cluster()
        say(
            "control plane, PostgreSQL, two Redis servers, Prometheus, a registry and AWS's APIs are up "
            f"({time.monotonic() - clock:.1f} s)"
        )

    def set_up_cluster(self) -> None:
        """One node with GPUs, and KEDA: its CRDs, its Deployments on a plain node, its metrics API."""
        self.kwok.add_node("node-1")
        self.control_plane.apply(cluster_objects())
        taint = {"key": GPU, "value": "present", "effect": "NoSchedule"}
        capacity = {"cpu": "48", "memory": "192Gi", "ephemeral-storage": "500Gi", GPU: "4"}
        self.kwok.add_node(
            GPU_NODE,
            labels={ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
            capacity=capacity,
            taints=[taint],
        )
        istio.install(self.control_plane)
        keda.install(self.control_plane)
        keda.deploy(self.control_plane)
        metrics = self.stack.enter_context(
            ScriptedServer(lambda _: Reply(200, b"{}"), certificate=self.ca.issue())
        )
        register(
            self.control_plane,
            EXTERNAL_METRICS,
            namespace=keda.NAMESPACE,
            service=keda.METRICS_SERVER,
            port=int(metrics.address.rpartition(":")[2]),
        )

    def install(self) -> None:
        """Install the operator by its chart, then one sound installation and broken ones."""
        clock = time.monotonic()
        self.operator = self.stack.enter_context(
            DeployedOperator(self.control_plane, {}, environment=self.environment)
        )
        say(
            f"Helm has installed the operator's chart; its pods' processes run ({time.monotonic() - clock:.1f} s)"
        )
        self.show("get", "deployments,pods,poddisruptionbudgets,roles", "-n", "mehc")
        self.show("get", "lease", "-n", "mehc")
        installations = self.installations()
        helm, clock = Helm(self.control_plane), time.monotonic()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: each.install(self.control_plane, helm, image_cache()), installations))
        for each in installations:
            self.control_plane.kubectl("rollout", "status", "-n", each.endpoints, f"daemonset/{IMAGE_CACHE}")
            for workload in WORKLOADS:
                self.control_plane.kubectl("rollout", "status", "-n", each.namespace, workload)
        say(f"Helm has installed model engine {len(installations)} times ({time.monotonic() - clock:.1f} s)")
        clock = time.monotonic()
        self.control_plane.apply([each.resource() for each in installations])
        self.wait_all(installations)
        say(f"{len(installations)} resources with an empty spec judged in {time.monotonic() - clock:.1f} s")

    def installations(self) -> list[HelmInstallation]:
        sound = self.values(self.redis)
        return [
            self.installation("acme-sound", "sound", sound),
            self.installation("acme-never-migrated", "empty", self.values(self.spare)),
            self.installation("acme-two-behind", "behind", self.values(self.spare)),
            self.installation("acme-wrong-password", "sound", self.values(self.spare, password="guess")),
            self.installation(
                "acme-tls-mismatch",
                "sound",
                overlaid(self.values(self.spare, scheme="redis"), {"redis": {"enableTLS": False}}),
            ),
            self.installation("acme-image-missing", "sound", self.values(self.spare, images="mirror")),
            self.installation(
                "acme-no-prometheus",
                "sound",
                overlaid(
                    self.values(self.spare),
                    {"config": {"values": {"infra": {"prometheus_server_address": ""}}}},
                ),
            ),
            self.installation(
                "acme-no-such-gpu",
                "sound",
                overlaid(self.values(self.spare), hardware("nvidia-hopper-h100")),
            ),
        ]

    def values(
        self, redis: Redis, *, password: str = PASSWORD, scheme: str = "rediss", images: str = "ml"
    ) -> Tree:
        url = redis.url(15, user="app", password=password).replace("rediss:", f"{scheme}:", 1)
        platform = f"{self.registry.address}/ml/model-engine"
        infra = {
            "docker_repo_prefix": f"{self.registry.address}/{images}",
            "docker_registry_type": "acr",  # the platform cannot list the tags of an unknown registry
            "prometheus_server_address": self.prometheus.url(),
        }
        return overlaid(
            AWS,
            {
                "image": {
                    f"{name}Repository": platform for name in ("gateway", "builder", "cacher", "forwarder")
                },
                "redis": {"enableTLS": True},
                "autoscaling": {"horizontal": {"enabled": False}},  # there is no metrics adapter here
                "inferenceFramework": {"vllm": VLLM},
                "config": {"values": {"infra": infra, "launch": {"cache_redis_aws_url": url}}},
            },
            hardware(A10),
        )

    def installation(self, namespace: str, database: str, values: Tree) -> HelmInstallation:
        return HelmInstallation(
            namespace=namespace,
            values=values,
            secrets={DATABASE_SECRET: {"database_url": self.postgres.url("modelengine", PASSWORD, database)}},
        )

    def look(self) -> None:
        """Show what users look at."""
        self.show("get", "mehc", "-A")
        self.show("get", "mehc", "-A", "-o", "wide")
        self.show("describe", "mehc", "-n", "acme-two-behind", "model-engine")

    def explain(self) -> None:
        """Three endpoints that people call INITIALIZING, for three reasons."""
        say("installing a ninth, with three endpoints that are stuck …")
        stuck = self.installation("acme-stuck", "stuck", self.values(self.spare))
        missing = f"{self.registry.address}/ml/vllm:0.9.9"
        stuck.install(
            self.control_plane,
            Helm(self.control_plane),
            image_cache(),
            endpoint("end-image", image=missing, stage="image-pull-backoff"),
            endpoint("end-gpu", nodeSelector={ACCELERATOR_LABEL: "nvidia-hopper-h100"}),
        )
        world = World(
            plane=self.control_plane,
            kwok=self.kwok,
            postgres=self.postgres,
            redis=self.spare,
            database="stuck",
            namespace=stuck.endpoints,
        )
        for name, state in (("end_image", "READY"), ("end_gpu", "READY"), ("end_queue", "UPDATE_PENDING")):
            world.record(state, endpoint_id=name, name=name.removeprefix("end_"))
        self.control_plane.apply([stuck.resource()])
        namespace = stuck.namespace
        self.control_plane.kubectl(
            "wait", "mehc/model-engine", "-n", namespace, "--for=jsonpath={.status.health}", "--timeout=60s"
        )
        for words in (("--grace-period", "1s"), ("--grace-period", "1s", "end_gpu")):
            print(f"\n$ mehc explain -n {namespace} {' '.join(words)}", flush=True)
            command = [
                MEHC,
                "explain",
                "--kubeconfig",
                str(self.control_plane.kubeconfig),
                "-n",
                namespace,
                *words,
            ]
            done = subprocess.run(
                command,
                env=os.environ | self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            print(done.stdout + done.stderr, flush=True)

    def break_and_mend(self) -> None:
        """Stop the sound installation's Redis, and start it again; take a GPU label away; upgrade by Helm."""
        self.control_plane.kubectl(
            "patch",
            "mehc/model-engine",
            "-n",
            "acme-sound",
            "--type=merge",
            "-p",
            '{"spec": {"interval": "10s", "timeout": "5s"}}',
        )
        self.control_plane.kubectl(
            "wait", "mehc/model-engine", "-n", "acme-sound", "--for=jsonpath={.status.observedGeneration}=2"
        )
        self.wait_for("acme-sound", "Ready")
        say("from here on the sound installation is probed every 10 s")
        say("stopping the sound installation's Redis …")
        self.redis.stop()
        took = timed(lambda: self.wait_for("acme-sound", "Ready=false"))
        say(f"condition Ready is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        say("starting it again …")
        self.redis.start()
        took = timed(lambda: self.wait_for("acme-sound", "Ready"))
        say(f"condition Ready is True after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        self.show("get", "events", "-n", "acme-sound")

        say("taking the GPU node's label away …")
        self.control_plane.kubectl("label", "node", GPU_NODE, f"{ACCELERATOR_LABEL}-")
        took = timed(lambda: self.wait_for("acme-sound", "Ready=false"))
        say(f"nodes are watched: condition Ready is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound", "-o", "wide")
        self.control_plane.kubectl("label", "node", GPU_NODE, f"{ACCELERATOR_LABEL}={A10}")
        took = timed(lambda: self.wait_for("acme-sound", "Ready"))
        say(f"the label is back: condition Ready is True after {took:.1f} s")

        say("upgrading the sound installation with a pool size, as the values reference shows it …")
        pool = {"config": {"values": {"infra": {"db_engine_pool_size": 10}}}}
        upgraded = overlaid(self.values(self.redis), pool)
        clock = time.monotonic()
        Helm(self.control_plane).upgrade(
            "model-engine", "acme-sound", self.helm_values("acme-sound", upgraded)
        )
        say(f"helm upgrade took {time.monotonic() - clock:.1f} s")
        took = timed(lambda: self.wait_for("acme-sound", "ConfigValid=false"))
        say(f"releases are watched: condition ConfigValid is False {took:.1f} s after it")
        self.show("get", "mehc", "-n", "acme-sound", "-o", "wide")

    def take_over(self) -> None:
        """Kill the replica that leads; what breaks meanwhile is found by the other one."""
        leader = self.operator.leader()
        say(f"killing {leader.pod}, which leads, and stopping the Redis that all the others use …")
        leader.kill()
        self.spare.stop()
        took = timed(lambda: self.wait_for("acme-no-such-gpu", "RedisReachable=false"))
        say(f"{self.operator.leader().pod} has taken over and found it after {took:.1f} s")
        self.show("get", "lease", "-n", "mehc")

    @staticmethod
    def helm_values(namespace: str, values: Tree) -> Tree:
        return HelmInstallation(namespace=namespace, values=values).helm_values()

    def stay(self) -> None:
        say("everything stays up until Ctrl-C; in another terminal:")
        print(f"    export KUBECONFIG={self.control_plane.kubeconfig}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})

    def wait_all(self, installations: list[HelmInstallation]) -> None:
        for installation in installations:
            self.control_plane.kubectl(
                "wait", "mehc/model-engine", "-n", installation.namespace,
                "--for=jsonpath={.status.health}", "--timeout=60s",
            )  # fmt: skip

    def wait_for(self, namespace: str, condition: str) -> None:
        self.control_plane.kubectl(
            "wait", "mehc/model-engine", "-n", namespace, f"--for=condition={condition}", "--timeout=50s"
        )

    def show(self, *words: str) -> None:
        print(f"\n$ kubectl {' '.join(words)}", flush=True)
        print(self.control_plane.kubectl(*words), flush=True)


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` took."""
    clock = time.monotonic()
    action()
    return time.monotonic() - clock


if __name__ == "__main__":
    sys.exit(main())
