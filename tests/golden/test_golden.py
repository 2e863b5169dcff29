"""What users read, whole: ten outputs of real installations, held to the letter.

The installations are the demo's; ports, times and random names are masked. `GOLDEN=update python -m pytest
tests/golden` writes the files: read the difference as a user would before committing it.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.demo import Demo
from testbed.installation import overlaid
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

FILES = Path(__file__).parent / "files"
MEHC = Path(sys.executable).with_name("mehc")
MASKS = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(\.\d+)?Z", "TIME"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ?( to \d\d:\d\d:\d\d)?", "TIME"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"(?<=[ (])(\d+h)?(\d+m)?\d+(\.\d+)?(ms|s)(?![a-z])", "TOOK"),
    (r"(?m)(Resource Version: +|UID: +|Generation: +|Latency Ms: +|latencyMs: +)\S+", r"\1X"),
    (r"(launch-endpoint-id-[a-z-]+?|model-engine[a-z-]*?)-[0-9a-f]{8,10}-[0-9a-z]{5}\b", r"\1-HASH-POD"),
    (r"<1s|\b\d+h(\d+m)?\b(?!ealth)", "TOOK"),
    (r"\b\d+ ms\b", "TOOK"),
    (r"(?m)^( {6,}[A-Z][A-Za-z ]*: +)\d+(\.\d+)?$", r"\1N"),  # what kubectl describe shows of evidence
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "TIME"),
)
NARROW = [
    {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]},
]
TWELVE = overlaid(
    AWS,
    at("tag", "1234567"),
    at("service.port", 8080),
    at("config.values.infra.prometheus_server_address", ""),
    at("config.values.infra.db_engine_pool_size", 10),
    at("config.values.launch.sensitive_log_mode", False),
    at("podDisruptionBudget.minAvailable", 2),
    at("autoscaling.prewarming.enabled", True),
    at("replicaCount.cacher", 0),
    at("resources.requests.memory", None),
    at("hostDomain.prefix", "https://"),
    at("service.type", "LoadBalancer"),
    at("balloons", [{"acceleratorName": "nvidia-unknown", "replicaCount": 1, "gpuCount": 1}]),
)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with ExitStack() as stack:
        staged = Demo(stack)
        staged.install()
        staged.explain()
        yield staged


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the values files that are judged without a cluster."""
    folder = tmp_path_factory.mktemp("values")
    (folder / "twelve.yaml").write_text(yaml.safe_dump(TWELVE, sort_keys=False))
    (folder / "sound.yaml").write_text(yaml.safe_dump(AWS, sort_keys=False))
    return str(folder)


def mehc(*words: str, cwd: str = ".", **environment: str) -> str:
    """What the command prints. The width of whoever runs the tests is not that of the golden files."""
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [MEHC, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=inherited | {"KUBECONFIG": "/nonexistent"} | environment,
    )
    return done.stdout + done.stderr


def held(name: str, text: str, *, flow: bool = False) -> None:
    """Compare ``text``, masked, with the golden file ``name``; with ``flow`` word by word, as what is masked has moved
    where lines end.
    """
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    path = FILES / name
    if os.environ.get("GOLDEN") == "update":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    golden = path.read_text()
    if flow:
        assert text.split() == golden.split()
    else:
        assert text == golden


class InCluster:
    """The command, as a pod of the demo's cluster would run it."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    def __call__(self, *words: str, kubeconfig: str = "", **environment: Any) -> str:
        config = kubeconfig or str(self._demo.control_plane.kubeconfig)
        return mehc(*words, "--kubeconfig", config, **self._demo.environment, **environment)


@pytest.fixture(scope="module")
def inside(demo: Demo) -> InCluster:
    return InCluster(demo)


def test_check_of_a_healthy_installation(inside: InCluster) -> None:
    held("check-healthy.txt", inside("check", "--inside", "-n", "acme-sound"))


def test_check_with_one_cause(inside: InCluster) -> None:
    held("check-one-cause.txt", inside("check", "--inside", "-n", "acme-two-behind"))


def test_check_of_twelve_broken_rules(twelve: str) -> None:
    held("check-twelve-rules.txt", mehc("check", "-f", "twelve.yaml", "--only", "ConfigValid", cwd=twelve))


def test_check_without_permission(demo: Demo, inside: InCluster) -> None:
    plane = demo.control_plane
    for manifest in restricted("acme-sound"):
        plane.apply([manifest])
    config = str(plane.service_account_kubeconfig("acme-sound", "narrow"))
    held("check-no-permission.txt", inside("check", "--inside", "-n", "acme-sound", kubeconfig=config))


def restricted(namespace: str) -> list[dict[str, Any]]:
    """A ServiceAccount that may read what is installed in ``namespace``, and nothing else."""
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": "narrow", "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": NARROW},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "narrow"},
            "subjects": [{"kind": "ServiceAccount", "name": "narrow", "namespace": namespace}],
        },
    ]


def test_lint_of_twelve_broken_rules(twelve: str) -> None:
    held("lint-twelve-rules.txt", mehc("lint", "twelve.yaml", cwd=twelve))


def test_lint_of_sound_values(twelve: str) -> None:
    held("lint-healthy.txt", mehc("lint", "sound.yaml", cwd=twelve))


def explained(inside: InCluster, *words: str) -> str:
    """What ``mehc explain`` prints once the registry has answered in the second that it is given."""
    return eventually(
        lambda: inside("explain", "-n", "acme-stuck", "--grace-period", "1s", *words),
        lambda said: "ImagePullFailed" not in said,
        300,
    )


def test_explain_of_three_stuck_endpoints(inside: InCluster) -> None:
    held("explain-three-stuck.txt", explained(inside), flow=True)


def test_explain_of_one_endpoint(inside: InCluster) -> None:
    held("explain-one.txt", explained(inside, "end_gpu"), flow=True)


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("describe-one-cause.txt", "acme-two-behind"), ("describe-healthy.txt", "acme-sound")],
)
def test_describe(demo: Demo, name: str, namespace: str) -> None:
    said = demo.control_plane.kubectl("describe", "mehc", "-n", namespace, "model-engine")
    described = said.partition("\nEvents:")[0]
    held(name, described, flow=True)
    lines = described.splitlines()
    if "healthy" not in name:
        assert lines[lines.index("  Causes:") + 1].count("Fix: ") == 1
    assert lines.index("  Checks:") <= 120, "root causes with their fixes must be on the first pages"
