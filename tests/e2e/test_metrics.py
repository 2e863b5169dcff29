"""What a real Prometheus makes of a real operator: series, alerts, and the dashboard's queries."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from mehc_checks.engine.check import catalogue
from mehc_checks.engine.health import Health
from testbed import tools
from testbed.controlplane import ControlPlane
from testbed.installation import Tree, aws_values, only
from testbed.operatorprocess import Operator
from testbed.prometheus import Prometheus
from testbed.redis import Redis
from testbed.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").iterdir())
FILES = ROOT / "charts" / "model-engine-health-check" / "files"


@pytest.fixture(scope="module")
def prometheus(operator: Operator) -> Iterator[Prometheus]:
    """With the chart's alerts, which wait for nothing."""
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = rule["keep_firing_for"] = "0s"
    with Prometheus([f"127.0.0.1:{operator.port}"], rules=rules, interval="1s") as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as server:
        yield server


def samples(operator: Operator, **labels: str) -> dict[tuple[str, ...], float]:
    """The series with these labels, by metric and the values of their other labels, sorted by the labels' names."""
    _, page = operator.get("/metrics")
    found = {}
    for sample in (sample for family in text_format(page) for sample in family.samples):
        if labels.items() <= sample.labels.items():
            others = [value for key, value in sorted(sample.labels.items()) if key not in labels]
            found[sample.name, *others] = sample.value
    return found


class Installation:
    """One resource of a namespace, and what the operator shows of it."""

    def __init__(
        self, plane: ControlPlane, namespace: str, operator: Operator, name: str = "model-engine"
    ) -> None:
        self.plane = plane
        self.namespace = namespace
        self.name = name
        self.path = (
            f"/apis/health.modelengine.io/v1alpha1/namespaces/{namespace}/modelenginehealthchecks/{name}"
        )
        self.operator = operator

    def apply(self, redis: Redis, **spec: Any) -> None:
        """A ModelEngineHealthCheck that is about ``redis``, and about the endpoints of a namespace without any."""
        checks = only("RedisReachable", "EndpointsReady")["checks"]
        checks["EndpointsReady"] = {"parameters": {"readRecord": False}, "interval": "30m"}
        manifest: Tree = {
            "apiVersion": "health.modelengine.io/v1alpha1",
            "kind": "ModelEngineHealthCheck",
            "metadata": {"name": self.name},
            "spec": {
                "values": aws_values(cache_redis_aws_url=f"redis://127.0.0.1:{redis.port}/15"),
                "checks": checks,
                "interval": "1h",
                "timeout": "2s",
                **spec,
            },
        }
        self.plane.apply(manifest, namespace=self.namespace)

    def patch(self, body: Tree) -> None:
        self.plane.api("PATCH", self.path, body, content_type="application/merge-patch+json")

    def samples(self) -> dict[tuple[str, ...], float]:
        return samples(self.operator, namespace=self.namespace, name=self.name)

    def becomes(self, health: str) -> None:
        eventually(self.samples, lambda found: found.get(("mehc_health", health)) == 1)


@pytest.fixture
def installation(control_plane: ControlPlane, namespace: str, operator: Operator) -> Installation:
    return Installation(control_plane, namespace, operator)


def test_the_page_is_what_prometheus_own_lint_accepts(
    installation: Installation, operator: Operator, prometheus: Prometheus, redis: Redis
) -> None:
    installation.apply(redis)
    installation.becomes("Healthy")
    status, page = operator.get("/metrics")
    lint = ["promtool", "check", "metrics"]
    linted = subprocess.run(lint, input=page, capture_output=True, text=True, check=False)
    assert (status, linted.returncode, linted.stdout + linted.stderr) == (200, 0, "")
    _, page = operator.get("/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"})
    assert page.endswith("# EOF\n")
    assert "mehc_health" in {family.name for family in openmetrics(page)}
    eventually(lambda: prometheus.query(f'mehc_health{{namespace="{installation.namespace}"}} == 1'), bool)


def test_a_resource_has_its_series(installation: Installation, redis: Redis) -> None:
    installation.apply(redis)
    installation.becomes("Healthy")
    found = installation.samples()
    began = datetime.fromisoformat(
        installation.plane.api("GET", installation.path)["status"]["lastProbeTime"]
    )
    assert (
        0 <= found.pop(("mehc_last_probe_timestamp_seconds",)) - began.timestamp() < 1
    )  # which has no fraction
    checks = {key[1:] for key in found if key[0] == "mehc_check_status"}
    assert {("RedisReachable", "critical", "Pass"), ("EndpointsReady", "high", "Pass")} <= checks
    assert {name for name, _, status in checks if status == "Skip"} == set(catalogue()) - {
        "RedisReachable",
        "EndpointsReady",
    }
    conditions = {"Ready": "true", "Degraded": "false", "RedisReachable": "true", "EndpointsReady": "true"}
    assert {key: value for key, value in found.items() if key[0] != "mehc_check_status"} == {
        **{("mehc_health", health): float(health == "Healthy") for health in Health},
        **{
            ("mehc_status_condition", condition, status): float(status == present)
            for condition, present in conditions.items()
            for status in ("true", "false", "unknown")
        },
        ("mehc_suspended",): 0,
        ("mehc_stuck_endpoints",): 0,
        ("mehc_probe_interval_seconds",): 1800,  # of the check that is carried out most often
    }


def test_a_suspended_resource_shows_no_more_than_that_and_a_deleted_one_nothing(
    installation: Installation, redis: Redis
) -> None:
    installation.apply(redis)
    installation.becomes("Healthy")
    installation.patch({"spec": {"suspend": True}})
    installation.becomes("Suspended")
    assert installation.samples() == {
        **{("mehc_health", health): float(health == "Suspended") for health in Health},
        ("mehc_suspended",): 1,
    }
    installation.patch({"spec": {"suspend": False}})
    installation.becomes("Healthy")
    installation.plane.api("DELETE", installation.path)
    eventually(installation.samples, lambda found: not found)


def test_who_takes_over_shows_what_the_cluster_has_until_its_own_first_pass_ends(
    installation: Installation, operator: Operator, redis: Redis
) -> None:
    installation.apply(redis, timeout="30s")
    installation.becomes("Healthy")
    before = installation.samples()
    redis.pause()
    try:
        operator.restart()
        after = installation.samples()
    finally:
        redis.resume()
    began = ("mehc_last_probe_timestamp_seconds",)
    assert after.pop(began) == int(before.pop(began))  # the status has no fraction
    assert after == before


def test_what_the_process_does_is_counted(
    installation: Installation, operator: Operator, redis: Redis
) -> None:
    before = samples(operator)
    installation.apply(redis)
    installation.becomes("Healthy")
    after = eventually(
        partial(samples, operator),
        # The last thing that a pass does is to announce what turned.
        lambda found: found["mehc_events_total", "Normal"] > before["mehc_events_total", "Normal"],
    )
    for counted in (
        ("mehc_status_writes_total", "written"),
        ("mehc_api_requests_total", "200", "patch"),
        ("mehc_api_requests_total", "201", "create"),
        ("mehc_api_requests_total", "200", "list"),
        ("mehc_probe_run_duration_seconds_count",),
        ("mehc_probe_duration_seconds_count", "RedisReachable"),
    ):
        assert after[counted] > before.get(counted, 0), counted
    assert after["mehc_status_writes_total", "refused"] == before["mehc_status_writes_total", "refused"]
    assert after["mehc_api_requests_total", "200", "watch"] > 0
    assert ("mehc_probe_duration_seconds_count", "DatabaseMigrated") not in after  # it was skipped
    assert after["mehc_leader",] == 1


def test_a_broken_installation_fires_and_the_alert_names_it_and_its_root_cause(
    control_plane: ControlPlane, namespace: str, operator: Operator, prometheus: Prometheus, redis: Redis
) -> None:
    sound = Installation(control_plane, namespace, operator, "sound")
    broken = Installation(control_plane, namespace, operator, "broken")

    def firing() -> dict[str, Any]:
        ours = [alert for alert in prometheus.alerts() if alert["labels"].get("namespace") == namespace]
        assert {alert["labels"]["name"] for alert in ours} <= {"broken"}
        return {alert["labels"]["alertname"]: alert for alert in ours if alert["state"] == "firing"}

    with Redis() as other:
        other.stop()
        sound.apply(redis)
        broken.apply(other)
        eventually(firing, lambda found: len(found) == 2, seconds=30)
        alerts = firing()
        assert set(alerts) == {"ModelEngineNotReady", "ModelEngineCriticalConditionFalse"}
        whose = {"namespace": namespace, "name": "broken", "severity": "critical"}
        not_ready, condition = alerts["ModelEngineNotReady"], alerts["ModelEngineCriticalConditionFalse"]
        assert not_ready["labels"] == {"alertname": "ModelEngineNotReady", **whose}
        assert condition["labels"] == {
            "alertname": "ModelEngineCriticalConditionFalse",
            "check": "RedisReachable",
            **whose,
        }
        for alert in (not_ready, condition):
            assert alert["annotations"]["summary"].endswith("Root cause: RedisReachable (ConnectionRefused).")
            assert f"{namespace}/broken" in alert["annotations"]["summary"]
        other.start()
        broken.patch({"metadata": {"annotations": {"health.modelengine.io/probe-now": "1"}}})
        eventually(firing, lambda found: not found, seconds=30)


def test_each_query_of_the_dashboard_has_an_answer(
    installation: Installation, prometheus: Prometheus, redis: Redis
) -> None:
    redis.stop()
    installation.apply(redis)
    installation.becomes("Failing")
    chosen = {"$cluster": ".*", "$namespace": installation.namespace, "$name": ".*", "$__rate_interval": "1m"}
    asked = 0
    for panel in json.loads((FILES / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for variable, value in chosen.items():
                expr = expr.replace(variable, value)
            eventually(partial(prometheus.query, expr), bool, seconds=30)
            asked += 1
    assert asked > 15


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_the_commands_of_a_runbook_about_an_installation_work(
    page: Path, installation: Installation, redis: Redis
) -> None:
    installation.apply(redis)
    installation.becomes("Healthy")
    path = os.pathsep.join(
        (str(Path(sys.executable).parent), str(tools.kubectl().parent), os.environ["PATH"])
    )
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(installation.plane.kubeconfig)}
    ran = 0
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            names = {
                "NAMESPACE": installation.namespace,
                "NAME": installation.name,
                "CHECK": "RedisReachable",
            }
            command = re.sub(r"\b(NAMESPACE|NAME|CHECK)\b", lambda found, names=names: names[found[0]], line)
            if command == line:
                continue  # about the operator's own deployment
            done = subprocess.run(
                ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
            )
            ran += 1
            # `mehc check` looks for an installation, and this namespace has the resource only.
            understood = done.returncode == 0 or "no model engine installation" in done.stderr.lower()
            assert understood, f"{command}: {done.stderr}"
    assert ran
