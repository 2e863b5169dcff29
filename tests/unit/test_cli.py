"""The command as a process: exit status, one-line errors, output for people and for programs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mehc_checks.engine.check import catalogue
from mehc_operator.cli import catalog, main
from testbed.installation import aws_values, overlaid

MEHC = Path(sys.executable).with_name("mehc")
VALUES = overlaid(
    aws_values(cache_redis_aws_url="redis://127.0.0.1:1/15"),
    {"secrets": {"kubernetesDatabaseSecretName": "database"}},
)


def mehc(*words: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MEHC, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"KUBECONFIG": "/nonexistent/kubeconfig"} | environment,
    )


@pytest.fixture
def values(tmp_path: Path) -> Path:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    return path


def dead_kubeconfig(path: Path) -> Path:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"https://127.0.0.1:{unused.getsockname()[1]}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "COMMAND"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["check"], "no cluster to check"),
        (["check", "--values", "{missing}"], "missing: No such file"),
        (["check", "--values", "{folder}"], "Is a directory"),
        (["check", "--values", "{binary}"], "not a text file"),
        (["check", "--values", "{broken}"], "broken, line 2: not YAML"),
        (["check", "--values", "{list}"], "expected a map of values, not a list"),
        (["check", "--values", "{good}", "--only", "RedisReachabel"], "did you mean RedisReachable?"),
        (["check", "--values", "{good}", "--skip", "xyz"], "there is no check xyz"),
        (
            ["check", "--values", "{good}", "--only", "RedisReachable", "--skip", "RedisReachable"],
            "leave no check to run",
        ),
        (["check", "--values", "{good}", "--severity", "RedisReachable=bad"], "the severities are critical"),
        (["check", "--values", "{good}", "--severity", "RedisReachable"], "CHECK=SEVERITY"),
        (
            ["check", "--values", "{good}", "--set-parameter", "EndpointsReady.gracePeriod"],
            "CHECK.NAME=VALUE",
        ),
        (
            ["check", "--values", "{good}", "--set-parameter", "EndpointsReady.gracePeriodd=5m"],
            "gracePeriodd",
        ),
        (["check", "--values", "{good}", "--set-parameter", "Endpoint.gracePeriod=5m"], "did you mean"),
        (["check", "--values", "{good}", "--ignore-rule", "S9-99=why"], "S9-99"),
        (["check", "--values", "{good}", "--timeout", "soon"], "--timeout"),
        (["check", "--values", "{good}", "--fail-on", "maybe"], "--fail-on"),
        (["check", "--kubeconfig", "{missing}"], "no kubeconfig at"),
        (["check", "--kubeconfig", "{folder}"], "no kubeconfig at"),
        (["check", "--kubeconfig", "{binary}"], "kubeconfig"),
        (["check", "--kubeconfig", "{list}"], "kubeconfig"),
        (["check", "--kubeconfig", "{broken}"], "kubeconfig"),
        (["check", "--kubeconfig", "{good}"], "kubeconfig"),
        (["check", "--kubeconfig", "{dead}"], "cannot be reached"),
        (["check", "--kubeconfig", "{dead}", "--context", "nope"], "nope"),
        (["run", "--kubeconfig", "{missing}"], "no kubeconfig at"),
        (["run", "--port", "99999"], "--port"),
    ],
)
def test_what_cannot_run_is_one_line_and_exit_status_2(words: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\x7fELF\xd0\xff")
    (tmp_path / "broken").write_text("a: [1\n")
    (tmp_path / "list").write_text("- 1\n")
    (tmp_path / "good").write_text("a: 1\n")
    dead_kubeconfig(tmp_path / "dead")
    done = mehc(*(word.replace("{", f"{tmp_path}/").replace("}", "") for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mehc")


def test_without_a_cluster_checks_that_need_one_are_skipped(values: Path) -> None:
    done = mehc("check", "-f", values, "--only", "DatabaseMigrated", "-o", "json")
    (check,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "DatabaseMigrated"]
    assert (done.returncode, check["status"]) == (0, "Skip")


def test_a_failing_check_is_exit_status_1_with_cause_and_remedy(values: Path) -> None:
    done = mehc("check", "--inside", "-f", values, "--only", "RedisReachable")
    assert done.returncode == 1, done.stderr
    assert f"× RedisReachable  {catalogue()['RedisReachable'].title}" in done.stdout
    assert "→" in done.stdout
    assert "docs/checks/RedisReachable.md#" in done.stdout
    assert "\x1b" not in done.stdout
    assert (
        mehc("check", "--inside", "-f", values, "--only", "RedisReachable", "--fail-on", "never").returncode
        == 0
    )


def test_what_only_the_cluster_can_reach_is_no_failure_from_outside(values: Path) -> None:
    done = mehc("check", "-f", values, "--only", "RedisReachable", "-o", "json")
    (check,) = json.loads(done.stdout)["checks"]
    assert (done.returncode, check["status"], check["reason"]) == (1, "Error", "NotTestableFromHere")
    assert "127.0.0.1:1 refused" in check["message"]


def test_json_and_yaml_say_the_same(values: Path) -> None:
    reports = []
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        report = read(
            mehc("check", "--inside", "-f", values, "--only", "RedisReachable", "-o", output).stdout
        )
        checks = [(c["name"], c["status"], c["reason"], c["message"]) for c in report["checks"]]
        reports.append((report["counts"], report["rootCauses"], checks))
    assert reports[0] == reports[1]


def test_later_values_win_and_standard_input_is_a_file(values: Path) -> None:
    overlay = yaml.safe_dump(
        {"config": {"values": {"launch": {"cache_redis_aws_url": "redis://127.0.0.1:2/15"}}}}
    )
    done = mehc("check", "--inside", "-f", values, "-f", "-", "--only", "RedisReachable", stdin=overlay)
    assert "127.0.0.1:2" in done.stdout
    assert "127.0.0.1:1 " not in done.stdout


def test_catalog_lists_every_check() -> None:
    listed = json.loads(mehc("catalog", "-o", "json").stdout)
    assert [check["name"] for check in listed["checks"]] == list(catalogue())
    text = mehc("catalog", "--reasons").stdout
    for check in catalogue().values():
        assert f"{check.name}  ({check.severity})" in text
        assert all(reason.name in text for reason in check.reasons.all())


def test_a_fault_of_ours_is_one_line_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: object) -> int:
        raise RuntimeError("cannot connect with planted-Pa55word-9f3c")

    monkeypatch.setattr(catalog, "execute", broken)
    assert main(["catalog"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(
        r"mehc: internal error, please report it: RuntimeError at .*test_cli\.py:\d+\n", printed.err
    )


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [MEHC, "catalog", "--reasons"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 2


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        path = dead_kubeconfig(tmp_path / "silent")
        document = yaml.safe_load(path.read_text())
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        path.write_text(yaml.safe_dump(document))
        with (
            subprocess.Popen(
                # A shell that runs the tests in the background has them ignore the signal.
                ["env", "--default-signal=INT", MEHC, "check", "--kubeconfig", path],
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
            silent.accept()[0],
        ):  # it is waiting for our answer now
            process.send_signal(signal.SIGINT)
            assert process.stderr
            assert process.stderr.read() == "mehc: interrupted\n"
            assert process.wait() == 2
