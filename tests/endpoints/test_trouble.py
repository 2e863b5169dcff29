"""Trouble that comes and goes, pods that a kubelet rejects, and whom a cause concerns: judged by facts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mehc_checks.checks.endpoints.check import endpoints_ready
from mehc_checks.checks.endpoints.facts import EndpointFacts
from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.core.outcome import Status
from mehc_checks.workload.diagnose import Around, Cause, diagnose
from mehc_checks.workload.objects import Condition, Container, Event, Pod, ReplicaSet, Workload
from mehc_checks.workload.read import read_pod
from mehc_checks.workload.reasons import WorkloadReasons as R

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AROUND = Around(now=NOW)
NEWEST = "a-2"


def before(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def container(*, restarts: int = 0, runs: float = 0.3, since: float | None = 0.2, **more: Any) -> Container:
    """One that runs for ``since`` minutes, and ran for ``runs`` before."""
    started = before(since) if since is not None else None
    ended = before((since or 0) + 1)
    given = {"ready": started is not None, "last_exit_code": 1, "last_exit_reason": "Error", **more}
    return Container(
        name="main",
        restarts=restarts,
        running_since=started,
        last_finished=ended if restarts else None,
        last_started=ended - timedelta(minutes=runs) if restarts else None,
        **given,
    )


def pod(name: str = "a-2-x", *, age: float = 60, ready: bool = True, **more: Any) -> Pod:
    condition = Condition(status="True" if ready else "False", since=before(0.2))
    given = {"owner": NEWEST, "node": "n", "phase": "Running", "conditions": {"Ready": condition}, **more}
    return Pod(name=name, created=before(age), **given)


def failed(name: str, *, age: float, lived: float = 2, **more: Any) -> Pod:
    ended = Container(name="main", exit_code=137, finished=before(age - lived))
    given = {"phase": "Failed", "ready": False, "containers": (ended,), **more}
    return pod(name, age=age, **given)


def back_off(first: float, count: int = 50) -> Event:
    return Event(
        kind="Pod",
        name="a-2-x",
        reason="BackOff",
        message="Back-off restarting failed container main in pod a-2-x",
        warning=True,
        first=before(first),
        last=before(0.1),
        count=count,
    )


def workload(*pods: Pod, desired: int = 1, ready: int | None = None, **more: Any) -> Workload:
    counted = sum(each.is_ready for each in pods) if ready is None else ready
    sets = (ReplicaSet(name="a-1", revision=1), ReplicaSet(name=NEWEST, revision=2, desired=desired))
    given = {"replica_sets": sets, **more}
    return Workload(
        kind="Deployment",
        name="a",
        namespace="endpoints",
        created=before(600),
        desired=desired,
        ready=counted,
        pods=pods,
        **given,
    )


def found(given: Workload) -> Cause:
    cause = diagnose(given, AROUND)
    assert cause
    return cause


# A kubelet makes a pod ready for a moment at each restart


def test_a_container_that_keeps_exiting_is_stuck_though_it_is_ready_at_the_moment() -> None:
    cause = found(workload(pod(containers=(container(restarts=8),)), events=(back_off(20),)))
    assert (cause.reason, cause.overdue, cause.serving) == (R.CRASHING, True, False)
    assert cause.since == before(20)
    assert "container main keeps exiting with code 1" in cause.message


def test_also_while_it_waits_for_its_next_start() -> None:
    waits = container(restarts=8, since=None, waiting="CrashLoopBackOff", ready=False)
    flipped = {"Available": Condition(status="False", since=before(0.5))}
    given = workload(pod(ready=False, containers=(waits,)), events=(back_off(20),), conditions=flipped)
    assert (found(given).reason, found(given).overdue) == (R.CRASHING, True)


def test_out_of_memory_in_between() -> None:
    killed = container(restarts=5, last_exit_code=137, last_exit_reason="OOMKilled")
    given = workload(pod(containers=(killed,), memory_limits={"main": "24Gi"}), events=(back_off(30),))
    assert found(given).reason is R.OUT_OF_MEMORY
    assert "memory limit of 24Gi" in found(given).message


def test_within_its_grace_period() -> None:
    cause = found(workload(pod(containers=(container(restarts=3),)), events=(back_off(4),)))
    assert (cause.overdue, cause.of_owner) == (False, True)


@pytest.mark.parametrize(("restarts", "overdue"), [(3, False), (5, False), (9, True)])
def test_without_events_by_the_number_of_restarts(restarts: int, overdue: bool) -> None:
    assert found(workload(pod(containers=(container(restarts=restarts),)))).overdue is overdue


def test_an_event_is_not_older_than_so_many_restarts_last() -> None:
    """The kubelet counts on an Event of the same words from days ago."""
    cause = found(workload(pod(age=6000, containers=(container(restarts=3),)), events=(back_off(5000),)))
    assert cause.since
    assert cause.since >= before(22)


def test_a_run_that_was_stable_starts_it_over() -> None:
    crashed = container(restarts=30, runs=600, since=None, waiting="CrashLoopBackOff", ready=False)
    cause = found(workload(pod(ready=False, containers=(crashed,)), events=(back_off(5000),)))
    assert cause.overdue is False


@pytest.mark.parametrize(
    "runs", [container(restarts=20, since=60), container(restarts=1), container(restarts=9, runs=60)]
)
def test_a_container_that_runs_well_again(runs: Container) -> None:
    assert diagnose(workload(pod(containers=(runs,))), AROUND) is None


def test_the_others_serve() -> None:
    sound = [pod(f"a-2-{number}", containers=(container(since=60),)) for number in range(3)]
    cause = found(
        workload(*sound, pod(containers=(container(restarts=8),)), desired=4, events=(back_off(20),))
    )
    assert (cause.reason, cause.serving) == (R.CRASHING, True)


def test_pods_that_are_evicted_one_after_the_other() -> None:
    evicted = {"reason": "Evicted", "message": "Usage of EmptyDir volume v exceeds the limit 5Mi."}
    gone = [failed(f"a-2-{age}", age=age, **evicted) for age in (3, 6, 9, 12, 15, 18)]
    cause = found(workload(*gone, pod("a-2-y", age=1, containers=(container(since=0.5),))))
    assert (cause.reason, cause.overdue) == (R.EVICTED, True)
    assert cause.message == "pod a-2-3: evicted: Usage of EmptyDir volume v exceeds the limit 5Mi"
    assert diagnose(workload(*gone, pod("a-2-y", age=30, containers=(container(since=30),))), AROUND) is None
    assert (
        diagnose(workload(gone[0], pod("a-2-y", age=1, containers=(container(since=0.5),))), AROUND) is None
    )


# The kubelet rejects

REJECTED = {
    "reason": "UnexpectedAdmissionError",
    "message": "Pod was rejected: Allocate failed due to requested number of devices unavailable for "
    "nvidia.com/gpu. Requested: 1, Available: 0, which is unexpected",
    "containers": (),
}


def test_pods_that_the_kubelet_rejects_are_counted() -> None:
    cause = found(workload(*(failed(f"a-2-{n}", age=1, **REJECTED) for n in range(80))))
    assert cause.reason is R.REJECTED
    assert (
        "the kubelet of node n rejected over 50 pods (UnexpectedAdmissionError): Allocate failed due to requested "
        "number of devices unavailable for nvidia.com/gpu"
    ) in cause.message
    assert "Restart the device plugin of node n" in cause.remedy


@pytest.mark.parametrize(
    ("reason", "message", "remedy"),
    [
        (
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 9000",
            "Free the resource",
        ),
        ("OutOfnvidia.com/gpu", "Node didn't have enough resource: nvidia.com/gpu", "Free the resource"),
        (
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match",
            "Restore the labels",
        ),
        ("TopologyAffinityError", "Pod was rejected: Resources cannot be allocated with Topology", "NUMA"),
        ("NodeShutdown", "Pod was rejected: Pod was rejected as the node is shutting down.", "has restarted"),
        ("ReasonToCome", "Pod was rejected: for another reason", "Fix what the kubelet's message names"),
    ],
)
def test_each_rejection_has_the_kubelets_words(reason: str, message: str, remedy: str) -> None:
    cause = found(workload(failed("a-2-1", age=1, reason=reason, message=message, containers=())))
    assert cause.reason is R.REJECTED
    assert f"({reason})" in cause.message
    assert message.removeprefix("Pod was rejected: ").rstrip(".") in cause.message
    assert remedy in cause.remedy


def test_a_rejected_pod_whose_successor_runs_is_history() -> None:
    runs = pod("a-2-y", age=5, containers=(container(since=4),))
    assert diagnose(workload(failed("a-2-1", age=6, **REJECTED), runs), AROUND) is None


def test_pods_of_an_older_revision_say_nothing() -> None:
    old = failed("a-1-1", age=1, owner="a-1", **REJECTED)
    pulls = Container(name="main", image="r/v:1", waiting="ErrImagePull", message="r/v:1: not found")
    waits = pod("a-2-y", age=1, ready=False, phase="Pending", containers=(pulls,))
    assert found(workload(old, waits)).reason is R.IMAGE_NOT_FOUND


# Sidecars


def test_a_native_sidecar_that_is_not_ready_is_named() -> None:
    running = {"running": {"startedAt": "2026-11-27T11:00:00Z"}}
    waiting = {"waiting": {"reason": "PodInitializing"}}
    proxy = {"name": "istio-proxy", "image": "p", "ready": False, "restartCount": 0, "state": running}
    main = {"name": "main", "image": "m", "ready": False, "restartCount": 0, "state": waiting}
    item = {
        "metadata": {"name": "a-2-x", "creationTimestamp": "2026-11-27T11:00:00Z"},
        "spec": {"nodeName": "n", "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]},
        "status": {"phase": "Pending", "initContainerStatuses": [proxy], "containerStatuses": [main]},
    }
    assert found(workload(read_pod(item))).reason is R.SIDECAR_NOT_READY


# Whom it concerns


def endpoints(*given: Workload | None, **more: Any) -> EndpointFacts:
    sound = workload(pod(containers=(container(since=60),)))
    return EndpointFacts(
        endpoints=tuple(
            Endpoint(name=f"e{number}", id=f"end_{number}", title=f"e{number}", workload=each or sound)
            for number, each in enumerate(given)
        ),
        around=AROUND,
        recorded=False,
        **more,
    )


CRASHES = workload(pod(containers=(container(restarts=8),)), events=(back_off(20),))
REFUSED = workload(
    replica_sets=(
        ReplicaSet(
            name=NEWEST,
            revision=2,
            desired=1,
            failure=Condition(
                status="True",
                message="error looking up service account endpoints/model-engine: not found",
                since=before(20),
            ),
        ),
    )
)


@pytest.mark.parametrize(
    ("stuck", "status"),
    [
        ((CRASHES,), Status.WARN),
        ((CRASHES, CRASHES), Status.WARN),
        ((CRASHES, CRASHES, CRASHES), Status.FAIL),
        ((REFUSED,), Status.FAIL),
    ],
)
def test_an_owners_cause_fails_the_platform_only_where_it_holds_many(
    stuck: tuple[Workload, ...], status: Status
) -> None:
    facts = endpoints(*stuck, *(None for _ in range(13 - len(stuck))))
    outcome = endpoints_ready(facts)
    assert outcome.status is status
    assert len(outcome.endpoints or ()) == len(stuck)
    assert endpoints_ready(replace(facts, fail_above=1)).status is (
        Status.FAIL if stuck == (REFUSED,) else Status.WARN
    )


def test_one_alone_is_never_many() -> None:
    assert endpoints_ready(endpoints(CRASHES)).status is Status.WARN
    assert endpoints_ready(endpoints(CRASHES, CRASHES)).status is Status.FAIL
    assert endpoints_ready(endpoints(None)).status is Status.PASS


def test_one_finding_for_all_that_share_a_cause() -> None:
    outcome = endpoints_ready(endpoints(*(CRASHES for _ in range(5))))
    (finding,) = outcome.findings
    assert finding.message.startswith("e0, e1, e2 and 2 more: pod a-2-x: container main keeps exiting")
    assert finding.subject == "5 endpoints"
    assert "kubectl logs a-2-x -n endpoints -c main --previous" in finding.remediation
