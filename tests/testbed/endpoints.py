"""One endpoint of an installation, made and broken as tests ask for it, with its record and its demand."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mehc_checks.modelengine.endpoints import demand_key
from testbed.controlplane import ApiError, ControlPlane
from testbed.installation import DATABASE_SECRET
from testbed.kwok import STAGE_LABEL, Kwok
from testbed.modelengine import migrate
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.waiting import eventually

ID, NAME, TITLE = "end_1", "launch-endpoint-id-end-1", "llama"
PASSWORD = "pw-never-shown"
IMAGE = "registry.example/vllm:1"
GPU = "nvidia.com/gpu"
MERGE = "application/merge-patch+json"
HOUR = timedelta(hours=1)
OWNER = "endpoints_owner"
RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
LEADER_WORKER_SET = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "leaderworkersets.leaderworkerset.x-k8s.io"},
    "spec": {
        "group": "leaderworkerset.x-k8s.io",
        "scope": "Namespaced",
        "names": {"plural": "leaderworkersets", "singular": "leaderworkerset", "kind": "LeaderWorkerSet"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
"""What the API server needs in order to serve the kind; its controller is played by the case."""


@dataclass(kw_only=True)
class World:
    """One case's namespace, and the servers around it."""

    plane: ControlPlane
    kwok: Kwok
    postgres: Postgres
    redis: Redis
    database: str
    namespace: str
    clean: list[Callable[[], object]] = field(default_factory=list)

    def path(self, resource: str, name: str = "", *, group: str = "", version: str = "v1") -> str:
        root = f"/apis/{group}/{version}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.plane.api("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.plane.api("PATCH", path, body, content_type=MERGE)

    def deployment(
        self,
        *,
        stage: str = "",
        notes: Mapping[str, str] | None = None,
        replicas: int = 1,
        requests: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        finalizers: Sequence[str] = (),
        paused: bool = False,
        sidecars: Sequence[str] = (),
        image: str = IMAGE,
        **pod: Any,
    ) -> None:
        """The endpoint's Deployment. ``stage`` and ``notes`` say what KWOK does with its pods."""
        labels = {"app": NAME, "endpoint_id": ID, "endpoint_name": TITLE}
        containers = [
            {"name": "http-forwarder", "image": "forwarder:1"},
            {"name": "main", "image": image, "resources": {"limits": dict(requests or {})}},
            *({"name": name, "image": f"{name}:1"} for name in sidecars),
        ]
        marks = {**labels, **({STAGE_LABEL: stage} if stage else {})}
        self.post(
            self.path("deployments", group="apps"),
            {
                "metadata": {
                    "name": NAME,
                    "labels": labels,
                    "annotations": dict(annotations or {}),
                    "finalizers": list(finalizers),
                },
                "spec": {
                    "replicas": replicas,
                    "paused": paused,
                    "selector": {"matchLabels": {"app": NAME}},
                    "template": {
                        "metadata": {"labels": marks, "annotations": dict(notes or {})},
                        "spec": {"containers": containers, "terminationGracePeriodSeconds": 0, **pod},
                    },
                },
            },
        )

    def pods(self) -> list[Any]:
        found: list[Any] = self.plane.api("GET", self.path("pods"))["items"]
        return [pod for pod in found if pod["metadata"].get("labels", {}).get("app") == NAME]

    def pod(self, accept: Callable[[Any], bool] = lambda pod: True) -> Any:
        """The first pod of the endpoint that is accepted."""
        found = eventually(lambda: [p for p in self.pods() if accept(p)], bool, seconds=20)
        return found[0]

    def staged(self) -> Any:
        """The first pod, when KWOK has done with it what was asked."""
        return self.pod(lambda pod: bool(pod["status"].get("containerStatuses")))

    def running(self) -> Any:
        return self.pod(lambda pod: pod["status"].get("phase") == "Running")

    def told(self, pod: Any, reason: str, message: str, *, kind: str = "Warning") -> None:
        """An Event of the kubelet about ``pod``."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = pod["metadata"]
        self.post(
            self.path("events"),
            {
                "metadata": {"generateName": "kubelet-"},
                "involvedObject": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": metadata["name"],
                    "namespace": self.namespace,
                    "uid": metadata["uid"],
                },
                "reason": reason,
                "message": message,
                "type": kind,
                "count": 3,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": "kubelet"},
            },
        )

    def container(self, pod: Any, name: str, **state: Any) -> None:
        """Report another state of one container, as the kubelet would; those of the others stay."""
        statuses = [
            {**status, **state} if status["name"] == name else {**status, "ready": True, "state": RUNNING}
            for status in pod["status"]["containerStatuses"]
        ]
        self.patch(
            self.path("pods", pod["metadata"]["name"]) + "/status",
            {"status": {"containerStatuses": statuses}},
        )

    def record(
        self,
        state: str,
        *,
        age: timedelta = HOUR,
        reason: str = "",
        endpoint_id: str = ID,
        name: str = TITLE,
    ) -> None:
        """The platform's record of an endpoint, written ``age`` ago."""
        then = (datetime.now(UTC) - age).isoformat()
        columns = {
            "id": endpoint_id,
            "name": name,
            "endpoint_type": "streaming" if endpoint_id == ID else "sync",
            "endpoint_status": state,
            "status_reason": reason,
            "creation_task_id": "task-1",
            "created_at": then,
            "last_updated_at": then,
        }
        document = json.dumps(columns).replace("'", "''")
        table = "hosted_model_inference.endpoints"
        self.postgres.execute(
            f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, '{document}')",  # noqa: S608
            db=self.database,
        )

    def scaled_object(self, *, ready: bool, annotations: Mapping[str, str] | None = None) -> None:
        path = self.path("scaledobjects", group="keda.sh", version="v1alpha1")
        self.post(
            path,
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {
                    "name": NAME,
                    "annotations": dict(annotations or {}),
                },
                "spec": {
                    "scaleTargetRef": {"name": NAME},
                    "minReplicaCount": 0,
                    "maxReplicaCount": 2,
                    "triggers": [{"type": "redis", "metadata": {"listName": demand_key(ID)}}],
                },
            },
        )
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "ScaledObjectReady" if ready else "ScaledObjectCheckFailed",
        }
        self.patch(f"{path}/{NAME}/status", {"status": {"conditions": [condition]}})

    def cordon(self, node: str, *, cordoned: bool = True) -> None:
        self.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": cordoned}})


def prepared(postgres: Postgres) -> str:
    """A migrated database of ``OWNER``; its name."""
    if not postgres.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"):  # noqa: S608
        postgres.create_role(OWNER, PASSWORD)
    name = postgres.create_database(f"endpoints_{secrets.token_hex(3)}", owner=OWNER)
    migrate(postgres, name, owner=OWNER)
    return name


@contextmanager
def emptied(
    plane: ControlPlane, kwok: Kwok, postgres: Postgres, redis: Redis, database: str
) -> Iterator[World]:
    """A world with a namespace of its own, Secrets of a database that answers and of one that does not, no record."""
    namespace = plane.create_namespace("endpoints")
    here = World(
        plane=plane, kwok=kwok, postgres=postgres, redis=redis, database=database, namespace=namespace
    )
    postgres.execute("TRUNCATE hosted_model_inference.endpoints", db=database)
    url = postgres.url(OWNER, PASSWORD, database)
    dead = f"postgresql://u:{PASSWORD}@127.0.0.1:1/x"
    for name, text in ((DATABASE_SECRET, url), ("dead", dead)):
        here.post(here.path("secrets"), {"metadata": {"name": name}, "stringData": {"database_url": text}})
    try:
        yield here
    finally:
        for undo in reversed(here.clean):
            with suppress(ApiError):
                undo()
        plane.delete_namespace(namespace)
