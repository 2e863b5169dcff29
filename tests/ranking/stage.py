"""Puts the installations of ``installations.yaml`` on real components, breaks them as their rows say, and judges them.

One control plane has all of them, each in namespaces of its own. What a row changes in the cluster itself holds while
that row is judged, and is undone before the next one.
"""

import asyncio
import copy
import json
import string
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from demo.stage import (
    A10,
    ACL,
    FORWARDERS_PORT,
    GPU_NODE,
    IMAGE_CACHE,
    MIRROR,
    PASSWORD,
    REGISTRY,
    TOLERATIONS,
    Servers,
    cluster_objects,
    endpoint,
    hardware,
    image_cache,
)
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import CheckRequest, Request, Sources, diagnose
from mehc_checks.installation.metricsapi import EXTERNAL_METRICS
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import demand_key
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.scaling import resource_name
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.modelengine.workloads import BUILDER, CACHER
from mehc_operator.connection import Access, connected
from testbed import istio, keda
from testbed.aggregation import register
from testbed.aws import Aws
from testbed.controlplane import ApiError, ControlPlane
from testbed.endpoints import MERGE, World
from testbed.helm import Helm, HelmError, HelmInstallation
from testbed.httpserver import Proxy, Reply, ScriptedServer
from testbed.installation import DATABASE_SECRET, Tree, overlaid, without
from testbed.istio_exporter import IstioExporter
from testbed.kwok import STAGE_LABEL, Kwok
from testbed.modelengine import migrate
from testbed.pgbouncer import PgBouncer
from testbed.pki import LOCAL_NAMES, CertificateAuthority
from testbed.ports import free_host
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import Registry
from testbed.scaledobjects import scaled_object
from testbed.sound import AWS, BY_CLOUD
from testbed.waiting import eventually

ROWS: Final = Path(__file__).with_name("installations.yaml")
NOTHING: Final = "127.0.0.1:1"
PRIVATE: Final = "private.azurecr.io"
"""A registry that requires a login; it has the same images."""
TEMPLATE: Final = "template_endpoints"
"""A migrated database that nothing connects to, so that it can be copied."""
PLAIN_NODE: Final = "node-1"
LONG: Final = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table, as it is written."""

    name: str
    why: str
    first: str | None
    most: int = 0
    health: str = "Failing"
    remedy: str = ""
    cloud: str = "aws"
    lint: bool = False
    values: Tree = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    database: str | None = "$sound"
    gateway: int = 200
    pods: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    endpoints: list[Tree] = field(default_factory=list)
    install: str = "succeeds"
    upgrades: list[Tree] = field(default_factory=list)
    own: list[Tree] = field(default_factory=list)
    objects: list[Tree] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)
    cluster: list[Tree] = field(default_factory=list)
    lacks: str = ""
    job: str = ""
    queue: int = 0
    pull_secret: str = ""
    caches: str = ""
    balloons: bool = False
    webhook: bool = False
    rotated: bool = False

    @property
    def namespace(self) -> str:
        return f"r-{self.name}"[:48].rstrip("-")

    @property
    def alone(self) -> bool:
        """Whether it changes what other rows share."""
        return bool(self.lacks) or any(
            "$" not in str(change.get("delete", change.get("patch"))) for change in self.cluster
        )


def rows() -> list[Row]:
    return [Row(**each) for each in yaml.safe_load(ROWS.read_text())]


@dataclass(kw_only=True)
class Stage:
    """The components, and what rows' $words mean."""

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
        values = overlaid(sound, small, self.filled(row.values))
        if row.queue:
            values["serviceBuilderQueue"] = f"queue-{row.namespace}"
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


def _tier(accelerator: str, **more: Any) -> Tree:
    table: Tree = copy.deepcopy(hardware(accelerator)["recommendedHardware"])
    for entries in table.values():
        for entry in entries:
            entry.update(more)
    return table


HARDWARE: Final = {
    "$h100": _tier("nvidia-hopper-h100"),
    "$a1o": _tier("nvidia-ampere-a1o"),
    "$wide": _tier(A10, nodes_per_worker=2),
}


@contextmanager
def staged() -> Iterator[Stage]:
    """Start everything that the rows share: Istio is not there yet, and KEDA is."""
    ca = CertificateAuthority()
    with ExitStack() as stack:
        start = stack.enter_context
        exporter = start(IstioExporter({"launch-endpoint-id-1": 2.0}))
        images = temporary_directory("registry")
        names = (*LOCAL_NAMES, REGISTRY, MIRROR, PRIVATE)
        with ThreadPoolExecutor() as pool:
            plane = pool.submit(start, ControlPlane())
            prometheus = pool.submit(start, Prometheus([exporter.address]))
            postgres = pool.submit(start, Postgres(max_connections=400))
            tls = pool.submit(start, Postgres(tls="required", ca=ca))
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
        database = servers.postgres
        database.create_database(TEMPLATE, owner="modelengine")
        migrate(database, TEMPLATE)
        database.create_role("crowded", PASSWORD, options="CONNECTION LIMIT 0")
        tls.result().create_role("modelengine", PASSWORD)
        pooler = start(PgBouncer(database, "modelengine", PASSWORD))
        kwok = start(Kwok(plane.result()))
        proxy = start(
            Proxy(
                {f"{name}:443": ecr.result().address for name in (REGISTRY, MIRROR)}
                | {f"{PRIVATE}:443": private.result().address}
            )
        )
        gateways = {
            200: start(ScriptedServer(lambda _: Reply(200, b'{"model_endpoints": []}'))),
            500: start(ScriptedServer(lambda _: Reply(500, b"Internal Server Error"))),
        }
        here = Stage(
            plane=plane.result(),
            kwok=kwok,
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
                "postgres": f"{database.host}:{database.port}",
                "tls_postgres": tls.result().url("modelengine", PASSWORD, "postgres", sslmode="disable"),
                "pooled": pooler.url("sound"),
                "full": database.url("crowded", PASSWORD, "sound"),
                **{
                    each: database.url("modelengine", PASSWORD, each) for each in ("sound", "empty", "behind")
                },
            },
            gateways={code: f"http://{server.address}" for code, server in gateways.items()},
        )
        _set_up(here)
        metrics = start(ScriptedServer(lambda _: Reply(200, b"{}"), certificate=ca.issue()))
        register(
            here.plane,
            EXTERNAL_METRICS,
            namespace=keda.NAMESPACE,
            service=keda.METRICS_SERVER,
            port=int(metrics.address.rpartition(":")[2]),
        )
        yield here


def _set_up(here: Stage) -> None:
    here.kwok.add_node(PLAIN_NODE, capacity={"cpu": "640", "pods": "2000"})
    here.kwok.add_node(
        GPU_NODE,
        labels={ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
        capacity={"cpu": "48", "memory": "192Gi", "ephemeral-storage": "500Gi", "nvidia.com/gpu": "4"},
        taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
    )
    here.plane.apply(cluster_objects())
    keda.install(here.plane)
    keda.deploy(here.plane)


class Installed:
    """One row on the stage."""

    def __init__(self, here: Stage, row: Row, number: int, helm: Helm) -> None:
        self.row = row
        self._here = here
        self._number = number
        self._helm = helm
        self._plane = here.plane
        self._values = here.values(row)
        database = f"row_{number}"
        own_record = bool(row.endpoints) and row.database == "$sound"
        if own_record:
            here.servers.postgres.create_database(database, owner="modelengine", template=TEMPLATE)
        url = row.database and here.filled(row.database)
        if own_record:
            url = here.servers.postgres.url("modelengine", PASSWORD, database)
        secrets: dict[str, Mapping[str, str]] = {DATABASE_SECRET: {"database_url": url}} if url else {}
        if row.cloud == "onprem":
            secrets["s3-credentials"] = dict.fromkeys(
                ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing"
            )
        self._installation = HelmInstallation(namespace=row.namespace, values=self._values, secrets=secrets)
        self.endpoints = self._installation.endpoints
        self._world = World(
            plane=here.plane,
            kwok=here.kwok,
            postgres=here.servers.postgres,
            redis=here.servers.plain if row.cloud == "onprem" else here.servers.shared,
            database=database,
            namespace=self.endpoints,
        )
        self._recorded = own_record

    # The installation

    def install(self) -> None:
        """By Helm, with what the row's namespaces hold besides."""
        own = [_placed(each, self.row.namespace) for each in self.row.own]
        if own:
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.row.namespace}}
            self._plane.apply([namespace, *own])
        others = [*self.row.objects, *([self._caches()] if self.row.caches else []), *self._pull_secret()]
        installation = self._installation
        if self.row.without:  # the chart's user left it out; so do we
            installation = replace(installation, values=self._values)
            self._install_as_given(installation)
            return
        try:
            installation.install(self._plane, self._helm, *others)
        except HelmError:
            if self.row.install != "fails":
                raise
        for upgrade in self.row.upgrades:
            self._upgrade(upgrade)

    def _install_as_given(self, installation: HelmInstallation) -> None:
        namespaces = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in (installation.namespace, installation.endpoints)
        ]
        secrets = [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(data)}
            for name, data in installation.secrets.items()
        ]
        self._plane.apply([*namespaces, *(_placed(each, installation.namespace) for each in secrets)])
        self._helm.install("model-engine", installation.namespace, installation.values)

    def _upgrade(self, upgrade: Tree) -> None:
        own = self.row.namespace
        if "rollback" in upgrade:
            self._helm.run("rollback", "model-engine", str(upgrade["rollback"]), "-n", own)
            return
        values = overlaid(self._installation.helm_values(), self._here.filled(upgrade.get("values", {})))
        for path in upgrade.get("without", ()):
            values = without(values, path)
        self._helm.upgrade("model-engine", own, values)

    def _caches(self) -> Tree:
        caches = image_cache()
        caches["spec"]["template"]["metadata"]["labels"][STAGE_LABEL] = self.row.caches
        return caches

    def _pull_secret(self) -> list[Tree]:
        if not self.row.pull_secret:
            return []
        login = b64encode(f"puller:{self.row.pull_secret}".encode()).decode()
        config = json.dumps({"auths": {PRIVATE: {"auth": login}}})
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "regcred"},
                "type": "kubernetes.io/dockerconfigjson",
                "stringData": {".dockerconfigjson": config},
            }
        ]

    @property
    def names(self) -> dict[str, str]:
        """The Deployments of the control plane by role."""
        name = fullname(Values.merged([Layer(source="values", values=self._values)]))
        return {"gateway": name, "cacher": name + CACHER, "builder": name + BUILDER}

    # What is wrong with it

    def settle(self) -> None:
        """Wait until its control plane is up, and then do to it what the row says."""
        if self.row.install == "succeeds":
            eventually(self._not_up, lambda names: not names)
        for role, image in self.row.images.items():
            self._set_image(self.names[role], image)
            eventually(self._not_up, lambda names: not names)
        if self.row.pull_secret:
            self._patch(
                self._world.path("serviceaccounts", "model-engine-endpoints"),
                {"imagePullSecrets": [{"name": "regcred"}]},
            )
        if self.row.labels:
            self._patch(
                f"/api/v1/namespaces/{self.endpoints}", {"metadata": {"labels": dict(self.row.labels)}}
            )
        if self.row.webhook:
            self._plane.api(
                "POST",
                "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
                _webhook(self.endpoints),
            )
        if self.row.job:
            self._fail_job()
        if self.row.rotated:
            self._age_pods()
        for _ in range(self.row.queue):
            self._world.redis.call("LPUSH", f"queue-{self.row.namespace}", "{}")
        for role, trouble in self.row.pods.items():
            for pod in self._pods(self.names[role]):
                self._patch(
                    self._own("pods", pod["metadata"]["name"]),
                    {"metadata": {"labels": {STAGE_LABEL: trouble}}},
                )
        for role in self.row.pods:
            name = self.names[role]
            eventually(lambda name=name: self._ready(name), lambda ready: ready == 0)

    def _own(self, resource: str, name: str = "", group: str = "") -> str:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        return f"{root}/namespaces/{self.row.namespace}/{resource}" + (f"/{name}" if name else "")

    def _patch(self, path: str, body: Tree) -> None:
        self._plane.api("PATCH", path, body, content_type=MERGE)

    def _not_up(self) -> list[str]:
        found = self._plane.api("GET", self._own("deployments", group="apps"))["items"]
        found += self._plane.api("GET", self._own("statefulsets", group="apps"))["items"]
        return [each["metadata"]["name"] for each in found if not _is_up(each)]

    def _ready(self, name: str) -> int:
        status = self._plane.api("GET", self._own("deployments", name, group="apps"))["status"]
        return int(status.get("readyReplicas") or 0)

    def _pods(self, name: str) -> list[Tree]:
        found: list[Tree] = self._plane.api("GET", self._own("pods") + f"?labelSelector=app%3D{name}")[
            "items"
        ]
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def _set_image(self, name: str, image: str) -> None:
        container = {"name": name, "image": image}
        body: Tree = {"spec": {"template": {"spec": {"containers": [container]}}}}
        path = self._own("deployments", name, group="apps")
        self._plane.api("PATCH", path, body, content_type="application/strategic-merge-patch+json")

    def _fail_job(self) -> None:
        """The migration of the last upgrade; its pod is failed by hand, or KWOK would let it succeed."""
        name = f"{self.names['gateway']}-database-migration-1"
        pod = {
            "restartPolicy": "Never",
            "nodeSelector": {"no-such": "label"},
            "containers": [{"name": "m", "image": "m"}],
        }
        body: Tree = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
        self._plane.api("POST", self._own("jobs", group="batch"), body)
        pods = self._own("pods") + f"?labelSelector=job-name%3D{name}"
        (made,) = eventually(lambda: self._plane.api("GET", pods)["items"], bool)
        self._patch(self._own("pods", made["metadata"]["name"]) + "/status", {"status": {"phase": "Failed"}})
        eventually(
            lambda: self._plane.api("GET", self._own("jobs", name, group="batch"))["status"],
            lambda status: any(each["type"] == "Failed" for each in status.get("conditions", ())),
        )

    def _age_pods(self) -> None:
        """Its pods started long before the Secrets that they read were written."""
        then = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name in self.names.values():
            for pod in self._pods(name):
                statuses = [
                    {**each, "state": {"running": {"startedAt": then}}}
                    for each in pod["status"]["containerStatuses"]
                ]
                path = self._own("pods", pod["metadata"]["name"]) + "/status"
                self._patch(path, {"status": {"containerStatuses": statuses}})

    def change_own(self) -> None:
        """What the row deletes of its own namespaces."""
        for change in self.row.cluster:
            if "$" in str(change.get("delete")):
                path = self._here.filled(change["delete"], own=self.row.namespace, endpoints=self.endpoints)
                self._plane.api("DELETE", path)
                eventually(lambda path=path: _exists(self._plane, path), lambda exists: not exists)

    # Its endpoints

    def populate(self) -> None:
        """Make the endpoints, each with its record, and wait until something holds or serves each of them."""
        for given in self.row.endpoints:
            self._endpoint(**given)
        if self.row.balloons:
            self._plane.apply([_balloon(self.row.namespace)])
        if self.row.endpoints:
            eventually(self._undecided, lambda names: not names)

    def _endpoint(
        self,
        *,
        name: str,
        state: str = "READY",
        reason: str = "",
        stage: str = "",
        image: str = "",
        accelerator: str = "",
        gpus: int = 0,
        priority: str = "",
        account: str = "",
        zero: str = "",
        demand: int = 0,
        autoscaled: bool = False,
    ) -> None:
        unique = f"end-{name}-{self._number}"
        id_ = unique.replace("-", "_")
        if self._recorded:
            self._world.record(state, endpoint_id=id_, name=name, reason=reason)
        if state in ("UPDATE_PENDING", "UPDATE_FAILED"):
            return
        pod: Tree = {"terminationGracePeriodSeconds": 0}
        if accelerator:
            pod |= {"nodeSelector": {ACCELERATOR_LABEL: accelerator}, "tolerations": TOLERATIONS}
        if priority:
            pod["priorityClassName"] = priority
        if account:
            pod["serviceAccountName"] = account
        made = endpoint(unique, image=image, stage=stage, **pod)
        if zero:
            made["spec"]["replicas"] = 0
        if gpus:
            made["spec"]["template"]["spec"]["containers"][1]["resources"] = {
                "limits": {"nvidia.com/gpu": str(gpus)}
            }
        self._plane.apply([_placed(made, self.endpoints)])
        if zero:
            self._at_zero(id_, ready=zero == "asleep", demand=demand)
        if autoscaled:
            self._plane.apply([_placed(_autoscaler(id_), self.endpoints)])

    def _at_zero(self, id_: str, *, ready: bool, demand: int) -> None:
        configuration = Configuration(Values.merged([Layer(source="values", values=self._values)]))
        cache = configuration.text("config.values.launch.cache_redis_aws_url") or ""
        made = scaled_object(configuration, id_, namespace=self.endpoints, cache_url=cache)
        path = self._world.path("scaledobjects", group="keda.sh", version="v1alpha1")
        self._plane.api("POST", path, made)
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "ScaledObjectReady" if ready else "ScaledObjectCheckFailed",
        }
        self._patch(f"{path}/{made['metadata']['name']}/status", {"status": {"conditions": [condition]}})
        for _ in range(demand):
            self._world.redis.call("LPUSH", demand_key(id_), "1", db=15)

    def _undecided(self) -> list[str]:
        """Endpoints whose pods are neither ready nor known to be in trouble."""
        found = self._plane.api("GET", self._world.path("deployments", group="apps"))["items"]
        pods = self._plane.api("GET", self._world.path("pods"))["items"]
        held = {
            pod["metadata"]["labels"].get("app")
            for pod in pods
            if any(_waits(status) for status in pod["status"].get("containerStatuses", ()))
            or _is_unplaced(pod)
        }
        return [
            each["metadata"]["name"]
            for each in found
            if not _is_up(each) and not _is_refused(each) and each["metadata"]["labels"]["app"] not in held
        ]

    # Its judgement

    def request(self) -> Request:
        at_once = CheckRequest(parameters={"gracePeriod": "0s", "loadingGracePeriod": "0s"})
        asked = CheckRequest(parameters={"gatewayUrl": self._here.gateways[self.row.gateway]})
        return Request(
            namespace=self.row.namespace,
            timeout=LONG,
            checks={"EndpointsReady": at_once, "ControlPlaneReady": asked},
        )


def _placed(manifest: Tree, namespace: str) -> Tree:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def _is_up(workload: Tree) -> bool:
    status = workload["status"]
    return (
        status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
        and int(status.get("readyReplicas") or 0) == int(workload["spec"]["replicas"])
        and int(status.get("replicas") or 0) == int(workload["spec"]["replicas"])
    )


def _is_refused(workload: Tree) -> bool:
    conditions = workload["status"].get("conditions", ())
    return any(each["type"] == "ReplicaFailure" and each["status"] == "True" for each in conditions)


def _is_unplaced(pod: Tree) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "PodScheduled" and each["status"] == "False" for each in conditions)


def _waits(status: Tree) -> bool:
    return "waiting" in status.get("state", {})


def _exists(plane: ControlPlane, path: str) -> bool:
    try:
        plane.api("GET", path)
    except ApiError as error:
        if error.code != 404:
            raise
        return False
    return True


def _autoscaler(id_: str) -> Tree:
    """The HorizontalPodAutoscaler that the builder makes for an endpoint with min_workers above 0."""
    name = resource_name(id_)
    metric = {
        "metric": {"name": "request-concurrency-average"},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 1,
            "maxReplicas": 3,
            "metrics": [{"type": "Pods", "pods": metric}],
        },
    }


def _balloon(namespace: str) -> Tree:
    name = f"balloon-{A10}"
    pod = {
        "nodeSelector": {ACCELERATOR_LABEL: A10, "node-lifecycle": "normal"},
        "tolerations": TOLERATIONS,
        "containers": [{"name": "main", "image": "balloon"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def _webhook(namespace: str) -> Tree:
    """An admission webhook of the endpoint namespace at which nothing listens."""
    return {
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "policy.example.com",
                "clientConfig": {"url": f"https://{NOTHING}/"},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


@contextmanager
def changed(here: Stage, changes: Iterable[Tree]) -> Iterator[None]:
    """What rows share of the cluster, as ``changes`` say; undone at the end."""
    with ExitStack() as undone:
        for change in changes:
            if "patch" in change:
                here.plane.api("PATCH", change["patch"], change["with"], content_type=MERGE)
                undone.callback(here.plane.api, "PATCH", change["patch"], change["undo"], content_type=MERGE)
            elif "$" not in change["delete"]:
                path = change["delete"]
                found = here.plane.api("GET", path)
                for key in ("resourceVersion", "uid", "creationTimestamp", "managedFields"):
                    found["metadata"].pop(key, None)
                here.plane.api("DELETE", path)
                undone.callback(here.plane.api, "POST", path.rpartition("/")[0], found)
        yield
    _steady(here)


def _steady(here: Stage) -> None:
    """Wait until KEDA's Deployments are as they ought to be, or as they are told to be."""
    path = f"/apis/apps/v1/namespaces/{keda.NAMESPACE}/deployments"
    eventually(lambda: here.plane.api("GET", path)["items"], lambda found: all(map(_is_up, found)))


class Judge:
    """Judges rows as the operator does, in this process."""

    def __init__(self, here: Stage) -> None:
        self._here = here
        self.reports: dict[str, Report | BaseException] = {}

    def of(self, installed: Iterable[Installed]) -> None:
        _run(self._together(list(installed)))

    async def _together(self, installed: list[Installed]) -> None:
        async with connected(Access(kubeconfig=str(self._here.plane.kubeconfig))) as api:
            cluster = KubernetesCluster(api)
            limit = asyncio.Semaphore(4)

            async def one(each: Installed) -> None:
                async with limit:
                    await self._judge(each.row, each.request(), Sources(cluster=cluster))

            await asyncio.gather(*map(one, installed))

    async def _judge(self, row: Row, request: Request, sources: Sources) -> None:
        try:
            self.reports[row.name] = await diagnose(catalogue().values(), request, sources)
        except Exception as error:  # noqa: BLE001 - the row's own test fails by it, not all tests
            self.reports[row.name] = error

    def lint(self, row: Row) -> None:
        layer = Layer(source="values.yaml", values=self._here.values(row))
        request = Request(layers=(layer,), inside=False, timeout=LONG)
        _run(self._judge(row, request, Sources()))


def _run(work: Coroutine[Any, Any, None]) -> None:
    """In a thread: asyncio.run would take the event loop of this one away from other tests."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def judged_rows() -> dict[str, Report | BaseException]:
    """The report of each row by its name, or the error that kept it from being staged or judged."""
    with staged() as here, pytest.MonkeyPatch.context() as patch:
        for name, value in here.environment.items():
            patch.setenv(name, value)
        judge, table = Judge(here), rows()
        for row in table:
            if row.lint:
                judge.lint(row)
        helm = Helm(here.plane)
        installed = _in_parallel(
            judge,
            {
                row.name: lambda row=row, number=number: _installed(here, row, number, helm)
                for number, row in enumerate(table)
                if not row.lint and row.lacks == "istio"
            },
        )
        _one_by_one(here, judge, installed)
        istio.install(here.plane)
        installed = _in_parallel(
            judge,
            {
                row.name: lambda row=row, number=number: _installed(here, row, number, helm)
                for number, row in enumerate(table)
                if not row.lint and row.lacks != "istio"
            },
        )
        together = [each for each in installed if not each.row.alone]
        judge.of(
            _in_parallel(judge, {each.row.name: lambda each=each: _populated(each) for each in together})
        )
        last = [each for each in installed if each.row.lacks == "keda"]
        _one_by_one(here, judge, [each for each in installed if each.row.alone and each not in last])
        if last:
            _remove_keda(here)
            _one_by_one(here, judge, last)
        return judge.reports


def _installed(here: Stage, row: Row, number: int, helm: Helm) -> Installed:
    made = Installed(here, row, number, helm)
    made.install()
    made.settle()
    return made


def _populated(installed: Installed) -> Installed:
    installed.change_own()
    installed.populate()
    return installed


def _in_parallel(judge: Judge, tasks: Mapping[str, Callable[[], Installed]]) -> list[Installed]:
    """What ``tasks`` return; an error becomes the report of the row."""

    def attempt(name: str) -> Installed | None:
        try:
            began = time.monotonic()
            done = tasks[name]()
            print(f"STAMP {name} {time.monotonic() - began:.1f}", flush=True)
            return done
        except Exception as error:  # noqa: BLE001 - the row's own test fails by it, not all tests
            judge.reports[name] = error
            return None

    with ThreadPoolExecutor(6) as pool:
        return [made for made in pool.map(attempt, tasks) if made]


def _one_by_one(here: Stage, judge: Judge, installed: Iterable[Installed]) -> None:
    for each in installed:
        with changed(here, each.row.cluster):
            _steady(here)
            judge.of(_in_parallel(judge, {each.row.name: lambda each=each: _populated(each)}))


def _remove_keda(here: Stage) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for item in here.plane.api("GET", path)["items"]:
        if item["spec"]["group"].endswith("keda.sh"):
            with suppress(ApiError):
                here.plane.api("DELETE", f"{path}/{item['metadata']['name']}")
    eventually(
        lambda: here.plane.api("GET", path)["items"],
        lambda items: not any(item["spec"]["group"].endswith("keda.sh") for item in items),
    )
