"""Four people, each with the first command that the documentation gives them: how many lines until the first fix.

The limit is six, as a tired person reads a screen from the top. `--durations` shows what each takes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.healthchecks import Cluster, with_redis
from testbed.redis import Redis

ROOT = Path(__file__).resolve().parents[2]
MEHC = Path(sys.executable).with_name("mehc")
MOST = 6
"""Lines until the first fix."""
FIX = "Start the server"
"""How the remedy for a Redis that is not there begins."""
NEW_DEPLOYMENT = {
    "tag": "abc123def456",
    "secrets": {"kubernetesDatabaseSecretName": "llm-engine-postgres-credentials"},
    "config": {
        "values": {"infra": {"cloud_provider": "aws"}, "launch": {"endpoint_namespace": "llm-engine"}}
    },
}


@pytest.fixture
def broken(cluster: Cluster, redis_server: Redis) -> Cluster:
    """An installation whose Redis has nothing listening, probed by the operator."""
    spec: dict[str, Any] = json.loads(
        json.dumps(with_redis(redis_server)).replace(f":{redis_server.port}/", ":1/")
    )
    cluster.apply(spec)
    cluster.probed()
    return cluster


def until(text: str, fix: str) -> int:
    """The number of the line with the first ``fix``, counted from 1."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if fix in line), 999)


def mehc(*words: str | Path, kubeconfig: Path | None = None) -> str:
    environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    done = subprocess.run(
        [MEHC, *words], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    return done.stdout


def test_a_deployer_judges_values_before_the_install(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(NEW_DEPLOYMENT))
    assert until(mehc("lint", values), "→ Set ") <= MOST


def test_an_adopter_tries_the_command_before_the_operator(broken: Cluster, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(broken.get()["spec"]["values"]))
    words = ("check", "-n", broken.namespace, "-f", values, "--only", "RedisReachable", "--inside")
    assert until(mehc(*words, kubeconfig=broken.plane.kubeconfig), FIX) <= MOST


def test_somebody_on_call_reads_the_stored_verdict(broken: Cluster) -> None:
    kubeconfig = broken.plane.kubeconfig
    assert until(mehc("status", "-n", broken.namespace, kubeconfig=kubeconfig), FIX) <= MOST
    assert until(mehc("status", "-n", broken.namespace, "-o", "short", kubeconfig=kubeconfig), FIX) == 1
    causes = broken.kubectl("get", "mehc", "model-engine", "-o", "jsonpath={.status.causes[0]}")
    assert until(causes, f"Fix: {FIX}") <= 2


def test_a_contributor_finds_every_verb() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert {"setup", "test", "lint"} <= {line.split()[1] for line in shown.splitlines()}
    assert all(f"make {verb} " in page for verb in ("setup", "test", "lint"))
