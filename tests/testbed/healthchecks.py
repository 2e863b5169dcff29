"""ModelEngineHealthChecks in a namespace, as a user of kubectl sees them."""

import time
from collections.abc import Callable
from typing import Any

from mehc_checks.engine.check import catalogue
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, aws_values
from testbed.redis import Redis
from testbed.waiting import eventually

GROUP = "health.modelengine.io"
PROBE_NOW = f"{GROUP}/probe-now"


class Cluster:
    """A namespace of the API server, as a user of kubectl sees it."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.path = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/modelenginehealthchecks"

    def kubectl(self, *words: str) -> str:
        return self.plane.kubectl("-n", self.namespace, *words)

    def apply(self, spec: Tree, name: str = "model-engine") -> None:
        self.plane.apply(manifest(spec, name), namespace=self.namespace)

    def get(self, name: str = "model-engine") -> Tree:
        found: Tree = self.plane.api("GET", f"{self.path}/{name}")
        return found

    def patch(self, body: Tree, name: str = "model-engine") -> None:
        self.plane.api("PATCH", f"{self.path}/{name}", body, content_type="application/merge-patch+json")

    def condition(self, kind: str, name: str = "model-engine") -> Tree:
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def events(self, name: str = "model-engine") -> list[Tree]:
        items = self.plane.api("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [event for event in items if event["involvedObject"]["name"] == name]

    def probed(self, name: str = "model-engine") -> Tree:
        """The resource, once its status is about its present spec."""
        wait(lambda: is_current(self.get(name)))
        return self.get(name)


def is_current(resource: Tree) -> bool:
    observed = resource.get("status", {}).get("observedGeneration")
    return bool(observed == resource["metadata"]["generation"])


def manifest(spec: Tree, name: str = "model-engine") -> Tree:
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ModelEngineHealthCheck",
        "metadata": {"name": name},
        "spec": spec,
    }


def wait(condition: Callable[[], object], timeout: float = 90) -> float:
    """Wait until ``condition`` holds; how many seconds that took. Fails after ``timeout``."""
    began = time.monotonic()
    eventually(condition, bool, timeout)
    return time.monotonic() - began


def with_redis(redis: Redis, **spec: Any) -> Tree:
    """A spec whose one check is RedisReachable, on ``redis``."""
    values = aws_values(cache_redis_aws_url=f"redis://127.0.0.1:{redis.port}/15")
    checks = {name: {"enabled": False} for name in catalogue() if name != "RedisReachable"}
    return {"values": values, "checks": checks, "interval": "1h", "timeout": "2s", **spec}
