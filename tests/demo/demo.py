"""Watch mehc work on real components: it finds what is wrong with ten installations, a fault, its fix, a failover.

Run it by `make demo`, or by `python tests/demo/demo.py` after `make setup`. `make demo KEEP=1` leaves everything
running until Ctrl-C, for kubectl and mehc in another terminal.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # run as a file: `testbed` and `demo` are packages of the folder above
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from demo.stage import (
    A10,
    ACL,
    AMQPS,
    AZURE_BUS,
    AZURE_REDIS,
    AZURE_REDIS_PORT,
    AZURE_STORE,
    CLOUD_NAMES,
    FORWARDERS_PORT,
    GOOGLE_METADATA,
    GOOGLE_SECRETS,
    GOOGLE_STORE,
    GPU_NODE,
    IMAGE_CACHE,
    MIRROR,
    REGISTRIES,
    REGISTRY,
    Servers,
    endpoint,
    fill_azure,
    fill_google,
    image_cache,
    of_azure,
    set_up_cluster,
    workloads,
)
from mehc_checks.installation.metricsapi import EXTERNAL_METRICS
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from testbed import keda
from testbed.aggregation import register
from testbed.aws import Aws
from testbed.azure import LOGIN, AzureCloud
from testbed.controlplane import ControlPlane
from testbed.deployedoperator import DeployedOperator, can_have_hosts
from testbed.endpoints import World
from testbed.google import GoogleCloud
from testbed.helm import Helm, HelmInstallation
from testbed.httpserver import Proxy, Reply, ScriptedServer
from testbed.installation import Tree, overlaid
from testbed.istio_exporter import IstioExporter
from testbed.kwok import Kwok
from testbed.pki import LOCAL_NAMES, CertificateAuthority
from testbed.ports import free_host
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import Registry
from testbed.sound import AWS

MEHC = Path(sys.executable).with_name("mehc")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    clock = time.monotonic()
    with ExitStack() as stack:
        demo = Demo(stack)
        demo.install()
        demo.look()
        demo.explain()
        demo.break_and_fix()
        demo.upgrade()
        demo.fail_over()
        demo.restore()
        title(f"Done in {time.monotonic() - clock:.0f} s")
        if keep:
            say(f"the status page: {demo.operator.leader().page}")
            stay(demo.control_plane, demo.environment, "mehc check -n acme-two-behind")
        else:
            say("to look around yourself: make demo KEEP=1")
    return 0


class Demo:
    """The components, started in parallel and stopped by the stack in reverse order, and the steps of the demo."""

    def __init__(self, stack: ExitStack) -> None:
        title("Start the components")
        clock = time.monotonic()
        self.ca = CertificateAuthority()
        start = stack.enter_context
        with ThreadPoolExecutor() as pool:
            control_plane = pool.submit(start, ControlPlane())
            exporter = start(IstioExporter({"launch-endpoint-id-1": 2.0}))
            prometheus = pool.submit(start, Prometheus([exporter.address]))
            postgres = pool.submit(start, Postgres(max_connections=400))
            redis = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            shared = pool.submit(start, Redis(tls=True, ca=self.ca, users=ACL))
            plain = pool.submit(start, Redis(address=(free_host(FORWARDERS_PORT), FORWARDERS_PORT)))
            aws = pool.submit(start, Aws(account=AWS["config"]["values"]["infra"]["ml_account_id"]))
            images = temporary_directory("registry")
            registry = pool.submit(start, Registry(storage=images))
            ecr = pool.submit(
                start,
                Registry(storage=images, certificate=self.ca.issue(names=(*LOCAL_NAMES, *REGISTRIES))),
            )
            self.control_plane = control_plane.result()
            self.servers = Servers(
                postgres=postgres.result(),
                redis=redis.result(),
                shared=shared.result(),
                plain=plain.result(),
                aws=aws.result(),
                registry=registry.result(),
                prometheus=prometheus.result(),
            )
        self.kwok = start(Kwok(self.control_plane))
        self.azure = start(AzureCloud(self.ca, place=(free_host(443), 443) if can_have_hosts() else None))
        self.platform = fill_azure(self.azure)
        self.google = start(GoogleCloud(self.ca, host=free_host(443) if can_have_hosts() else ""))
        fill_google(self.google, self.servers.postgres)
        self.servers = replace(self.servers, azure=self.platform)
        routes = {f"{name}:443": ecr.result().address for name in REGISTRIES}
        of_azure = {f"{name}:443": self.azure.server.address for name in (LOGIN, AZURE_BUS, AZURE_STORE)}
        of_google = {f"{name}:443": self.google.server.address for name in (GOOGLE_STORE, GOOGLE_SECRETS)}
        proxy = start(Proxy({**routes, **of_azure, **of_google}))
        self.environment = {
            "SSL_CERT_FILE": str(self.ca.ca_file),
            "HTTPS_PROXY": proxy.url,
            "NO_PROXY": "127.0.0.1,localhost",
            **self.servers.aws.client_environment(),
            **self.platform.environment(temporary_directory("azure")),
        }
        self.stack = stack
        self.servers.fill()
        set_up_cluster(self.control_plane, self.kwok)
        metrics = start(ScriptedServer(lambda _: Reply(200, b"{}"), certificate=self.ca.issue()))
        register(
            self.control_plane,
            EXTERNAL_METRICS,
            namespace=keda.NAMESPACE,
            service=keda.METRICS_SERVER,
            port=int(metrics.address.rpartition(":")[2]),
        )
        say(
            "a Kubernetes control plane, PostgreSQL, 2 Redis servers, Prometheus, a container registry and the APIs of "
            f"AWS are running ({time.monotonic() - clock:.1f} s)"
        )

    def install(self) -> None:
        """The operator by its chart, then the installations, and a resource for each."""
        title("Install the operator")
        clock = time.monotonic()
        self.operator = self.stack.enter_context(
            DeployedOperator(
                self.control_plane,
                {"statusPage": {"enabled": True}},
                environment=self.environment,
                hosts=self._start_clouds(),
            )
        )
        say(f"the operator is installed by its Helm chart: 2 replicas ({time.monotonic() - clock:.1f} s)")
        self.show("get", "deployments,pods,poddisruptionbudgets,roles", "-n", "mehc")
        self.show("get", "lease", "-n", "mehc")

        faults = self.servers.faults() + (self.servers.clouds() if can_have_hosts() else [])
        broken = sum(not fault.startswith("nothing") for fault, _ in faults)
        title(f"Install model engine {len(faults)} times, {broken} times with one fault each")
        for fault, each in faults:
            print(f"    {each.namespace:<21} {fault}", flush=True)
        installations = [each for _, each in faults]
        helm, clock = Helm(self.control_plane), time.monotonic()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: self._install(helm, each), installations))
        for each in installations:
            self.control_plane.kubectl("rollout", "status", "-n", each.endpoints, f"daemonset/{IMAGE_CACHE}")
            for workload in workloads(each):
                self.control_plane.kubectl("rollout", "status", "-n", each.namespace, workload)
        say(f"Helm installed model engine {len(installations)} times ({time.monotonic() - clock:.1f} s)")
        clock = time.monotonic()
        self.control_plane.apply([each.resource() for each in installations])
        for each in installations:
            self.wait_for(each.namespace, "jsonpath={.status.health}", seconds=60)
        took = time.monotonic() - clock
        say(f"{len(installations)} ModelEngineHealthChecks with an empty spec: all probed after {took:.1f} s")

    def _install(self, helm: Helm, installation: HelmInstallation) -> None:
        azure = of_azure(self.platform) if installation.namespace == "acme-azure" else []
        installation.install(self.control_plane, helm, image_cache(), *azure)

    def _start_clouds(self) -> dict[str, str]:
        """Servers under the clouds' own names; addresses by name. None where nobody could be told of them."""
        if not can_have_hosts():
            say("without root there is no resolver of our own: Azure and Google Cloud are left out")
            return {}
        start, certificate = self.stack.enter_context, self.ca.issue(names=CLOUD_NAMES)
        address = self.azure.server.address.partition(":")[0]
        hosts = dict.fromkeys((AZURE_BUS, AZURE_STORE, MIRROR), address)
        google = self.google.server.address.partition(":")[0]
        hosts |= {GOOGLE_METADATA: google}
        hosts[AZURE_REDIS] = free_host(AZURE_REDIS_PORT)
        start(ScriptedServer(lambda _: Reply(403), certificate=certificate, place=(address, AMQPS)))
        token = self.azure.token(self.platform, "https://redis.azure.com")
        start(
            Redis(
                tls=True,
                ca=self.ca,
                certificate=certificate,
                users={"default": "off", self.platform.object: f"on >{token} ~* &* +@all"},
                address=(hosts[AZURE_REDIS], AZURE_REDIS_PORT),
            )
        )
        return hosts

    def look(self) -> None:
        """What a user looks at: the list, one resource, the command."""
        title("Look at the results")
        self.show("get", "mehc", "-A")
        self.show("get", "mehc", "-A", "-o", "wide")
        self.show("describe", "mehc", "-n", "acme-two-behind", "model-engine")
        say(
            "the same checks from a terminal, without the operator; --inside: this machine reaches what pods reach"
        )
        self.mehc("check", "-n", "acme-tls-mismatch", "--inside")

    def explain(self) -> None:
        """Three endpoints that the platform calls INITIALIZING, for three reasons."""
        title("Explain endpoints that do not start")
        say("installing once more, with 3 endpoints that the platform reports as INITIALIZING")
        servers = self.servers
        stuck = servers.installation("acme-stuck", "stuck", servers.values())
        missing = f"{REGISTRY}/vllm:0.9.9"
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
            postgres=servers.postgres,
            redis=servers.shared,
            database="stuck",
            namespace=stuck.endpoints,
        )
        for name, state in (("end_image", "READY"), ("end_gpu", "READY"), ("end_queue", "UPDATE_PENDING")):
            world.record(state, endpoint_id=name, name=name.removeprefix("end_"))
        self.control_plane.apply([stuck.resource()])
        self.wait_for(stuck.namespace, "jsonpath={.status.health}", seconds=60)
        self.mehc("explain", "-n", stuck.namespace, "--grace-period", "1s")
        self.mehc("explain", "-n", stuck.namespace, "--grace-period", "1s", "end_gpu")

    def break_and_fix(self) -> None:
        """Stop the healthy installation's Redis and start it again; take a GPU node's label away and put it back."""
        title("Break the healthy installation, and fix it")
        spec = '{"spec": {"interval": "10s", "timeout": "5s"}}'
        self.control_plane.kubectl(
            "patch", "mehc/model-engine", "-n", "acme-sound", "--type=merge", "-p", spec
        )
        self.wait_for("acme-sound", "jsonpath={.status.observedGeneration}=2")
        self.wait_for("acme-sound", "condition=Ready")
        say("acme-sound is now probed every 10 s instead of every 5 minutes")
        say("stopping its Redis")
        self.servers.redis.stop()
        took = self.wait_for("acme-sound", "condition=Ready=false")
        say(f"Ready is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        say("starting its Redis")
        self.servers.redis.start()
        took = self.wait_for("acme-sound", "condition=Ready")
        say(f"Ready is True after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound")
        self.show("events", "-n", "acme-sound", "--for", "mehc/model-engine")

        say(
            "removing the GPU node's accelerator label; nodes are watched, so this does not wait for the interval"
        )
        self.control_plane.kubectl("label", "node", GPU_NODE, f"{ACCELERATOR_LABEL}-")
        took = self.wait_for("acme-sound", "condition=Ready=false")
        say(f"Ready is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound", "-o", "wide")
        self.control_plane.kubectl("label", "node", GPU_NODE, f"{ACCELERATOR_LABEL}={A10}")
        took = self.wait_for("acme-sound", "condition=Ready")
        say(f"the label is back: Ready is True after {took:.1f} s")

    def upgrade(self) -> None:
        """Upgrade the healthy installation with a value that crashes the platform."""
        title("Upgrade it with a value that breaks it")
        say("helm upgrade with config.values.infra.db_engine_pool_size: 10, as the values reference shows it")
        pool: Tree = {"config": {"values": {"infra": {"db_engine_pool_size": 10}}}}
        took = self._upgrade(pool)
        say(f"helm upgrade succeeded ({took:.1f} s); releases are watched")
        took = self.wait_for("acme-sound", "condition=ConfigValid=false")
        say(f"ConfigValid is False after {took:.1f} s")
        self.show("get", "mehc", "-n", "acme-sound", "-o", "wide")
        say("mehc lint would have said so before the upgrade")
        file = temporary_directory("values") / "values.yaml"
        file.write_text(yaml.safe_dump(self._sound(pool)))
        self.mehc("lint", str(file))

    def _upgrade(self, values: Tree) -> float:
        """Upgrade the healthy installation to what it was and ``values``; return the seconds that Helm took."""
        return timed(
            lambda: Helm(self.control_plane).upgrade("model-engine", "acme-sound", self._sound(values))
        )

    def _sound(self, values: Tree) -> Tree:
        """The values of the healthy installation, and ``values``."""
        all_values = overlaid(self.servers.values(self.servers.redis), values)
        return HelmInstallation(namespace="acme-sound", values=all_values).helm_values()

    def fail_over(self) -> None:
        """Kill the operator's leader; what breaks meanwhile is found by the standby."""
        title("Kill the operator's leader")
        leader = self.operator.leader()
        say(f"killing {leader.pod}, the leader, and stopping the Redis of all other installations")
        leader.kill()
        self.servers.shared.stop()
        took = self.wait_for("acme-no-such-gpu", "condition=RedisReachable=false")
        say(f"{self.operator.leader().pod} is the new leader and reported the failure after {took:.1f} s")
        self.show("get", "lease", "-n", "mehc")

    def restore(self) -> None:
        """Fix what the demo has broken, and leave each installation as its name says."""
        title("Fix what is left, and look at it")
        self.servers.shared.start()
        self._upgrade({})
        took = self.wait_for("acme-sound", "condition=Ready")
        say(f"Redis is back and the value is gone: acme-sound is Ready after {took:.1f} s")
        self.wait_for("acme-no-such-gpu", "condition=RedisReachable")
        self.mehc("status", "-n", "acme-sound")
        self.mehc("status", "-A")

    def wait_for(self, namespace: str, what: str, *, seconds: int = 50) -> float:
        """Wait for ``what``, in the words of kubectl wait --for; return the seconds it took."""
        return timed(
            lambda: self.control_plane.kubectl(
                "wait", "mehc/model-engine", "-n", namespace, f"--for={what}", f"--timeout={seconds}s"
            )
        )

    def show(self, *words: str) -> None:
        print(f"\n$ kubectl {' '.join(words)}", flush=True)
        print(self.control_plane.kubectl(*words), flush=True)

    def mehc(self, command: str, *words: str) -> None:
        print(f"\n$ mehc {command} {' '.join(words)}", flush=True)
        done = subprocess.run(
            [MEHC, command, *words],
            env={**os.environ, **self.environment, "KUBECONFIG": str(self.control_plane.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stdout + done.stderr, flush=True)


def stay(plane: ControlPlane, environment: Mapping[str, str], command: str) -> None:
    """Until Ctrl-C. ``environment`` is what ``command`` needs in another terminal."""
    say("everything keeps running until Ctrl-C; in another terminal:")
    settings = {"KUBECONFIG": plane.kubeconfig, "PATH": f"{MEHC.parent}:$PATH"}
    for name, value in {**settings, **environment}.items():
        print(f"    export {name}={value}", flush=True)
    print(f"    kubectl get mehc -A\n    {command}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})


def title(text: str) -> None:
    print(f"\n=== {text}\n", flush=True)


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` took."""
    clock = time.monotonic()
    action()
    return time.monotonic() - clock


if __name__ == "__main__":
    sys.exit(main())
