"""The one reader, on a real API server: long lists are read whole or said to be cut, and nothing is read twice."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import LARGEST_ANSWER, KubernetesCluster
from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Reader, Reading, items, pages
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons, incomplete
from mehc_checks.core.errors import Forbidden
from mehc_checks.core.outcome import Status
from mehc_checks.installation.context import Context
from mehc_checks.installation.keda import keda_facts
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed import keda
from testbed.controlplane import ControlPlane
from testbed.judging import judged
from testbed.sound import AWS

MANY = 1200


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API server of our own, with KEDA's resources and no controllers: thousands of objects disturb nobody."""
    own = ControlPlane()
    with contextlib.closing(own):
        own.etcd.start()
        own.apiserver.start()
        keda.install(own)
        yield own


@pytest.fixture(scope="module")
async def cluster(plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


@pytest.fixture(scope="module")
def where(plane: ControlPlane) -> str:
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "crowded"}})
    return "crowded"


async def fill(cluster: KubernetesCluster, path: str, manifests: list[dict[str, Any]]) -> None:
    """Create all objects, sixteen at a time."""
    slots = asyncio.Semaphore(16)

    async def one(manifest: dict[str, Any]) -> None:
        async with slots:
            status, answer = await cluster.request("POST", path, body=manifest)
            assert status == 201, answer

    await asyncio.gather(*map(one, manifests))


def config_maps(count: int) -> list[dict[str, Any]]:
    return [{"metadata": {"name": f"m-{number}"}} for number in range(count)]


def context(cluster: KubernetesCluster, namespace: str) -> Context:
    return Context(
        values=Values.merged([Layer(source="spec.values", values={})]), cluster=cluster, namespace=namespace
    )


async def test_1200_scaled_objects_with_their_autoscalers_and_events_are_all_read(
    plane: ControlPlane, cluster: KubernetesCluster, where: str
) -> None:
    names = [f"launch-endpoint-id-end-{number:04}" for number in range(MANY)]
    scaled_path = object_path("scaledobjects", where, group="keda.sh", version="v1alpha1")
    trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
    await fill(
        cluster,
        scaled_path,
        [
            {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "metadata": {"name": name},
                "spec": {"scaleTargetRef": {"name": name}, "triggers": [trigger]},
            }
            for name in names
        ],
    )
    plane.api(
        "PATCH",
        f"{scaled_path}/{names[-1]}/status",
        {
            "status": {
                "conditions": [{"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed"}]
            }
        },
        content_type="application/merge-patch+json",
    )
    await fill(
        cluster,
        object_path("horizontalpodautoscalers", where, group="autoscaling", version="v2"),
        [
            {"metadata": {"name": name}, "spec": {"scaleTargetRef": _deployment(name), "maxReplicas": 2}}
            for name in names[:600]
        ],
    )
    await fill(
        cluster,
        object_path("events", where),
        [
            {
                "metadata": {"name": name},
                "involvedObject": {"kind": "ScaledObject", "namespace": where, "name": name},
                "type": "Warning",
                "reason": "KEDAScalerFailed",
                "lastTimestamp": "2999-01-01T00:00:00Z",
            }
            for name in names[:600]
        ],
    )
    facts = await keda_facts(context(cluster, where))
    assert isinstance(facts.scaled_objects, tuple)
    assert len(facts.scaled_objects) == MANY
    assert [item.name for item in facts.scaled_objects if item.ready == "False"] == [names[-1]]
    assert len(facts.failing) == 600
    assert len(facts.custom.autoscalers) == 600
    assert facts.unseen == ()


def _deployment(name: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


async def test_a_failed_migration_behind_600_other_jobs_is_found(
    plane: ControlPlane, cluster: KubernetesCluster
) -> None:
    namespace = "jobs"
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = object_path("jobs", namespace, group="batch")
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main"}]}
    migration = "model-engine-database-migration-3"
    names = [*(f"a-{number}" for number in range(600)), migration]
    await fill(
        cluster,
        path,
        [{"metadata": {"name": name}, "spec": {"template": {"spec": pod}}} for name in names],
    )
    began = "2026-01-01T00:00:00Z"
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "lastTransitionTime": began,
    }
    before = {**condition, "type": "FailureTarget"}
    plane.api(
        "PATCH",
        f"{path}/{migration}/status",
        {"status": {"startTime": began, "failed": 1, "conditions": [before, condition]}},
        content_type="application/merge-patch+json",
    )
    result = await judged("ControlPlaneReady", AWS, cluster=cluster, namespace=namespace, seconds=20)
    assert any(migration in found.message for found in result.findings), result.findings


async def test_a_list_beyond_the_bound_is_cut_and_says_so(
    plane: ControlPlane, cluster: KubernetesCluster
) -> None:
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "cut"}})
    path = object_path("configmaps", "cut")
    await fill(cluster, path, config_maps(7))
    read = Reading(Reader(cluster, page=2, most=5))
    assert len(await read.all(path)) == 6  # whole pages
    finding = incomplete(read.unseen[0])
    assert finding.reason is KubernetesReasons.INCOMPLETE_DATA
    assert finding.status is Status.ERROR
    assert finding.message == "only 6 of 7 configmaps in namespace cut were read"
    assert len(await Reading(Reader(cluster, page=3)).all(path)) == 7


async def test_large_objects_are_read_in_small_pages(plane: ControlPlane, cluster: KubernetesCluster) -> None:
    """A page of 500 objects may have 750 MB."""
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "large"}})
    path = "/api/v1/namespaces/large/configmaps"
    marks = {"annotations": {"a": "x" * 250_000}}
    data = {"k": "x" * 500_000}
    await fill(cluster, path, [{"metadata": {"name": f"c{n}", **marks}, "data": data} for n in range(72)])
    for metadata_only in (False, True):
        found: list[list[str]] = []
        async for page in pages(cluster, path, metadata_only=metadata_only):
            assert len(json.dumps(page)) < 2 * LARGEST_ANSWER
            found.append([item["metadata"]["name"] for item in items(page)])
        assert len(found) > 1
        assert sorted(name for page in found for name in page) == sorted(f"c{n}" for n in range(72))


async def test_what_is_not_served_or_forbidden_is_told_apart(
    plane: ControlPlane, cluster: KubernetesCluster
) -> None:
    read = Reading(Reader(cluster))
    assert await read.all("/apis/nothing.example.org/v1/things") == ()
    assert not (await Reader(cluster).all("/apis/nothing.example.org/v1/things")).served
    plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": "closed"}})
    config = plane.service_account_kubeconfig("closed", "nobody")
    async with connected(Access(kubeconfig=str(config))) as api:
        refused = Reading(Reader(KubernetesCluster(api)))
        jobs = object_path("jobs", "closed", group="batch")
        assert await refused.attempt(refused.all(jobs), ()) == ()
        assert await refused.attempt(refused.all(jobs), ()) == ()
        with pytest.raises(Forbidden):
            await refused.all(jobs)
    assert [str(problem) for problem in refused.unseen] == [
        "not allowed to list jobs.batch in namespace closed"
    ]
    finding = incomplete(refused.unseen[0])
    assert finding.reason is KubernetesReasons.INCOMPLETE_DATA
    assert "Grant" in finding.remediation
    assert read.unseen == ()


async def test_nothing_is_read_twice(plane: ControlPlane) -> None:
    asked = Counter[str]()
    async with connected(Access(kubeconfig=str(plane.kubeconfig))) as api:
        reader = Reader(KubernetesCluster(api, observe=lambda verb, code: asked.update([verb])))
        path = object_path("configmaps", "default")
        name = object_path("configmaps", "default", "kube-root-ca.crt")
        await asyncio.gather(*(reader.all(path) for _ in range(5)), *(reader.get(name) for _ in range(5)))
        assert asked == {"list": 1, "get": 1}
        await reader.all(path, labels="a=b")
        assert asked["list"] == 2


@pytest.mark.parametrize("name", ["..", ".", "../secrets", "a/b", "a?limit=1", "a#b", "%2e%2e", "a b", "ä"])
async def test_names_from_values_never_lead_to_another_path(cluster: KubernetesCluster, name: str) -> None:
    assert await cluster.get(object_path("configmaps", "default", name)) is None
    assert await cluster.get(object_path("configmaps", name, "kube-root-ca.crt")) is None
    assert await cluster.get(cluster_path("namespaces", name)) is None
    listing = await Reader(cluster).all(object_path("configmaps", name))
    assert listing.items == ()
