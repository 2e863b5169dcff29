"""The components that all rows share: one control plane, and the servers that installations depend on."""

import string
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from demo.stage import (
    A10,
    ACL,
    FORWARDERS_PORT,
    GPU_NODE,
    MIRROR,
    PASSWORD,
    REGISTRY,
    Servers,
    cluster_objects,
)
from mehc_checks.installation.metricsapi import EXTERNAL_METRICS
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from ranking.manifests import is_up
from ranking.rows import HARDWARE, Row, is_shared
from testbed import keda
from testbed.aggregation import register
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.endpoints import MERGE
from testbed.httpserver import Proxy, Reply, ScriptedServer
from testbed.installation import Tree, overlaid, without
from testbed.istio_exporter import SERIES, IstioExporter
from testbed.kwok import Kwok
from testbed.modelengine import migrate
from testbed.pgbouncer import PgBouncer
from testbed.pki import LOCAL_NAMES, CertificateAuthority
from testbed.ports import free_host
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import Registry
from testbed.sound import AWS, BY_CLOUD
from testbed.waiting import eventually

NOTHING: Final = "127.0.0.1:1"
PRIVATE: Final = "private.azurecr.io"
"""A registry that requires a login; it has the same images."""
TEMPLATE: Final = "template_endpoints"
"""A migrated database that nothing connects to, so that it can be copied."""


@dataclass(kw_only=True)
class Stage:
    """``words`` is what rows' $words mean, ``gateways`` the addresses of gateways by the status that they answer."""

    plane: ControlPlane
    kwok: Kwok
    servers: Servers
    environment: Mapping[str, str]
    words: Mapping[str, str]
    gateways: Mapping[int, str]

    def values(self, row: Row) -> Tree:
        """The values of ``row``, before the chart's own defaults."""
        if row.lint:
            sound = BY_CLOUD[row.cloud]
        elif row.cloud == "onprem":
            sound = self.servers.on_premises().values
        else:
            sound = self.servers.values()
        small: Tree = {"celery_autoscaler": {"num_shards": 1}}
        if row.queue:
            small["serviceBuilderQueue"] = f"queue-{row.namespace}"
        return self.lacking(row, overlaid(sound, small, self.filled(row.values)))

    def lacking(self, row: Row, values: Tree) -> Tree:
        """``values`` without what the row's values lack."""
        for path in row.without:
            values = without(values, path)
        return values

    def filled(self, given: Any, **more: str) -> Any:
        """``given`` with its $words replaced."""
        if isinstance(given, dict):
            return {key: self.filled(value, **more) for key, value in given.items()}
        if isinstance(given, list):
            return [self.filled(value, **more) for value in given]
        if isinstance(given, str) and given in HARDWARE:
            return HARDWARE[given]
        return string.Template(given).substitute(self.words, **more) if isinstance(given, str) else given

    def patch(self, path: str, body: Tree) -> None:
        self.plane.api("PATCH", path, body, content_type=MERGE)

    @contextmanager
    def changed(self, changes: Iterable[Tree]) -> Iterator[None]:
        """What rows share of the cluster, as ``changes`` say; undone at the end."""
        with ExitStack() as undone:
            for change in filter(is_shared, changes):
                if "patch" in change:
                    self.patch(change["patch"], change["with"])
                    undone.callback(self.patch, change["patch"], change["undo"])
                elif "node" in change:
                    self.kwok.add_node(change["node"], **GPUS)
                    undone.callback(self.kwok.delete_node, change["node"])
                else:
                    undone.callback(self.plane.api, "POST", *self._removed(change["delete"]))
            self.steady()
            yield
        self.steady()

    def _removed(self, path: str) -> tuple[str, Tree]:
        """Delete what is at ``path``; where to post it again, and what."""
        found = self.plane.api("GET", path)
        for key in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
            found["metadata"].pop(key, None)
        self.plane.api("DELETE", path)
        return path.rpartition("/")[0], found

    def steady(self) -> None:
        """Wait until KEDA's Deployments are as they are told to be."""
        path = f"/apis/apps/v1/namespaces/{keda.NAMESPACE}/deployments"
        eventually(lambda: self.plane.api("GET", path)["items"], lambda found: all(map(is_up, found)))

    def remove_keda(self) -> None:
        """Its CRDs; returns when they are gone."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

        def left() -> list[str]:
            found = self.plane.api("GET", path)["items"]
            return [item["metadata"]["name"] for item in found if item["spec"]["group"].endswith("keda.sh")]

        for name in left():
            self.plane.api("DELETE", f"{path}/{name}")
        eventually(left, lambda names: not names)


GPUS: Final[Mapping[str, Any]] = {
    "labels": {ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
    "capacity": {"cpu": "48", "memory": "192Gi", "ephemeral-storage": "500Gi", "nvidia.com/gpu": "4"},
    "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
    "timeout": 90,
}
"""A node with GPUs."""


@contextmanager
def staged() -> Iterator[Stage]:
    """Start everything that the rows share: Istio is not there yet, and KEDA is."""
    ca = CertificateAuthority()
    names = (*LOCAL_NAMES, REGISTRY, MIRROR, PRIVATE)
    images = temporary_directory("registry")
    with ExitStack() as stack:
        start = stack.enter_context
        exporter = start(IstioExporter({"launch-endpoint-id-1": 2.0}))
        with ThreadPoolExecutor() as pool:
            plane = pool.submit(start, ControlPlane())
            prometheus = pool.submit(start, Prometheus([exporter.address], interval="10s"))
            postgres = pool.submit(start, Postgres(max_connections=400))
            redis = pool.submit(start, Redis(tls=True, ca=ca, users=ACL))
            expired = pool.submit(start, Redis(tls=True, ca=ca, certificate=ca.expired(), users=ACL))
            plain = pool.submit(start, Redis(address=(free_host(FORWARDERS_PORT), FORWARDERS_PORT)))
            aws = pool.submit(start, Aws(account=AWS["config"]["values"]["infra"]["ml_account_id"]))
            registry = pool.submit(start, Registry(storage=images))
            ecr = pool.submit(start, Registry(storage=images, certificate=ca.issue(names=names)))
            login = {"puller": "pull-password"}
            private = pool.submit(
                start, Registry(storage=images, certificate=ca.issue(names=names), basic=login)
            )
            servers = Servers(
                postgres=postgres.result(),
                redis=redis.result(),
                shared=redis.result(),
                plain=plain.result(),
                aws=aws.result(),
                registry=registry.result(),
                prometheus=prometheus.result(),
            )
        servers.fill()
        servers.aws.client("sqs").create_queue(QueueName="model-engine-blue-service-builder")
        database = servers.postgres
        migrate(database, database.create_database(TEMPLATE, owner="modelengine"))
        database.create_role("crowded", PASSWORD, options="CONNECTION LIMIT 0")
        pooler = start(PgBouncer(database, "modelengine", PASSWORD))
        routes = {f"{name}:443": ecr.result().address for name in (REGISTRY, MIRROR)}
        proxy = start(Proxy({**routes, f"{PRIVATE}:443": private.result().address}))
        gateways = {
            200: start(ScriptedServer(lambda _: Reply(200, b'{"model_endpoints": []}'))),
            500: start(ScriptedServer(lambda _: Reply(500, b"Internal Server Error"))),
        }
        here = Stage(
            plane=plane.result(),
            kwok=start(Kwok(plane.result())),
            servers=servers,
            environment={
                "SSL_CERT_FILE": str(ca.ca_file),
                "HTTPS_PROXY": proxy.url,
                "NO_PROXY": "127.0.0.1,localhost",
                "AWS_EC2_METADATA_DISABLED": "true",
                **servers.aws.client_environment(),
            },
            words={
                "nothing": NOTHING,
                "password": PASSWORD,
                "registry": REGISTRY,
                "redis": f"{servers.shared.host}:{servers.shared.port}",
                "expired_redis": f"{expired.result().host}:{expired.result().port}",
                "pooled": pooler.url("sound"),
                "full": database.url("crowded", PASSWORD, "sound"),
                **{
                    each: database.url("modelengine", PASSWORD, each) for each in ("sound", "empty", "behind")
                },
            },
            gateways={code: f"http://{server.address}" for code, server in gateways.items()},
        )
        _set_up_cluster(here.plane, here.kwok)
        metrics = start(ScriptedServer(lambda _: Reply(200, b"{}"), certificate=ca.issue()))
        register(
            here.plane,
            EXTERNAL_METRICS,
            namespace=keda.NAMESPACE,
            service=keda.METRICS_SERVER,
            port=int(metrics.address.rpartition(":")[2]),
        )
        eventually(lambda: prometheus.result().query(SERIES), bool)
        yield here


def _set_up_cluster(plane: ControlPlane, kwok: Kwok) -> None:
    kwok.add_node("node-1", capacity={"cpu": "640", "pods": "2000"}, timeout=90)
    kwok.add_node(GPU_NODE, **GPUS)
    plane.apply(cluster_objects())
    keda.install(plane)
    keda.deploy(plane)
    patient = {"name": "main", "env": [{"name": "KEDA_HTTP_DEFAULT_TIMEOUT", "value": "60000"}]}
    plane.api(  # or a busy machine has a Prometheus that is slower than KEDA
        "PATCH",
        f"/apis/apps/v1/namespaces/{keda.NAMESPACE}/deployments/{keda.OPERATOR}",
        {"spec": {"template": {"spec": {"containers": [patient]}}}},
        content_type="application/strategic-merge-patch+json",
    )
