"""`mehc lint` as a process: places, formats, exit status, and one line for input that cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from mehc_checks.checks.config.rules.catalogue import all_rules
from testbed.installation import Tree, overlaid
from testbed.rulejudging import at
from testbed.sound import AWS

MEHC = Path(sys.executable).with_name("mehc")
PORT = (
    "service.port is 8080, but the VirtualService routes to port 80: every request through Istio gets a 503"
)
POOL = "config.values.infra.db_engine_pool_size"


def lint(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MEHC, "lint", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"KUBECONFIG": "/nonexistent"},
    )


def found(*words: str | Path) -> list[tuple[str, str, str, int, int]]:
    """Rule, path, file name, line and column of each finding."""
    answer = json.loads(lint(*words, "-o", "json").stdout)
    return [
        (each["rule"], each["path"], Path(each["file"]).name, each["line"], each["column"])
        for each in answer["findings"]
    ]


def written(directory: Path, name: str, *values: Tree) -> Path:
    path = directory / name
    path.write_text(yaml.safe_dump(overlaid(*values)))
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return written(tmp_path, "sound.yaml", AWS)


def test_a_sound_file(sound: Path) -> None:
    done = lint(sound)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("nothing found (")
    assert "skipped, needs the cluster: S1-11, S4-02, S4-07, S5-01, S7-07, S7-08\n" in done.stdout


def test_a_finding_stands_where_the_last_file_gives_the_value(sound: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.yaml"
    first.write_text("config:\n  values:\n    infra:\n      db_engine_pool_size: 5\n")
    second = tmp_path / "second.yaml"
    second.write_text("# comment\nconfig: {values: {infra: {db_engine_pool_size: 10}}}\n")
    assert found(sound, first) == [("S8-03", POOL, "first.yaml", 4, 7)]
    assert found(sound, first, second) == [("S8-03", POOL, "second.yaml", 2, 27)]
    second.write_text("config: {values: {infra: {db_engine_pool_size: null}}}\n")
    assert found(sound, first, second) == [("S8-03", POOL, "second.yaml", 1, 27)]  # a value too


def test_what_is_absent_stands_at_its_nearest_parent(sound: Path, tmp_path: Path) -> None:
    change = tmp_path / "change.yaml"
    change.write_text("tag: v1\nreplicaCount:\n  builder: 0\nresources:\n  requests:\n    memory: null\n")
    assert found(sound, change) == [
        ("S8-12", "replicaCount.builder", "change.yaml", 3, 3),
        ("S8-09", "resources.requests.memory", "change.yaml", 6, 5),
    ]
    change.write_text("context: null\nresources:\n  requests: null\n")
    assert [place[2:] for place in found(sound, change)] == [("change.yaml", 3, 3), ("change.yaml", 1, 1)]
    assert {place[3] for place in found(written(tmp_path, "empty.yaml", {"keda": {}}))} == {1}


def test_a_key_given_twice_is_told_with_both_places_and_the_last_wins(sound: Path, tmp_path: Path) -> None:
    change = tmp_path / "change.yaml"
    change.write_text("service:\n  port: 80\n  port: 8080\n")
    assert found(sound, change) == [
        ("S5-04", "service.port", "change.yaml", 3, 3),
        ("S1-16", "service.port", "change.yaml", 3, 3),
    ]
    twice = next(line for line in lint(sound, change).stdout.splitlines() if "S1-16" in line)
    assert twice.endswith(
        f"service.port is given twice in {change}, in line 2, column 3 and in line 3, column 3; Helm takes the last"
    )


def test_findings_with_one_remedy_share_it(tmp_path: Path) -> None:
    """A sparse file: no line is a wall of text, and no remedy lacks its subject."""
    said = lint(written(tmp_path, "overlay.yaml", {"tag": "v1"})).stdout
    assert max(map(len, said.splitlines())) < 300
    missing = [line for line in said.splitlines() if " S1-02: " in line]
    assert len(missing) == 3
    text = " ".join(said.split())
    assert "15 more: config.values.launch.sqs_queue_policy_template (" in text
    assert (
        "Set config.values.launch.endpoint_namespace; for a feature that you do not use any string works"
        in text
    )
    assert "Do the same for the 17 others." in text


def test_items_of_lists(sound: Path, tmp_path: Path) -> None:
    change = tmp_path / "change.yaml"
    change.write_text("balloons:\n  - acceleratorName: cpu\n    replicaCount: 0\n  - acceleratorName: a100\n")
    assert found(sound, change) == [("S3-01", "balloons[1].acceleratorName", "change.yaml", 4, 5)]


def test_the_file_of_a_wrapper_chart(tmp_path: Path) -> None:
    wrapped = written(
        tmp_path, "w.yaml", {"global": {"a": 1}, "other": {}, "model-engine": overlaid(AWS, at(POOL, 9))}
    )
    line = wrapped.read_text().splitlines().index("        db_engine_pool_size: 9") + 1
    assert found(wrapped) == [("S8-03", f"model-engine.{POOL}", "w.yaml", line, 9)]


def test_standard_input(sound: Path) -> None:
    done = lint(sound, "-", stdin="debug_mode: 'yes'\nservice: {port: 8080}\n")
    assert done.returncode == 1
    assert f"-:2:11: high S5-04: {PORT}\n" in done.stdout
    assert "-:1:1: info S6-04: debug_mode is yes: gateway, builder and cacher log far more\n" in done.stdout


@pytest.mark.parametrize(
    ("change", "fail_on", "status"),
    [
        (at("replicaCount.builder", 0), "fail", 1),
        (at("service.port", 8080), "fail", 1),
        (at("service.port", 8080), "never", 0),
        (at("redis.unsafeSsl", True), "fail", 0),
        (at("redis.unsafeSsl", True), "warn", 1),
        (at("debug_mode", True), "warn", 0),
    ],
)
def test_exit_status(sound: Path, tmp_path: Path, change: Tree, fail_on: str, status: int) -> None:
    assert lint(sound, written(tmp_path, "c.yaml", change), "--fail-on", fail_on).returncode == status


def test_ignored_rules_are_listed(sound: Path, tmp_path: Path) -> None:
    change = written(tmp_path, "c.yaml", at("service.port", 8080))
    done = lint(sound, change, "--ignore", "S5-04=behind our own ingress")
    assert done.returncode == 0
    assert "every request through Istio gets a 503 (behind our own ingress)\n" in done.stdout
    answer = json.loads(lint(sound, change, "--ignore", "S5-04=ours", "-o", "json").stdout)
    assert [(each["rule"], each["why"]) for each in answer["ignored"]] == [("S5-04", "ours")]


def test_yaml_and_json_say_the_same(sound: Path, tmp_path: Path) -> None:
    change = written(tmp_path, "c.yaml", at("service.port", 8080))
    as_json = json.loads(lint(sound, change, "-o", "json").stdout)
    assert yaml.safe_load(lint(sound, change, "-o", "yaml").stdout) == as_json
    assert as_json["counts"] == {"critical": 0, "high": 1, "warning": 0, "info": 0}
    assert {each["rule"] for each in as_json["skipped"]} >= {"S1-11", "S2-az-01"}


def test_junit(sound: Path, tmp_path: Path) -> None:
    change = written(tmp_path, "c.yaml", {"service": {"port": 8080}, "debug_mode": True})
    root = ElementTree.fromstring(lint(sound, change, "-o", "junit", "--ignore", "S6-03=\x07 & <>").stdout)  # noqa: S314
    cases = {case.attrib["name"].partition(":")[0]: case for case in root.iter("testcase")}
    assert cases.keys() == all_rules().keys()
    failed = [name for name, case in cases.items() if case.find("failure") is not None]
    assert failed == ["S5-04"]
    failure = cases["S5-04"].find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "high", "message": PORT}
    assert f"c.yaml:3:3: {PORT}" in (failure.text or "")
    for suite in root.iter("testsuite"):
        assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase")))
        assert int(suite.attrib["failures"]) == len(list(suite.iter("failure")))
        assert int(suite.attrib["skipped"]) == len(list(suite.iter("skipped")))


def test_sarif(sound: Path, tmp_path: Path) -> None:
    change = written(tmp_path, "c.yaml", {"service": {"port": 8080}, "redis": {"unsafeSsl": True}})
    log = json.loads(lint(sound, change, "-o", "sarif", "--ignore", "S5-09=tests").stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(all_rules())
    high, ignored = run["results"]
    assert high["level"] == "error"
    assert rules[high["ruleIndex"]]["id"] == high["ruleId"] == "S5-04"
    (location,) = high["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == str(change)
    assert location["physicalLocation"]["region"] == {"startLine": 4, "startColumn": 3}
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "service.port"
    assert (ignored["ruleId"], ignored["level"]) == ("S5-09", "warning")
    assert ignored["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "tests"}]


def test_no_secret_is_shown(sound: Path, tmp_path: Path) -> None:
    secret = "s3cr3t-w0rd-xyz"
    url = f"https://user:{secret}@prometheus"
    change = written(
        tmp_path,
        "c.yaml",
        at("config.values.infra.prometheus_server_address", url.replace("https", "ftp")),
        {"redis": {"auth": secret}, "extraEnvVars": [{"name": "DB_PASSWORD", "value": secret}]},
    )
    for form in ("text", "json", "yaml", "junit", "sarif"):
        done = lint(sound, change, "-o", form)
        assert done.returncode == 1
        assert secret not in done.stdout


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: [1, 2", "line 2: not YAML: did not find expected"),
        ("- a\n- b\n", "line 1: expected a map of values, not a list"),
        ("just text", "line 1: expected a map of values, not text"),
        ("x" * 10_000_000, "larger than 4 MiB"),
        (LAUGHS, "more than 100000 values"),
        ("a: &a [*a]\n", "nested deeper than 100 levels"),
        ("[" * 50_000, "line 1: nested deeper than 100 levels"),
        (b"\xff\xfe\x00a", "not a text file in UTF-8"),
        ("a: \x07\n", "line 1: not YAML: a character that YAML does not allow"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "content",
)
def test_files_that_cannot_be_used(tmp_path: Path, content: str | bytes, says: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    _refused(lint(bad), f"mehc: {bad}", says)


def test_files_that_are_none(tmp_path: Path) -> None:
    _refused(lint(tmp_path), f"mehc: {tmp_path}", "Is a directory")
    _refused(lint(tmp_path / "missing.yaml"), "missing.yaml", "No such file or directory")
    _refused(lint(), "mehc lint", "the following arguments are required: FILE")


def test_an_empty_file_is_judged_as_no_values(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    done = lint(tmp_path / "empty.yaml")
    assert (done.returncode, done.stderr) == (1, "")
    assert "empty.yaml:1:1: critical S1-04: tag is not set: pods stay in InvalidImageName\n" in done.stdout


@pytest.mark.parametrize(
    ("ignored", "says"),
    [
        ("S5-4=x", "there is no rule S5-4; did you mean S5-04?"),
        ("S5-04", "not of the form RULE=REASON"),
        ("S5-04= ", "RULE=REASON"),
    ],
)
def test_bad_ignores(sound: Path, ignored: str, says: str) -> None:
    _refused(lint(sound, "--ignore", ignored), "mehc", says)


def _refused(done: subprocess.CompletedProcess[str], begins: str, says: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert begins in done.stderr
    assert says in done.stderr
