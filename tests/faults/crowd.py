"""Many sound resources: whatever the operator runs short of, no verdict says of them what is not so."""

import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.healthchecks import PROBE_NOW, Cluster, is_current
from testbed.healthchecks import manifest as manifest_of
from testbed.installation import DATABASE_SECRET, Tree, aws_values, overlaid
from testbed.modelengine import migrate
from testbed.operatorprocess import Operator
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.process import Ensemble
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.registry import ImageStore, Registry
from testbed.waiting import eventually

PATIENCE: Final = 600.0
"""Seconds until a crowd is given up; what is measured is never compared with it."""
_FIRST: Final = "r000"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Of a check."""

    status: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What became of a crowd: what is other than in calm, by check, as often as it is.

    ``wrong`` has verdicts, ``false`` failures of what did not fail in calm, ``own`` reasons of what was not evaluated.
    """

    resources: int
    seconds: float
    wrong: Mapping[str, int]
    false: Mapping[str, int]
    own: Mapping[str, int]
    resident: int


class Crowd(Ensemble):
    """The servers of sound resources of which every check runs. Starts on entering."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__()
        self.plane = plane

    def _start(self) -> None:
        authority = CertificateAuthority()
        storage = Path(self.enter_context(tempfile.TemporaryDirectory()))
        with ThreadPoolExecutor() as pool:
            postgres = pool.submit(self.enter_context, Postgres(max_connections=1000))
            redis = pool.submit(self.enter_context, Redis())
            prometheus = pool.submit(self.enter_context, Prometheus())
            aws = pool.submit(self.enter_context, Aws())
            registry = pool.submit(
                self.enter_context, Registry(storage=storage, certificate=authority.issue())
            )
        self._database(postgres.result())
        with Registry(storage=storage) as open_registry:
            ImageStore(open_registry).push("vllm", "0.6.3")
        launch = {"cache_redis_aws_url": redis.result().url(), "vllm_repository": "vllm"}
        infra = {
            "docker_registry_type": "onprem",
            "docker_repo_prefix": registry.result().address,
            "prometheus_server_address": prometheus.result().url(),
        }
        self.values = overlaid(
            aws_values(**launch),
            {"config": {"values": {"infra": infra}}, "inferenceFramework": {"vllm": "0.6.3"}},
        )
        self.environment = {**aws.result().client_environment(), "SSL_CERT_FILE": str(authority.ca_file)}

    @contextmanager
    def operated(self) -> Iterator[Operator]:
        """An operator for all namespaces, on one CPU."""
        with Operator(self.plane, environment=self.environment) as operator:
            words = ["taskset", "-a", "-p", "-c", "0", str(operator.pid)]
            subprocess.run(words, check=True, capture_output=True)
            yield operator

    def _database(self, postgres: Postgres) -> None:
        postgres.create_role("modelengine", "password")
        postgres.create_database("sound", owner="modelengine")
        migrate(postgres, "sound", revision="head")
        self._secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": DATABASE_SECRET},
            "stringData": {"database_url": postgres.url("modelengine", "password", "sound")},
        }

    def gather(
        self, operator: Operator, count: int, *, before: Callable[[], None] = lambda: None, **spec: Any
    ) -> Counted:
        """Judge one resource in calm, then, after ``before``, ``count`` at once, and those all again."""
        namespace = self.plane.create_namespace()
        cluster = Cluster(self.plane, namespace)
        try:
            self.plane.apply([self._secret], namespace=namespace)
            self._create(cluster, _FIRST, spec)
            eventually(lambda: _judged(cluster.get(_FIRST)), bool, PATIENCE)
            calm = _verdicts(cluster.get(_FIRST))
            before()
            began = time.monotonic()
            for number in range(1, count):
                self._create(cluster, f"r{number:03}", spec)
            found = self._all(cluster, count, _judged)
            asked = {"metadata": {"annotations": {PROBE_NOW: "again"}}}
            for resource in found:
                cluster.patch(asked, resource["metadata"]["name"])
            again = self._all(
                cluster, count, lambda each: each["status"].get("lastHandledProbeNow") == "again"
            )
            seen = [each for resource in (*found, *again) for each in resource["status"]["checks"]]
            return Counted(
                resources=count,
                seconds=time.monotonic() - began,
                wrong=Counter(
                    f"{each['name']}: {each['status']} {each['reason']}"
                    for each in seen
                    if (each["status"], each["reason"])
                    != (calm[each["name"]].status, calm[each["name"]].reason)
                ),
                false=Counter(
                    f"{each['name']}: {each['reason']}"
                    for each in seen
                    if each["status"] == "Fail" and calm[each["name"]].status != "Fail"
                ),
                own=Counter(reason for each in seen for reason in _reasons(each, "Error")),
                resident=operator.resident(),
            )
        finally:
            self.plane.delete_namespace(namespace)

    def _create(self, cluster: Cluster, name: str, spec: Tree) -> None:
        self.plane.api("POST", cluster.path, manifest_of({"values": self.values, **spec}, name))

    def _all(self, cluster: Cluster, count: int, accept: Any) -> list[Tree]:
        def ask() -> list[Tree]:
            time.sleep(1)
            found: list[Tree] = self.plane.api("GET", cluster.path)["items"]
            return found

        return eventually(ask, lambda found: len(found) == count and all(map(accept, found)), PATIENCE)


def _judged(resource: Tree) -> bool:
    """Whether there is a verdict that no confirmation is awaited for."""
    return is_current(resource) and all(
        not each.get("failures") or each["status"] not in ("Pass", "Warn")
        for each in resource["status"]["checks"]
    )


def _verdicts(resource: Tree) -> dict[str, Verdict]:
    return {
        each["name"]: Verdict(status=each["status"], reason=each["reason"])
        for each in resource["status"]["checks"]
    }


def _reasons(check: Tree, status: str) -> set[str]:
    found = {each["reason"] for each in check.get("findings", ()) if each["status"] == status}
    return found | ({check["reason"]} if check["status"] == status else set())
