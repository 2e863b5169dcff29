"""``mehc status`` and ``mehc probe``: what a person sees of what the operator has stored."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from testbed.healthchecks import Cluster, wait, with_redis
from testbed.operatorprocess import Operator
from testbed.redis import Redis

MEHC = Path(sys.executable).with_name("mehc")
LIMIT = 300
"""Seconds: much more than a busy machine takes."""


def mehc(cluster: Cluster, *words: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"KUBECONFIG": str(kubeconfig or cluster.plane.kubeconfig)}
    command = [str(MEHC), words[0], *(() if "-A" in words else ("-n", cluster.namespace)), *words[1:]]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def refused(redis: Redis) -> dict[str, object]:
    """A spec whose Redis has nothing listening."""
    spec = with_redis(redis)
    text = json.dumps(spec).replace(f":{redis.port}/", ":1/")
    changed: dict[str, object] = json.loads(text)
    return changed


def test_a_sound_installation(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(with_redis(redis_server))
    cluster.probed()
    done = mehc(cluster, "status")
    assert (done.returncode, done.stderr) == (0, "")
    place, verdict, *_ = done.stdout.splitlines()
    assert place.endswith(f"namespace {cluster.namespace}, resource model-engine")
    assert verdict.startswith("Healthy: 1 of 1 checks pass; probed ")
    assert "STALE" not in done.stdout
    assert "skipped: disabled" in done.stdout


def test_a_cause_and_its_fix_come_first(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(refused(redis_server))
    cluster.probed()
    done = mehc(cluster, "status", "model-engine")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[1].startswith("Failing: 0 of 1 checks pass")
    assert lines[3] == "1. RedisReachable/ConnectionRefused (critical)"
    assert next(number for number, line in enumerate(lines) if "→" in line or "->" in line) <= 6
    assert any(
        line.startswith(("× RedisReachable", "x RedisReachable")) and "  for " in line for line in lines
    )
    line = mehc(cluster, "status", "-o", "short").stdout
    assert line.startswith(
        f"{cluster.namespace}/model-engine Failing (0/1): RedisReachable/ConnectionRefused: "
    )
    assert "Fix: " in line
    assert line.count("\n") == 1
    page = mehc(cluster, "status", "-o", "markdown").stdout
    assert page.startswith("## Failing: 0 of 1 checks pass")
    assert "1. **RedisReachable/ConnectionRefused** (critical): " in page
    html = mehc(cluster, "status", "-o", "html").stdout
    assert html.startswith("<!DOCTYPE html>\n")
    assert f"<h1>{cluster.namespace}/model-engine</h1>" in html
    assert "RedisReachable/ConnectionRefused" in html
    document = json.loads(mehc(cluster, "status", "-o", "json").stdout)
    assert yaml.safe_load(mehc(cluster, "status", "-o", "yaml").stdout) == document
    (resource,) = document["resources"]
    assert (resource["health"], resource["stale"]) == ("Failing", False)
    assert resource["report"]["rootCauses"][0]["reason"] == "ConnectionRefused"
    waited = mehc(cluster, "status", "--wait", "--for", "Cause=RedisReachable/ConnectionRefused")
    assert (waited.returncode, waited.stderr) == (1, "")
    late = mehc(cluster, "status", "--wait", "--timeout", "1s")
    assert late.returncode == 2
    assert late.stderr == "mehc: not so within 1s: Ready\n"


def test_get_is_the_only_permission_needed(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(with_redis(redis_server))
    cluster.probed()
    group = "rbac.authorization.k8s.io"
    narrow = cluster.plane.service_account_kubeconfig(cluster.namespace, "reader")
    metadata = {"name": "reader", "namespace": cluster.namespace}
    rule = {
        "apiGroups": ["health.modelengine.io"],
        "resources": ["modelenginehealthchecks"],
        "verbs": ["get"],
    }
    subject = {"kind": "ServiceAccount", **metadata}
    cluster.plane.apply(
        [{"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}]
    )
    cluster.plane.apply(
        [
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
                "subjects": [subject],
            }
        ]
    )
    wait(lambda: mehc(cluster, "status", "model-engine", kubeconfig=narrow).returncode == 0)
    done = mehc(cluster, "status", kubeconfig=narrow)
    assert done.returncode == 2
    assert done.stderr.endswith("; give the NAME of one\n")
    assert done.stderr.count("\n") == 1
    done = mehc(cluster, "probe", "model-engine", kubeconfig=narrow)
    assert done.returncode == 2
    assert done.stderr == f"mehc: not allowed to patch model-engine in namespace {cluster.namespace}\n"


def test_the_fleet_is_a_table(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(with_redis(redis_server), "sound")
    cluster.apply(refused(redis_server), "broken")
    for name in ("sound", "broken"):
        cluster.probed(name)
    lines = mehc(cluster, "status").stdout.splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "HEALTH", "PASSING", "CAUSE", "STUCK", "PROBED"]
    assert [line.split()[1:5] for line in lines[1:3]] == [
        ["broken", "Failing", "0/1", "RedisReachable/ConnectionRefused"],
        ["sound", "Healthy", "1/1", "-"],
    ]
    assert lines[-1] == "2 resources: 1 Failing, 1 Healthy"
    several = mehc(cluster, "status", "-o", "html")
    assert (several.returncode, several.stdout) == (2, "")
    assert several.stderr.startswith("mehc: -o html shows one resource of 2: give its NAME, such as -n ")
    everywhere = [line.split()[:2] for line in mehc(cluster, "status", "-A").stdout.splitlines()]
    assert [cluster.namespace, "broken"] in everywhere


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("status",), "has no ModelEngineHealthCheck"),
        (("status", "other"), "has no ModelEngineHealthCheck other"),
        (("status", "../secrets/x"), "has no ModelEngineHealthCheck"),
        (("status", "--for", "Ready"), "--for needs --wait"),
        (("status", "--wait", "--for", "Redy"), "there is no condition Redy"),
        (("status", "--wait", "--for", "Ready=Maybe"), "True, False or Unknown"),
        (("status", "--wait", "--for", "Cause=x"), "CHECK/REASON"),
        (("status", "-A", "model-engine"), "goes with neither"),
        (("probe",), "has no ModelEngineHealthCheck"),
        (("mute", "RedisReachable", "--for", "1h", "--why", "x"), "has no ModelEngineHealthCheck"),
        (("mute", "RedisReachabel", "--for", "1h", "--why", "x"), "did you mean RedisReachable?"),
        (("mute", "RedisReachable/Nope", "--for", "1h", "--why", "x"), "has no reason Nope"),
        (("mute", "RedisReachable", "--for", "9000h", "--why", "x"), "--for: at most 2160h"),
        (("mute", "RedisReachable", "--for", "1h", "--why", " "), "--why: from 1 to 256"),
        (("mute", "RedisReachable", "--for", "1h"), "--why"),
    ],
)
def test_what_cannot_be_shown_is_one_line(cluster: Cluster, words: tuple[str, ...], says: str) -> None:
    done = mehc(cluster, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_probe_shows_what_has_changed(cluster: Cluster) -> None:
    with Redis() as redis:
        spec = with_redis(redis, confirmations=1)
        spec["checks"]["RedisReachable"] = {"parameters": {"tripwire": False}}  # the probe is to find it
        cluster.apply(spec)
        cluster.probed()
        same = mehc(cluster, "probe")
        assert same.returncode == 0, same.stderr
        assert same.stdout.startswith("no verdict has changed\n")
    done = mehc(cluster, "probe")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(
        "RedisReachable: Pass (RedisReachable) -> Fail (ConnectionRefused)\n\ncontext "
    )
    assert mehc(cluster, "probe", "--no-wait").stdout.startswith("probe run requested; ")
    cluster.patch({"spec": {"suspend": True}})
    refused = mehc(cluster, "probe")
    assert refused.stderr == "mehc: probing of model-engine is suspended (spec.suspend: true)\n"
    wait(lambda: "Suspended" in mehc(cluster, "status").stdout)


def test_a_mute_keeps_a_failure_from_deciding(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(refused(redis_server))
    cluster.probed()
    muted = mehc(cluster, "mute", "RedisReachable", "--for", "4h", "--why", "moves tonight")
    assert muted.returncode == 0, muted.stderr
    assert muted.stdout.startswith(f"RedisReachable of {cluster.namespace}/model-engine is muted until ")
    wait(lambda: cluster.get()["status"]["health"] == "Healthy")
    done = mehc(cluster, "status")
    assert "× RedisReachable" in done.stdout
    assert "  muted\n" in done.stdout
    assert "RedisReachable: until " in done.stdout
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.condition("RedisReachable")["status"] == "False"
    assert mehc(cluster, "unmute", "DatabaseMigrated").stderr == (
        "mehc: DatabaseMigrated is not muted; muted: RedisReachable\n"
    )
    assert mehc(cluster, "unmute", "RedisReachable").returncode == 0
    wait(lambda: cluster.get()["status"]["health"] == "Failing")
    soon = mehc(cluster, "mute", "RedisReachable/ConnectionRefused", "--for", "5s", "--why", "short")
    assert soon.returncode == 0, soon.stderr
    wait(lambda: cluster.get()["status"].get("mutes", [{}])[0].get("state") == "Ended")
    assert cluster.get()["status"]["health"] == "Failing"


def test_the_history_says_what_changed_before(cluster: Cluster, redis_server: Redis) -> None:
    cluster.apply(with_redis(redis_server))
    assert "history" not in cluster.probed()["status"]
    cluster.apply(refused(redis_server))
    (turned,) = cluster.probed()["status"]["history"]
    assert (turned["check"], turned["from"], turned["to"]) == ("RedisReachable", "Pass", "Fail")
    assert [change["what"] for change in turned["changes"]] == ["spec of model-engine (generation 2)"]
    screen = " ".join(mehc(cluster, "status").stdout.split())
    assert "RedisReachable: Pass -> Fail (ConnectionRefused) after " in screen
    assert "changed shortly before: spec of model-engine (generation 2) (" in screen
    cluster.apply(with_redis(redis_server))
    back, again = cluster.probed()["status"]["history"]
    assert (back["from"], back["to"], again) == ("Fail", "Pass", turned)
    assert "changes" not in back


def test_a_verdict_that_nobody_renews_is_stale(
    cluster: Cluster, redis_server: Redis, operator: Operator
) -> None:
    cluster.apply(with_redis(redis_server))
    cluster.probed()
    operator.stop()
    try:
        cluster.plane.api(
            "PATCH",
            f"{cluster.path}/model-engine/status",
            {"status": {"lastProbeTime": "2026-01-01T00:00:00Z"}},
            content_type="application/merge-patch+json",
        )
        done = mehc(cluster, "status")
        assert done.returncode == 1
        assert "STALE: no probe run since 2026-01-01T00:00Z; what follows may no longer hold" in done.stdout
        assert "kubectl get pods -A" in done.stdout
        assert "Healthy (stale)" in mehc(cluster, "status", "-A").stdout
        late = mehc(cluster, "probe", "--timeout", "1s")
        assert late.stderr == "mehc: no verdict within 1s: no operator seems to run\n"
    finally:
        operator.start()
