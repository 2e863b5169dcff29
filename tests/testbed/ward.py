"""Endpoints on a real node, as a user makes them, and what mehc says of each."""

import contextlib
import io
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Self

import yaml

from mehc_checks.modelengine.scaling import resource_name
from mehc_operator.cli import main
from testbed import realregistries
from testbed.endpoints import OWNER, PASSWORD, prepared
from testbed.installation import DATABASE_SECRET, Tree, aws_values
from testbed.node import Node
from testbed.node.archives import BUSYBOX_IMAGE
from testbed.postgres import Postgres
from testbed.process import temporary_directory
from testbed.realstates import WAITS, State, runs, states
from testbed.registry import PASSWORD as PULL
from testbed.registry import USER

PATIENCE = 900.0
"""Seconds until a kubelet has come as far as the state that is meant, on a slow machine."""


class Ward(ExitStack):
    """A namespace of endpoints; gone when the stack is left."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node, self.plane = node, node.control_plane

    def __enter__(self) -> Self:
        super().__enter__()
        self.namespace = self.plane.create_namespace("endpoints")
        self.callback(self.plane.delete_namespace, self.namespace)
        self._values = temporary_directory("ward") / "values.yaml"
        self._values.write_text(yaml.safe_dump(aws_values(endpoint_namespace=self.namespace)))
        return self

    def furnish(self, hosts: Iterable[str]) -> None:
        """The objects that states refer to; pull secrets "good" and "bad" for the registries ``hosts``."""
        self.plane.apply(
            [
                _object("Secret", "present", stringData={"k": "v"}),
                _object("ConfigMap", "present", data={"k": "v"}),
                {**_object("RuntimeClass", "nvidia", handler="nvidia"), "apiVersion": "node.k8s.io/v1"},
                *(_pull_secret(name, hosts, word) for name, word in (("good", PULL), ("bad", "wrong"))),
            ],
            namespace=self.namespace,
        )

    def record(self, postgres: Postgres, names: Iterable[str]) -> None:
        """The platform has made these endpoints, an hour ago."""
        database = prepared(postgres)
        url = {"database_url": postgres.url(OWNER, PASSWORD, database)}
        self.plane.apply(_object("Secret", DATABASE_SECRET, stringData=url), namespace=self.namespace)
        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        table = "hosted_model_inference.endpoints"
        for name in names:
            columns = {
                "id": _id(name),
                "name": name,
                "endpoint_type": "streaming",
                "endpoint_status": "READY",
                "status_reason": "",
                "creation_task_id": "t",
                "created_at": then,
                "last_updated_at": then,
            }
            postgres.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, '{json.dumps(columns)}')",  # noqa: S608
                db=database,
            )

    def make(self, name: str, state: State) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        self.plane.api("POST", path, _deployment(name, state))

    def remove(self, name: str) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{resource_name(_id(name))}"
        self.plane.api("DELETE", path)

    def pods(self, name: str) -> list[Tree]:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=endpoint_name%3D{name}"
        found: list[Tree] = self.plane.api("GET", path)["items"]
        return found

    def explain(self, name: str = "") -> dict[str, Tree]:
        """The endpoints that are not ready, or the one, as `mehc explain` has them."""
        asked = [_id(name)] if name else []
        document = json.loads(self.mehc("explain", "--grace-period", "1s", "-o", "json", *asked))
        return {endpoint["name"]: endpoint for endpoint in document["endpoints"]}

    def mehc(self, command: str, *words: str) -> str:
        """What the command prints."""
        where = ["-f", str(self._values), "--kubeconfig", str(self.plane.kubeconfig), "-n", self.namespace]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            main([command, *words, "--timeout", "10m", *where])
        return out.getvalue()

    def until(self, name: str, cause: str) -> Tree:
        """The endpoint as soon as it has ``cause``; as it is at last where it never has."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.explain(name)[name]
            if (found.get("cause") or "") == cause or time.monotonic() > deadline:
                return found
            time.sleep(0.5)


@contextlib.contextmanager
def staged(node: Node, postgres: Postgres) -> Iterator[Ward]:
    """Every state of ``realstates``, asked of ``node``."""
    with Ward(node) as ward:
        hosts = realregistries.serve(node, ward)
        found = states(hosts)
        ward.furnish((hosts["basic"], hosts["token"]))
        ward.record(postgres, found)
        for name, state in found.items():
            ward.make(name, state)
        yield ward


def _object(kind: str, name: str, **content: Any) -> Tree:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}


def _pull_secret(name: str, hosts: Iterable[str], word: str) -> Tree:
    auths = {"auths": {host: {"username": USER, "password": word} for host in hosts}}
    content = {".dockerconfigjson": json.dumps(auths)}
    return _object("Secret", name, type="kubernetes.io/dockerconfigjson", stringData=content)


def _id(name: str) -> str:
    return f"end_{name.replace('-', '_')}"


def _deployment(name: str, state: State) -> Tree:
    base = {"image": BUSYBOX_IMAGE, **runs(WAITS)}
    containers = [
        {"name": "http-forwarder", **base, **state.forwarder},
        {"name": "main", **base, **state.main},
    ]
    workload = resource_name(_id(name))
    labels = {"app": workload, "endpoint_id": _id(name), "endpoint_name": name}
    init = [{"name": "fetch", "image": BUSYBOX_IMAGE, **state.init}] if state.init else []
    pod = {"terminationGracePeriodSeconds": 1, "initContainers": init, "containers": containers, **state.pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload, "labels": labels},
        "spec": {
            "replicas": state.replicas,
            "selector": {"matchLabels": {"app": workload}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
