"""`mehc check --in-cluster` in a pod of the operator: the API server's own exec, and the command at its other end.

KWOK stands in for the kubelet: it runs here what is executed in a pod. On a real one: test_in_cluster_node.py.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mehc_checks.checks.config.rules.evaluate import MOST_PLACES
from mehc_operator.cli.incluster.operators import LABEL
from testbed.chart import CHART
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.installation import overlaid
from testbed.kwok import Kwok
from testbed.process import remove_directory, temporary_directory
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

MEHC = Path(sys.executable).with_name("mehc")
OPERATOR = "mehc"
NAMESPACE = "model-engine"

WRONG = {f"unknown{number}{'é' * 2500}": 1 for number in range(MOST_PLACES)}
"""Values whose report has megabytes, and how the last of them begins there."""
LAST = f"unknown{MOST_PLACES - 1}é"

pytestmark = pytest.mark.timeout(900)


class Cluster:
    """An installation, the operator's chart in namespace "mehc", and a folder whose `mehc` its pods have."""

    def __init__(self, plane: ControlPlane, programs: Path, log: Path) -> None:
        self.plane = plane
        self.log = log
        self._programs = programs
        for name in (OPERATOR, NAMESPACE, f"{NAMESPACE}-endpoints"):
            plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        helm = Helm(plane)
        helm.install(OPERATOR, OPERATOR, {"image": {"repository": "registry.example.com/mehc"}}, chart=CHART)
        values = overlaid(
            AWS,
            at("config.values.launch.endpoint_namespace", f"{NAMESPACE}-endpoints"),
            at("aws.configMap.namespaces", [NAMESPACE, f"{NAMESPACE}-endpoints"]),
        )
        helm.install("me", NAMESPACE, values)
        plane.kubectl("rollout", "status", "-n", OPERATOR, f"deployment/{OPERATOR}", timeout=170)
        self.has(f'exec {MEHC} "$@"')

    def has(self, script: str) -> None:
        """What `mehc` is in the operator's pods."""
        program = self._programs / "mehc"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def jobs(self) -> list[Any]:
        found: list[Any] = self.plane.api("GET", f"/apis/batch/v1/namespaces/{OPERATOR}/jobs")["items"]
        return found

    def command(self, *words: str, kubeconfig: Path | None = None) -> list[str]:
        where = ("--kubeconfig", str(kubeconfig or self.plane.kubeconfig), "-n", NAMESPACE)
        return [str(MEHC), "check", *where, *words]

    def check(
        self, *words: str, kubeconfig: Path | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = self.command("--in-cluster", *words, kubeconfig=kubeconfig)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def here() -> Iterator[Cluster]:
    programs = temporary_directory("programs")
    path = f"{programs}:{os.environ['PATH']}"
    flags = {"kubelet-preferred-address-types": "InternalIP"}
    with ControlPlane(apiserver_flags=flags) as plane, Kwok(plane, path=path) as kwok:
        kwok.add_node("node-1")
        yield Cluster(plane, programs, kwok.log)
    remove_directory(programs)


@pytest.fixture(autouse=True)
def own_mehc(here: Cluster) -> Iterator[None]:
    yield
    here.has(f'exec {MEHC} "$@"')


def judged(report: str) -> list[Any]:
    read, keys = json.loads(report), ("name", "status", "reason")
    return [read["context"], *([check[key] for key in keys] for check in read["checks"])]


def test_the_report_is_that_of_a_check_inside(here: Cluster) -> None:
    words = (
        "-o",
        "json",
        "--timeout=60s",
        "--only",
        "ConfigValid,ControlPlaneReady,GpuNodesReady,EndpointsReady",
    )

    def inside() -> str:
        command = here.command("--inside", *words)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    there = eventually(lambda: here.check(*words), lambda done: judged(done.stdout) == judged(inside()), 300)
    assert there.returncode == 1, there.stderr
    assert there.stderr.startswith(f"checking from pod {OPERATOR}/{OPERATOR}-")
    assert there.stdout.endswith("}\n")
    assert here.check("--only", "ConfigValid", "--fail-on", "never").returncode == 0


def test_values_arrive_through_standard_input_and_a_report_of_megabytes_whole(
    here: Cluster, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"config": {"values": {"infra": WRONG}}}, allow_unicode=True))
    done = here.check(
        "-f", str(values), "-f", "-", "-o", "json", "--only", "ConfigValid", stdin="tag: over\n"
    )
    assert done.returncode == 1, done.stderr
    assert len(done.stdout) > 1_000_000
    report = json.loads(done.stdout)
    assert LAST in json.dumps(report, ensure_ascii=False)


def test_a_mistake_is_the_same_line_with_the_same_status(here: Cluster) -> None:
    done = here.check("--resource", "nowhere", "--only", "ConfigValid")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--resource nowhere: namespace {NAMESPACE} has no ModelEngineHealthCheck" in done.stderr


def test_an_older_operator_is_named(here: Cluster) -> None:
    here.has(
        """echo "mehc: argument COMMAND: invalid choice: 'relay' (choose from check, run)" >&2; exit 2"""
    )
    done = here.check()
    assert (done.returncode, done.stdout) == (2, "")
    assert "has a mehc older than this one" in done.stderr
    assert "Upgrade the operator" in done.stderr


def test_an_option_that_it_does_not_know_is_its_own_line_with_both_versions(here: Cluster) -> None:
    here.has(
        """echo '{"mehc": 0, "version": "0.0.1"}'; echo '{"mehc": 1, "err": "mehc: unrecognized arguments: --x\\\\n"}'
        echo '{"mehc": 2, "status": 2}'"""
    )
    done = here.check()
    assert (done.returncode, done.stdout) == (2, "")
    _, line, versions = done.stderr.splitlines()
    assert line == "mehc: unrecognized arguments: --x"
    assert versions.startswith("mehc is 0.0.1 there")


def test_a_check_that_dies_is_no_report(here: Cluster) -> None:
    here.has(f'{MEHC} "$@" | head -c 5000; kill -9 $$')
    done = here.check("--only", "ConfigValid", "-o", "json")
    assert done.returncode == 2
    assert "the check did not run" in done.stderr or "ended before the report did" in done.stderr


def test_exec_that_is_not_allowed_is_one_line(here: Cluster) -> None:
    group = "rbac.authorization.k8s.io"
    kubeconfig = here.plane.service_account_kubeconfig(OPERATOR, "looker")
    subject = {"kind": "ServiceAccount", "name": "looker", "namespace": OPERATOR}
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ]
    executing = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}
    metadata = {"name": "looker", "namespace": OPERATOR}
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    reference = {"apiGroup": group, "kind": "Role", "name": "looker"}
    binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, "roleRef": reference}
    here.plane.apply([role, {**binding, "subjects": [subject]}])
    done = here.check("--only", "ConfigValid", kubeconfig=kubeconfig)
    assert done.returncode == 2
    assert f'not allowed to get and create pods/exec "{OPERATOR}-' in done.stderr
    assert f"in namespace {OPERATOR}" in done.stderr
    # The documented Role is enough.
    here.plane.apply({**role, "rules": [*rules, executing]})
    allowed = eventually(
        lambda: here.check("--only", "ConfigValid", kubeconfig=kubeconfig),
        lambda done: "not allowed" not in done.stderr,
    )
    assert allowed.returncode == 1, allowed.stderr


def test_an_interrupted_check_ends_at_once(here: Cluster, tmp_path: Path) -> None:
    began = tmp_path / "began"
    here.has(f"echo $$ > {began}.new; mv {began}.new {began}; exec sleep 600")
    with subprocess.Popen(
        ["env", "--default-signal=INT", *here.command("--in-cluster")], stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(began.exists, bool, 300)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 2
    assert said.splitlines()[-1] == "mehc: interrupted"
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(began.read_text()), signal.SIGKILL)


def logged(output: bytes) -> Iterator[str]:
    """``output`` as a container runtime writes it: long lines in parts, between lines of standard error."""
    for line in output.splitlines():
        yield "2026-11-27T15:00:00.000000000Z stderr F a line of another kind\n"
        parts = [line[start : start + 3000] for start in range(0, len(line), 3000)]
        for part in parts[:-1]:
            yield f"2026-11-27T15:00:00.000000000Z stdout P {part.decode(errors='surrogateescape')}\n"
        yield f"2026-11-27T15:00:00.000000000Z stdout F {parts[-1].decode(errors='surrogateescape')}\n"


def test_the_log_of_a_job_is_followed_to_its_end(here: Cluster, tmp_path: Path) -> None:
    values = {"values.yaml": yaml.safe_dump({"config": {"values": {"infra": WRONG}}}, allow_unicode=True)}
    words = ("check", "--inside", "-f", "values.yaml", "--only", "ConfigValid", "-o", "json")
    files = tmp_path / "files.json"
    files.write_text(json.dumps(values))
    sent = subprocess.run([MEHC, "relay", f"--files={files}", *words], capture_output=True, check=True).stdout
    lines = [line.encode(errors="surrogateescape") for line in logged(sent)]
    with (
        here.log.open("wb") as log,
        subprocess.Popen(
            here.command("--in-cluster", "--image", "registry.example.com/mehc:1", "-o", "json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        log.writelines(lines[: len(lines) // 2])
        log.flush()
        eventually(here.jobs, lambda items: len(items) == 1, 300)
        log.writelines(lines[len(lines) // 2 :])
        log.flush()
        report, said = process.communicate()
    assert process.returncode == 1, said
    assert len(report) > 1_000_000
    assert LAST in json.dumps(json.loads(report), ensure_ascii=False)
    assert said.startswith(f"checking from Job {OPERATOR}/mehc-check-")
    eventually(here.jobs, lambda items: items == [])


def test_pods_that_are_not_ready_make_it_a_job(here: Cluster) -> None:
    path = f"/apis/apps/v1/namespaces/{OPERATOR}/deployments/{OPERATOR}"
    kind = "application/merge-patch+json"
    here.plane.api("PATCH", path, {"spec": {"replicas": 0}}, content_type=kind)
    pods = f"/api/v1/namespaces/{OPERATOR}/pods?labelSelector={LABEL.replace('=', '%3D')}"
    eventually(lambda: here.plane.api("GET", pods)["items"], lambda items: items == [])
    with subprocess.Popen(
        ["env", "--default-signal=INT", *here.command("--in-cluster", "--only", "ConfigValid")],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        (job,) = eventually(here.jobs, lambda items: len(items) == 1, 300)
        process.send_signal(signal.SIGINT)
        process.communicate()
    here.plane.api("PATCH", path, {"spec": {"replicas": 2}}, content_type=kind)
    here.plane.kubectl("rollout", "status", "-n", OPERATOR, f"deployment/{OPERATOR}", timeout=170)
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == OPERATOR
    assert pod["containers"][0]["image"].startswith("registry.example.com/mehc:")
