"""The operator as a process, on a real API server, with real dependencies."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mehc_checks.engine.check import catalogue
from testbed.controlplane import ApiError, ControlPlane
from testbed.endpoints import ID, NAME, TITLE, World
from testbed.healthchecks import PROBE_NOW, Cluster, manifest, wait, with_redis
from testbed.installation import DATABASE_SECRET, Installation, aws_values, only
from testbed.kwok import MESSAGE_ANNOTATION, Kwok
from testbed.modelengine import migrate
from testbed.operatorprocess import Operator
from testbed.postgres import Postgres
from testbed.redis import Redis

PLANTED = "planted-Pa55word-9f3c"

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Of this module alone: its tests stop and pause it."""
    with Redis() as server:
        yield server


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, operator: Operator, redis: Redis) -> Cluster:
    redis.start()
    return Cluster(control_plane, namespace)


def test_a_healthy_resource_becomes_ready(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    cluster.kubectl("wait", "--for=condition=Ready", "mehc/model-engine", "--timeout=10s")
    resource = cluster.get()
    status = resource["status"]
    assert (status["health"], status["passing"]) == ("Healthy", "1/1")
    assert {check["name"]: check["status"] for check in status["checks"]}["DatabaseMigrated"] == "Skip"
    assert cluster.condition("RedisReachable")["status"] == "True"
    assert not cluster.condition("DatabaseMigrated")
    assert not resource["metadata"].get("finalizers")
    annotations = resource["metadata"].get("annotations", {})
    assert set(annotations) <= {"kubectl.kubernetes.io/last-applied-configuration"}


def test_a_database_two_revisions_behind_says_so_until_it_is_migrated(
    cluster: Cluster, operator: Operator, postgres: Postgres
) -> None:
    database = cluster.namespace.replace("-", "_")
    postgres.create_role(database, PLANTED)
    postgres.create_database(database, owner=database)
    migrate(postgres, database, revision="62da4f8b3403", owner=database)
    Installation(
        namespace=cluster.namespace,
        values=aws_values(),
        secrets={DATABASE_SECRET: {"database_url": postgres.url(database, PLANTED, database)}},
        spec={"checks": {name: {"enabled": False} for name in catalogue() if name != "DatabaseMigrated"}},
    ).apply(cluster.plane)
    status = cluster.probed()["status"]
    assert (status["health"], cluster.condition("Ready")["status"]) == ("Failing", "False")
    assert status["rootCauses"][0]["check"] == "DatabaseMigrated"
    assert status["rootCauses"][0]["remediation"]
    migrate(postgres, database, owner=database)
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "migrated"}}})
    cluster.kubectl("wait", "--for=condition=DatabaseMigrated", "mehc/model-engine", "--timeout=10s")
    assert PLANTED not in json.dumps([cluster.get(), cluster.events(), operator.get("/metrics")])


def test_columns(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis))
    cluster.probed()
    header, row = cluster.kubectl("get", "mehc").replace("LAST PROBE", "LAST-PROBE").splitlines()
    assert header.split() == ["NAME", "HEALTH", "PASSING", "CAUSE", "LAST-PROBE", "AGE"]
    assert row.split()[:3] == ["model-engine", "Healthy", "1/1"]
    wide = cluster.kubectl("get", "mehc", "-o", "wide").splitlines()
    assert wide[0].split()[-3:] == ["RELEASE", "STUCK", "MESSAGE"]
    assert wide[1].endswith("the only check that applies passes")
    redis.stop()
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
    wait(lambda: cluster.get()["status"]["health"] == "Failing")
    row = cluster.kubectl("get", "mehc").splitlines()[1]
    assert row.split()[:4] == ["model-engine", "Failing", "0/1", "RedisReachable/ConnectionRefused"]
    said = cluster.kubectl("get", "mehc", "-o", "wide").splitlines()[1].partition("RedisReachable: ")[2]
    assert 0 < len(said) <= 120
    assert "model-engine" in cluster.kubectl("get", "modelengine")


def test_explain_describes_every_field(cluster: Cluster) -> None:
    group = ("api-resources", "--api-group=health.modelengine.io")
    wait(lambda: "mehc" in cluster.kubectl(*group))  # the API server's discovery comes after the CRD
    text = cluster.kubectl("explain", "mehc.spec", "--recursive")
    for field in ("confirmations", "ignoreRules", "secretKeyRef", "interval", "severity", "parameters"):
        assert f"{field}\t<" in text
    assert "<no description>" not in cluster.kubectl("explain", "mehc.spec")
    assert "shorter than the interval" in cluster.kubectl("explain", "mehc.spec.timeout")
    assert "<no description>" not in cluster.kubectl("explain", "mehc.status")


REFUSED: list[tuple[Tree, str]] = [
    ({"interval": 5}, "spec.interval"),
    ({"interval": "soon"}, "spec.interval: Invalid value: .*must be a duration such as 30s"),
    ({"interval": "99999999999999h"}, "spec.interval"),
    ({"interval": "1s", "timeout": "100ms"}, "spec.interval: .*at least 5s"),
    ({"timeout": "60s", "interval": "1m"}, r"spec.timeout \(60s\) must be shorter than spec.interval \(1m\)"),
    ({"timeout": "1h", "interval": "2h"}, "spec.timeout: .*at most 2m"),
    ({"timeout": "0s"}, "spec.timeout: .*at least 10ms"),
    ({"confirmations": 0}, "spec.confirmations"),
    ({"suspend": "yes please"}, "spec.suspend"),
    ({"values": []}, "spec.values"),
    ({"intervall": "5m"}, "spec.intervall"),
    ({"release": {"name": "No Such"}}, "spec.release.name"),
    ({"valuesFrom": [{}]}, r"spec.valuesFrom\[0\].*exactly one of secretKeyRef and configMapKeyRef"),
    ({"valuesFrom": [{"secretKeyRef": {"name": "a"}}]}, r"spec.valuesFrom\[0\].secretKeyRef.key"),
    (
        {"valuesFrom": [{"secretKeyRef": {"name": "a", "key": "b", "namespace": "c"}}]},
        r"spec.valuesFrom\[0\].secretKeyRef.namespace",
    ),
    ({"ignoreRules": [{"id": "rule one", "reason": "none"}]}, r"spec.ignoreRules\[0\].id"),
    ({"ignoreRules": [{"id": "S6-01"}]}, r"spec.ignoreRules\[0\].reason"),
    ({"checks": {"RedisReachabel": {}}}, "spec.checks: .*unknown check; there are: .*RedisReachable"),
    ({"checks": {"RedisReachable": {"severity": "urgent"}}}, "spec.checks.RedisReachable.severity"),
    ({"checks": {"RedisReachable": {"timeout": "never"}}}, "spec.checks.*timeout"),
    (
        {"checks": {"RedisReachable": {"timeout": "2m", "interval": "1m"}}},
        "spec.checks.*RedisReachable: its timeout must be shorter than its interval",
    ),
    (
        {"checks": {"RedisReachable": {"timeout": "20s", "interval": "10s"}}},
        "spec.checks.*RedisReachable: its timeout must be shorter than its interval",
    ),
    ({"checks": {"RedisReachable": {"parameters": {"unheardOf": 1}}}}, "parameters.unheardOf"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=[json.dumps(spec) for spec, _ in REFUSED])
def test_bad_specs_are_refused_with_the_field_named(cluster: Cluster, spec: Tree, message: str) -> None:
    with pytest.raises(ApiError, match=f"(?s){message}"):
        cluster.plane.api("POST", f"{cluster.path}?fieldValidation=Strict", manifest(spec))


def test_a_fault_flips_within_seconds_and_recovers(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis, interval="5s"))
    cluster.kubectl("wait", "--for=condition=Ready", "mehc/model-engine", "--timeout=10s")
    before = cluster.condition("RedisReachable")
    redis.stop()
    wait(lambda: cluster.condition("RedisReachable")["status"] == "False")
    status = cluster.get()["status"]
    assert status["health"] == "Failing"
    assert [cause["check"] for cause in status["rootCauses"]] == ["RedisReachable"]
    assert status["rootCauses"][0]["remediation"]
    assert cluster.condition("RedisReachable")["lastTransitionTime"] > before["lastTransitionTime"]
    redis.start()
    wait(lambda: cluster.condition("Ready")["status"] == "True")
    assert cluster.get()["status"].get("rootCauses", []) == []
    assert announced(cluster, 4) == [
        ("Normal", "Ready is True", 2),
        ("Normal", "RedisReachable is True", 1),
        ("Warning", "Ready is False", 1),
        ("Warning", "RedisReachable is False", 1),
    ]
    redis.stop()
    wait(lambda: cluster.condition("Ready")["status"] == "False")
    redis.start()
    wait(lambda: cluster.condition("Ready")["status"] == "True")
    wait(lambda: {count for *_, count in announced(cluster, 4)} == {2, 3})
    assert announced(cluster, 4)[0] == ("Normal", "Ready is True", 3)
    (warning,) = [e for e in cluster.events() if e["message"].startswith("RedisReachable is False: ")]
    assert warning["series"]["count"] == 2
    assert warning["lastTimestamp"] > warning["firstTimestamp"]
    assert ". Fix: " in warning["message"]
    assert "(x2 over" in cluster.kubectl("describe", "mehc", "model-engine")


def announced(cluster: Cluster, count: int) -> list[tuple[str, str, int]]:
    """The Events, once there are ``count``: type, what turned, how often."""
    wait(lambda: len(cluster.events()) == count)
    return sorted((e["type"], e["message"].partition(":")[0], e["count"]) for e in cluster.events())


def test_a_changed_node_is_news_at_once(cluster: Cluster, kwok: Kwok) -> None:
    accelerator, name = "nvidia-hopper-h100", f"gpu-{cluster.namespace}"
    tier = {
        "gpu_memory_le": 24,
        "nodes_per_worker": 1,
        "gpus": 1,
        "gpu_type": accelerator,
        "cpus": 1,
        "memory": "1Gi",
        "storage": "1Gi",
    }
    values = {"nodeSelector": None, "recommendedHardware": {"byGpuMemoryGb": [tier], "byModelName": []}}
    label = {"k8s.amazonaws.com/accelerator": accelerator}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    kwok.add_node(name, labels=label, capacity={"nvidia.com/gpu": "1"}, taints=[taint])
    try:
        cluster.apply({"values": values, "interval": "1h", **only("GpuNodesReady")})
        cluster.kubectl("wait", "--for=condition=Ready", "mehc/model-engine", "--timeout=10s")
        cluster.kubectl("label", "node", name, "k8s.amazonaws.com/accelerator-")
        wait(lambda: cluster.condition("Ready")["status"] == "False")
        assert "GpuNodesReady" in cluster.get()["status"]["summary"]
        cluster.kubectl("label", "node", name, f"k8s.amazonaws.com/accelerator={accelerator}")
        wait(lambda: cluster.condition("Ready")["status"] == "True")
    finally:
        kwok.delete_node(name)


def test_a_failure_is_confirmed_before_the_condition_leaves_true(cluster: Cluster, redis: Redis) -> None:
    cluster.apply(with_redis(redis, confirmations=3))
    cluster.probed()
    redis.stop()
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
    checks = lambda: {c["name"]: c for c in cluster.get()["status"]["checks"]}  # noqa: E731
    wait(lambda: checks()["RedisReachable"].get("failures") == 1)
    assert checks()["RedisReachable"]["status"] == "Pass"
    assert cluster.condition("Ready")["status"] == "True"
    took = wait(lambda: cluster.condition("Ready")["status"] == "False")
    assert took > 2
    assert checks()["RedisReachable"]["failures"] == 3


def test_probe_now_finds_the_recovery_at_once(cluster: Cluster, redis: Redis) -> None:
    redis.stop()
    cluster.apply(with_redis(redis))
    assert cluster.probed()["status"]["health"] == "Failing"
    redis.start()
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
    wait(lambda: cluster.get()["status"]["health"] == "Healthy")


def test_an_unchanged_probe_run_writes_nothing(cluster: Cluster, redis: Redis, operator: Operator) -> None:
    cluster.apply(with_redis(redis, interval="5s"))
    version = cluster.probed()["metadata"]["resourceVersion"]
    runs = lambda: [  # noqa: E731
        line for line in operator.log_lines() if line.get("namespace") == cluster.namespace
    ]
    wait(lambda: len(runs()) >= 3)
    assert cluster.get()["metadata"]["resourceVersion"] == version
    assert len(cluster.events()) == 1


def test_suspend_stops_and_resume_starts(cluster: Cluster, redis: Redis, operator: Operator) -> None:
    cluster.apply(with_redis(redis, suspend=True))
    suspended = cluster.probed()["status"]
    assert suspended["health"] == "Suspended"
    assert cluster.condition("Ready")["reason"] == "Suspended"
    cluster.patch({"spec": {"suspend": False}})
    wait(lambda: cluster.get()["status"]["health"] == "Healthy")
    cluster.patch({"spec": {"suspend": True}})
    wait(lambda: cluster.get()["status"]["health"] == "Suspended")
    assert cluster.condition("RedisReachable")["status"] == "True"


def test_two_resources_share_a_namespace(cluster: Cluster, redis: Redis) -> None:
    with Redis() as other:
        cluster.apply(with_redis(redis), "first")
        cluster.apply(with_redis(other), "second")
        assert cluster.probed("first")["status"]["health"] == "Healthy"
        assert cluster.probed("second")["status"]["health"] == "Healthy"
        other.stop()
        for name in ("first", "second"):
            cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}}, name)
        wait(lambda: cluster.get("second")["status"]["health"] == "Failing")
        assert cluster.get("first")["status"]["health"] == "Healthy"


@contextmanager
def paused(server: Redis) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


def test_deletion_in_the_middle_of_a_probe_run(cluster: Cluster, redis: Redis, operator: Operator) -> None:
    with paused(redis):
        cluster.apply(with_redis(redis, timeout="30s"))
        time.sleep(0.5)  # the probe is under way, on a server that does not answer
        cluster.kubectl(
            "delete", "mehc", "model-engine", "--timeout=15s"
        )  # of the 30 that the probe run may take
        cluster.apply(with_redis(redis, suspend=True))
        resource = cluster.probed()
        assert resource["status"]["health"] == "Suspended"
    time.sleep(0.5)
    assert cluster.get()["status"] == resource["status"]
    assert not cluster.events()
    own = [line for line in operator.log_lines() if line["logger"].startswith("mehc")]
    assert not [line for line in own if line["level"] == "error"]


def test_what_only_shows_at_run_time_is_a_clear_condition(cluster: Cluster) -> None:
    reference = {"secretKeyRef": {"name": "overrides", "key": "values.yaml"}}
    cluster.apply({"valuesFrom": [reference]})
    cluster.probed()
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "ValuesInvalid")
    assert "spec.valuesFrom[0]: Secret overrides does not exist" in ready["message"]
    cluster.plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "overrides", "namespace": cluster.namespace},
            "stringData": {"values.yaml": f"a: [{PLANTED}"},
        }
    )
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
    wait(lambda: "not YAML" in cluster.condition("Ready")["message"])
    assert PLANTED not in json.dumps(cluster.get())


def test_a_restart_moves_nothing_and_announces_nothing(
    cluster: Cluster, redis: Redis, operator: Operator
) -> None:
    def everything() -> list[Tree]:
        return [cluster.get(name) for name in ("sound", "broken")]

    def events() -> list[str]:
        return sorted(e["metadata"]["name"] for name in ("sound", "broken") for e in cluster.events(name))

    with Redis() as broken:
        broken.stop()
        cluster.apply(with_redis(redis), "sound")
        cluster.apply(with_redis(broken), "broken")
        cluster.probed("sound")
        cluster.probed("broken")
        wait(lambda: len(events()) == 3)
        before = everything(), events()
        operator.restart()
        own = {"namespace": cluster.namespace, "trigger": "seen"}
        wait(lambda: sum(own.items() <= line.items() for line in operator.log_lines()) == 4)
        time.sleep(0.3)
        assert (everything(), events()) == before


def test_it_stops_at_once_even_in_the_middle_of_a_probe_run(
    cluster: Cluster, redis: Redis, operator: Operator
) -> None:
    with paused(redis):
        cluster.apply(with_redis(redis, timeout="30s"))
        time.sleep(0.5)
        began = time.monotonic()
        operator.stop()
        took = time.monotonic() - began
    operator.start()
    assert took < 20  # of the 30 that the probe run may take
    assert "Traceback" not in operator.log_text()
    assert cluster.probed()["status"]["health"] == "Healthy"


def test_a_namespaced_operator_leaves_other_namespaces_alone(
    control_plane: ControlPlane, redis: Redis
) -> None:
    redis.start()
    mine, other = (Cluster(control_plane, control_plane.create_namespace()) for _ in range(2))
    with Operator(control_plane, namespaces=[mine.namespace]) as running:
        other.apply(with_redis(redis))
        mine.apply(with_redis(redis))
        mine.probed()
        assert "watching 1 resource" in running.get("/readyz")[1]


def test_no_secret_leaves(cluster: Cluster, redis: Redis, operator: Operator) -> None:
    values = json.dumps(aws_values(cache_redis_aws_url=f"redis://app:{PLANTED}@127.0.0.1:{redis.port}/15"))
    cluster.plane.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "overrides", "namespace": cluster.namespace},
            "stringData": {"values.yaml": values},
        }
    )
    reference = {"secretKeyRef": {"name": "overrides", "key": "values.yaml"}}
    cluster.apply(with_redis(redis, valuesFrom=[reference], values={}))
    cluster.probed()
    wait(cluster.events)
    everything = json.dumps([cluster.get(), cluster.events(), operator.get("/metrics")]) + operator.log_text()
    assert PLANTED not in everything


def test_it_outlives_an_api_server_that_is_away(redis: Redis) -> None:
    redis.start()
    with ControlPlane() as plane, Operator(plane) as mine:
        cluster = Cluster(plane, plane.create_namespace())
        cluster.apply(with_redis(redis, interval="5s"))
        cluster.probed()
        plane.apiserver.stop()
        assert mine.get("/healthz")[0] == 200
        assert mine.get("/readyz")[0] == 503
        redis.stop()
        time.sleep(8)  # the condition must turn, and cannot be written
        metrics = mine.get("/metrics")[1]
        assert 'code="error"' in metrics
        assert 'mehc_status_writes_total{result="retried"} 0.0' not in metrics
        plane.apiserver.start()
        wait(lambda: cluster.condition("Ready")["status"] == "False")
        wait(lambda: mine.get("/readyz")[0] == 200)
        redis.start()
        cluster.patch({"metadata": {"annotations": {PROBE_NOW: "1"}}})
        wait(lambda: cluster.condition("Ready")["status"] == "True")


def test_stuck_endpoints_are_in_the_status_and_counted_in_the_table(
    cluster: Cluster, operator: Operator, kwok: Kwok, postgres: Postgres, redis: Redis
) -> None:
    world = World(
        plane=cluster.plane,
        kwok=kwok,
        postgres=postgres,
        redis=redis,
        database="",
        namespace=cluster.namespace,
    )
    said = f"unauthorized: authentication required, password={PLANTED}"
    world.deployment(stage="err-image-pull", notes={MESSAGE_ANNOTATION: said})
    world.staged()
    parameters = {"gracePeriod": "0s", "loadingGracePeriod": "0s", "readRecord": False}
    spec = only("EndpointsReady")
    spec["checks"]["EndpointsReady"] = {"parameters": parameters}
    cluster.apply({"values": aws_values(), "interval": "1h", "timeout": "5s", **spec})
    status = cluster.probed()["status"]
    assert cluster.condition("EndpointsReady")["reason"] == "ImageAccessDenied"
    (endpoint,) = status["endpoints"]
    assert (endpoint["endpointId"], endpoint["name"], endpoint["kind"]) == (ID, TITLE, "sync")
    assert (endpoint["ready"], endpoint["desired"], endpoint["cause"]) == (0, 1, "ImageAccessDenied")
    assert endpoint["remediation"]
    assert status["stuckEndpoints"] == 1
    assert PLANTED not in json.dumps([status, operator.get("/metrics")])
    header, row = cluster.kubectl("get", "mehc", "-o", "wide").splitlines()
    assert row[header.index("STUCK") :].split()[0] == "1"

    cluster.plane.api("DELETE", world.path("deployments", NAME, group="apps"))
    wait(lambda: not world.pods())
    cluster.kubectl("annotate", "mehc", "model-engine", f"{PROBE_NOW}=now")
    wait(lambda: cluster.get()["status"].get("stuckEndpoints") == 0)
    assert not cluster.get()["status"].get("endpoints")
    assert cluster.condition("EndpointsReady")["status"] == "True"
