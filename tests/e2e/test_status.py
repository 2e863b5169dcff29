"""What a status shows, and that it is written whatever else there is: the operator as a process."""

import contextlib
import time
from functools import partial
from typing import Any

import pytest

from testbed.controlplane import ApiError
from testbed.healthchecks import PROBE_NOW, Cluster, manifest, wait, with_redis
from testbed.installation import aws_values
from testbed.operatorprocess import Operator
from testbed.redis import Redis

Tree = dict[str, Any]
OBJECT_LIMIT = 1536 * 1024
"""Bytes that etcd takes at once."""


def handled(cluster: Cluster, request: str) -> bool:
    return bool(cluster.get()["status"].get("lastHandledProbeNow") == request)


def test_a_request_that_changes_nothing_shows_as_handled(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(with_redis(redis_server))
    before = cluster.probed()["status"]
    assert "lastHandledProbeNow" not in before
    for request in ("1", "2"):
        time.sleep(1.1)  # times have whole seconds
        cluster.patch({"metadata": {"annotations": {PROBE_NOW: request}}})
        wait(partial(handled, cluster, request))
        status = cluster.get()["status"]
        assert status["lastProbeTime"] > before["lastProbeTime"]
        assert status["nextProbeTime"] >= status["lastProbeTime"]
        assert status["conditions"] == before["conditions"]
        before = status


def test_a_request_made_while_no_operator_runs_is_handled_at_its_start(
    cluster: Cluster, redis_server: Redis, operator: Operator
) -> None:
    cluster.apply(with_redis(redis_server))
    cluster.probed()
    operator.stop()
    cluster.patch({"metadata": {"annotations": {PROBE_NOW: "meanwhile"}}})
    operator.start()
    wait(partial(handled, cluster, "meanwhile"))


def test_describe_begins_with_the_root_causes(cluster: Cluster) -> None:
    """An installation with nothing right: kubectl prints fields by name, and conditions alone have 70 lines."""
    values = aws_values(cache_redis_aws_url="redis://127.0.0.1:1/15")
    cluster.apply({"values": values, "interval": "1h", "timeout": "5s"})
    status = cluster.probed()["status"]
    assert status["health"] == "Failing"
    assert len(status["rootCauses"]) > 1
    lines = cluster.kubectl("describe", "mehc", "model-engine").splitlines()
    for cause in status["rootCauses"]:
        key = f"{cause['check']}/{cause['reason']}: "
        (at,) = [number for number, line in enumerate(lines) if line.strip().startswith(key)]
        assert at < 120
        assert cause["remediation"][:40] in lines[at]
    failing = [check for check in status["checks"] if check["status"] == "Fail"]
    assert all(check["findings"] for check in failing)
    assert not [check for check in status["checks"] if check["status"] == "Pass" and "findings" in check]


def created_as_large_as_can_be(cluster: Cluster, spec: Tree) -> None:
    for room in range(500, 20_000, 100):
        values = {**spec["values"], "filler": "x" * (OBJECT_LIMIT - room)}
        try:
            cluster.plane.api("POST", cluster.path, manifest({**spec, "values": values}))
        except ApiError:
            continue
        return
    pytest.fail("no size that the API server takes")


def test_a_status_for_which_there_is_no_room_is_given_up(
    cluster: Cluster, redis_server: Redis, operator: Operator
) -> None:
    created_as_large_as_can_be(cluster, with_redis(redis_server))
    refused = "the API refused the status of " + cluster.namespace
    wait(lambda: any(refused in str(line.get("message")) for line in operator.log_lines()))
    wait(lambda: 'mehc_status_writes_total{result="refused"} 1.0' in operator.get("/metrics")[1])
    wait(lambda: [event for event in cluster.events() if event["reason"] == "StatusTooLarge"])
    assert operator.get("/healthz")[0] == 200
    cluster.apply(with_redis(redis_server), "other")
    cluster.probed("other")


def test_a_verdict_does_not_stay_where_the_next_has_no_room(
    cluster: Cluster, redis_server: Redis, operator: Operator
) -> None:
    """The spec grows until the status that was written is all the room there is."""
    cluster.apply(with_redis(redis_server))
    assert cluster.probed()["status"]["health"] == "Healthy"
    broken = aws_values(cache_redis_aws_url="redis://127.0.0.1:1/15")
    for room in range(1000, 20_000, 500):
        grown = {"values": {**broken, "filler": "x" * (OBJECT_LIMIT - room)}, "confirmations": 1}
        grown["checks"] = {"ConfigValid": {"enabled": True}}
        with contextlib.suppress(ApiError):
            cluster.patch({"spec": grown})
            break
    wait(lambda: cluster.get()["status"]["health"] == "Failing")
    status = cluster.probed()["status"]
    assert len(status["rootCauses"]) == 1
    assert {condition["type"] for condition in status["conditions"]} == {"Ready", "Degraded"}
    assert "checks" not in status
    (told,) = [event for event in cluster.events() if event["reason"] == "StatusTooLarge"]
    assert "name it in spec.valuesFrom" in told["message"]
