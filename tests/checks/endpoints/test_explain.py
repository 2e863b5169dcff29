"""``mehc explain`` on a real control plane: which endpoints, why, who waits for whom, and what cannot be told."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.controlplane import ControlPlane
from testbed.endpoints import HOUR, ID, IMAGE, NAME, PASSWORD, TITLE, World, emptied, prepared
from testbed.installation import aws_values
from testbed.kwok import CONTAINER_ANNOTATION, MESSAGE_ANNOTATION, Kwok
from testbed.postgres import Postgres
from testbed.redis import Redis
from testbed.waiting import eventually

pytestmark = pytest.mark.integration
MEHC = Path(sys.executable).with_name("mehc")
AT_ONCE = ("--grace-period", "1ms")


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    return prepared(postgres)


@pytest.fixture
def world(
    control_plane: ControlPlane, kwok: Kwok, postgres: Postgres, redis_server: Redis, database: str
) -> Iterator[World]:
    """KEDA and LeaderWorkerSet are not installed in this cluster: that is no trouble."""
    with emptied(control_plane, kwok, postgres, redis_server, database) as here:
        yield here


@dataclass(frozen=True)
class Told:
    """What the command said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def explain(world: World, *words: str, values: Path | None = None) -> Told:
    done = subprocess.run(
        [
            MEHC,
            "explain",
            *words,
            f"--kubeconfig={world.plane.kubeconfig}",
            f"--namespace={world.namespace}",
            f"--values={values or '-'}",
        ],
        input=yaml.safe_dump(aws_values(cache_redis_aws_url=world.redis.url())),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"KUBECONFIG": "/nonexistent"},
    )
    assert PASSWORD not in done.stdout + done.stderr
    return Told(done.returncode, done.stdout, done.stderr)


def unpullable(world: World) -> None:
    """Recorded an hour ago; its image does not exist."""
    world.record("READY")
    message = f'failed to resolve reference "{IMAGE}": {IMAGE}: not found'
    world.deployment(
        stage="err-image-pull", notes={CONTAINER_ANNOTATION: "main", MESSAGE_ANNOTATION: message}
    )
    world.staged()


def settled(world: World, *words: str) -> dict[str, Any]:
    """The one endpoint, as soon as ``words`` are its state and its cause."""

    def ask() -> dict[str, Any]:
        found: dict[str, Any] = explain(world, ID, "-o", "json").document["endpoints"][0]
        return found

    return eventually(ask, lambda found: (found["state"], found["cause"]) == words, seconds=20)


def test_nothing_is_wrong(world: World) -> None:
    told = explain(world)
    assert (told.code, told.out, told.err) == (0, "0 endpoints, 0 not ready, 0 stuck\n", "")


def test_all_that_is_not_ready_worst_first(world: World) -> None:
    unpullable(world)
    world.record("UPDATE_PENDING", endpoint_id="end_2", name="mistral", age=HOUR)
    world.record("UPDATE_PENDING", endpoint_id="end_3", name="qwen", age=timedelta(minutes=2))
    told = explain(world, "-o", "json")
    assert told.code == 1
    found = {e["endpointId"]: (e["cause"], e["stuck"], e["state"]) for e in told.document["endpoints"]}
    assert list(found) == ["end_2", "end_3", ID]
    assert found == {
        "end_2": ("BuildTaskNotPickedUp", True, "INITIALIZING"),
        "end_3": ("BuildTaskNotPickedUp", False, "INITIALIZING"),
        ID: ("ImageNotFound", False, "INITIALIZING"),
    }
    text = explain(world).out
    assert "× mistral (end_2, sync): INITIALIZING, recorded as UPDATE_PENDING, 0 of 0 pods ready" in text
    assert "within its grace period" in text
    assert text.endswith("3 endpoints, 3 not ready, 1 stuck\n")


@pytest.mark.parametrize("asked", [ID, TITLE, NAME, "end-1"])
def test_one_endpoint_by_each_of_its_names(world: World, asked: str) -> None:
    unpullable(world)
    told = explain(world, asked, *AT_ONCE)
    assert told.code == 1
    for part in (
        "× llama (end_1, streaming): INITIALIZING, recorded as READY, 0 of 1 pods ready",
        "ImageNotFound",
        f"the registry has no image {IMAGE}",
        "→ Push or mirror the image",
        "--only VllmImagePullable",
        "Timeline (UTC)",
        "the gateway waited for the builder to create the Deployment",
        "waited for the scheduler to find a node",
        "container main waits for the kubelet: ErrImagePull",
        "Evidence",
        "record: READY for 1h",
    ):
        assert part in " ".join(told.out.split()), told.out


def test_the_timeline_has_no_gap_between_request_and_trouble(world: World) -> None:
    unpullable(world)
    found = settled(world, "INITIALIZING", "ImageNotFound")
    steps = found["timeline"]
    assert [(step["who"].split()[-1], step["until"] is None) for step in steps] == [
        ("gateway", False),
        ("Deployment", False),
        (steps[2]["who"].split()[-1], False),
        ("main", True),
    ]
    for earlier, later in pairwise(steps):
        gap = datetime.fromisoformat(later["since"]) - datetime.fromisoformat(earlier["until"])
        assert abs(gap) <= timedelta(seconds=1)
    assert steps[0]["seconds"] >= 3500
    assert any("ErrImagePull" in line for line in found["evidence"])


def test_a_pod_that_waits_for_a_node(world: World) -> None:
    world.record("READY")
    world.deployment(nodeSelector={"k8s.amazonaws.com/accelerator": "nvidia-hopper-h100"})
    found = settled(world, "INITIALIZING", "NodeLabelsUnmatched")
    last = found["timeline"][-1]
    assert (last["waitsFor"], last["until"]) == ("the scheduler to find a node", None)
    assert "GpuNodesReady" in found["consequenceOf"]


def test_a_deployment_that_gets_no_pod(world: World) -> None:
    world.record("READY")
    world.deployment(serviceAccountName="absent")
    found = settled(world, "INITIALIZING", "ServiceAccountMissing")
    assert found["timeline"][-1]["waitsFor"] == "a pod that is not created"


def test_an_endpoint_that_is_ready(world: World) -> None:
    world.record("READY")
    world.deployment()
    found = settled(world, "READY", "")
    assert {step["until"] is None for step in found["timeline"]} == {False}
    assert found["timeline"][-1]["waitsFor"] == "its readiness probe to pass"
    told = explain(world, ID, *AT_ONCE)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("√ llama (end_1, streaming): READY, recorded as READY, 1 of 1 pods ready")


def test_a_task_that_nobody_takes(world: World) -> None:
    world.record("UPDATE_PENDING")
    told = explain(world, TITLE, "-o", "yaml")
    (found,) = yaml.safe_load(told.out)["endpoints"]
    assert told.code == 1
    assert (found["state"], found["recorded"]) == ("INITIALIZING", "UPDATE_PENDING")
    assert [step["waitsFor"] for step in found["timeline"]] == ["the builder to pick up the task"]
    assert "BrokerReachable" in found["consequenceOf"]


def test_an_endpoint_that_does_not_exist(world: World) -> None:
    world.record("READY")
    told = explain(world, "lama")
    assert (told.code, told.out) == (2, "")
    assert told.err == 'mehc: no endpoint matches "lama"; did you mean llama?\n'


def test_a_name_of_two_endpoints(world: World) -> None:
    world.record("READY")
    world.record("READY", endpoint_id="end_2")
    told = explain(world, TITLE)
    assert (told.code, told.err) == (2, 'mehc: 2 endpoints are named "llama"; give the id: end_1, end_2\n')


def test_without_the_record_it_says_so(world: World, tmp_path: Path) -> None:
    unpullable(world)
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"secrets": {"kubernetesDatabaseSecretName": "dead"}}))
    told = explain(world, *AT_ONCE, values=values)
    assert told.code == 1
    assert "× llama (end_1, sync): INITIALIZING, 0 of 1 pods ready" in told.out
    assert "not read: the platform's table of endpoints could not be read: " in told.out


def test_what_may_not_be_read_ends_it(world: World) -> None:
    kubeconfig = world.plane.service_account_kubeconfig(world.namespace, "nobody")
    done = subprocess.run(
        [MEHC, "explain", f"--kubeconfig={kubeconfig}", f"--namespace={world.namespace}", "--values=-"],
        input=yaml.safe_dump(aws_values()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"mehc: not allowed to list deployments.apps in namespace {world.namespace}\n"
