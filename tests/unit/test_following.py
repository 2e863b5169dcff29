"""What counts as a change of an object, and which collection a request reads."""

from typing import Any

import pytest

from mehc_checks.installation.following import Read, digest

POD: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "n", "resourceVersion": "1", "labels": {"app": "x"}},
    "spec": {"nodeName": "node-1"},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": None, "message": "m"}],
        "containerStatuses": [{"name": "main", "restartCount": 0, "state": {"running": {"startedAt": "1"}}}],
    },
}


def pod(**status: Any) -> dict[str, Any]:
    return {**POD, "status": {**POD["status"], **status}}


@pytest.mark.parametrize(
    "other",
    [
        {**POD, "metadata": {**POD["metadata"], "resourceVersion": "2", "managedFields": [{}]}},
        pod(conditions=[{"type": "Ready", "status": "True", "lastProbeTime": "2", "message": "other"}]),
        pod(startTime="2026-01-01T00:00:00Z"),
        {key: POD[key] for key in ("status", "spec", "metadata")},
    ],
)
def test_what_a_heartbeat_changes_is_no_change(other: dict[str, Any]) -> None:
    assert digest(other) == digest(POD)


@pytest.mark.parametrize(
    "other",
    [
        {**POD, "metadata": {**POD["metadata"], "labels": {"app": "y"}}},
        {**POD, "metadata": {**POD["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {**POD, "spec": {"nodeName": "node-2"}},
        pod(phase="Failed"),
        pod(conditions=[{"type": "Ready", "status": "False"}]),
        pod(
            containerStatuses=[{"name": "main", "restartCount": 1, "state": {"running": {"startedAt": "1"}}}]
        ),
        pod(containerStatuses=[{"name": "main", "restartCount": 0, "state": {"waiting": {"reason": "x"}}}]),
    ],
)
def test_what_a_check_may_judge_is_a_change(other: dict[str, Any]) -> None:
    assert digest(other) != digest(POD)


def test_an_event_that_is_repeated_is_no_change() -> None:
    involved = {"kind": "Pod", "name": "a", "uid": "1", "resourceVersion": "7"}
    event = {"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": "m", "count": 1}
    first = {**event, "involvedObject": involved}
    assert digest({**first, "count": 2, "involvedObject": {**involved, "resourceVersion": "8"}}) == digest(
        first
    )
    assert digest({**first, "message": "another"}) != digest(first)


@pytest.mark.parametrize(
    ("path", "query", "read"),
    [
        ("/api/v1/namespaces/n/pods", {}, Read("/api/v1/namespaces/n/pods")),
        ("/api/v1/namespaces/n/pods", {"labelSelector": "a=b"}, Read("/api/v1/namespaces/n/pods")),
        ("/apis/apps/v1/namespaces/n/deployments/d", {}, Read("/apis/apps/v1/namespaces/n/deployments")),
        ("/apis/apps/v1/deployments", {"labelSelector": "a=b"}, Read("/apis/apps/v1/deployments", "a=b")),
        (
            "/apis/scheduling.k8s.io/v1/priorityclasses/p",
            {},
            Read("/apis/scheduling.k8s.io/v1/priorityclasses"),
        ),
        ("/api/v1/namespaces/n", {}, Read("/api/v1/namespaces")),
        ("/api/v1/namespaces/n/pods/p/log", {}, None),
        ("/version", {}, None),
        ("/apis", {}, None),
    ],
)
def test_a_request_reads_a_collection(path: str, query: dict[str, str], read: Read | None) -> None:
    assert Read.of(path, query) == read
