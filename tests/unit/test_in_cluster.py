"""What `mehc check --in-cluster` passes on, how it travels, and what its Job is made of."""

import argparse
import io
import json

import pytest

from mehc_operator.cli import check
from mehc_operator.cli.incluster.frames import Receiver, Sender, Stream
from mehc_operator.cli.incluster.manifests import Plan
from mehc_operator.cli.incluster.operators import Operator
from mehc_operator.cli.incluster.passing import LOCAL, check_words


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    check.arguments(parser)
    return parser.parse_args(words)


GIVEN = (
    *(
        "-n",
        "here",
        "-o",
        "json",
        "-f",
        "a.yaml",
        "-f",
        "b c.yaml",
        "--release",
        "me",
        "--resource",
        "model-engine",
    ),
    *(
        "--only",
        "RedisReachable,ConfigValid",
        "--skip",
        "EndpointsReady",
        "--timeout",
        "1m30s",
        "--fail-on",
        "warn",
    ),
    *(
        "--set-parameter",
        "EndpointsReady.gracePeriod=5m",
        "--set-parameter",
        "EndpointsReady.failAbove={a: [1, x]}",
    ),
    *("--severity", "RedisReachable=info", "--ignore-rule", "S1-01=it's = ours", "--inside"),
    *("--kubeconfig", "k", "--context", "c", "--in-cluster", "--image", "i", "--image-pull-secret", "s"),
    *("--service-account", "a", "--start-timeout", "5s"),
)


def test_what_arrives_is_what_was_asked_except_for_what_is_local() -> None:
    given = vars(parsed(*GIVEN))
    default = vars(parsed())
    assert [name for name in given if given[name] == default[name]] == []  # or it would not be tested here
    _, *words = check_words(argparse.Namespace(**given), "there")
    arrived = vars(parsed(*words))
    for name in LOCAL:
        assert arrived[name] == default[name]
    assert arrived["namespace"] == "there"
    same = set(given) - LOCAL - {"namespace"}
    assert {name: arrived[name] for name in same} == {name: given[name] for name in same}


def sent(text: str) -> bytes:
    stream = io.BytesIO()
    sender = Sender(stream)
    sender.send(version="1")
    Stream(sender, "out", color=False, plain=False).write(text)
    Stream(sender, "err", color=False, plain=False).write("a warning\n")
    sender.send(status=1)
    return stream.getvalue()


TEXT = "".join(f'{number}: {{"a": "é 😀 \x1b[31m\\n"}}\n' for number in range(60_000))


class Received:
    def __init__(self) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.receiver = Receiver(out=self.out.append, err=self.err.append)

    def is_whole(self) -> bool:
        texts = "".join(self.out), "".join(self.err)
        return texts == (TEXT, "a warning\n") and self.receiver.status == 1


def test_a_large_report_arrives_whole_however_it_is_cut() -> None:
    data = sent(TEXT)
    assert max(map(len, data.split(b"\n"))) < 16 * 1024
    for size in (997, 4096, 16 * 1024 + 1):
        received = Received()
        for start in range(0, len(data), size):
            received.receiver.feed(data[start : start + size])
        assert received.is_whole()


def test_a_log_that_is_read_again_is_printed_once() -> None:
    data, received = sent(TEXT), Received()
    received.receiver.feed(data[: len(data) // 2].rpartition(b"\n")[0] + b"\n")
    received.receiver.feed(data)
    assert received.is_whole()


def test_without_its_end_a_report_has_no_status() -> None:
    lines, received = sent(TEXT).splitlines(keepends=True), Received()
    received.receiver.feed(b"".join(lines[:100] + lines[101:]))
    assert received.receiver.status is None


def test_what_is_no_frame_is_remembered_and_not_printed() -> None:
    received = Received()
    received.receiver.feed(b"mehc: argument COMMAND: invalid choice: 'relay'\n[1]\n")
    assert (received.out, received.receiver.foreign) == ([], "[1]")


def plan(operator: Operator | None = None, files: bytes = b"") -> Plan:
    return Plan(
        name="mehc-check-1",
        namespace="there",
        image="registry/mehc:1",
        words=["relay", "check"],
        seconds=600,
        run_by="host/1",
        until=1,
        account="operator" if operator else "",
        operator=operator,
        files=files,
    )


OPERATOR = Operator(
    namespace="mehc",
    name="mehc",
    ready=(),
    labels={"app.kubernetes.io/name": "mehc", "helm.sh/chart": "x", "azure.workload.identity/use": "true"},
    template={
        "serviceAccountName": "operator",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"a": "b"},
        "securityContext": {"runAsNonRoot": True},
        "volumes": [{"name": "ca-bundle", "configMap": {"name": "ca"}}],
        "containers": [
            {
                "name": "operator",
                "image": "registry/mehc:0",
                "args": ["run"],
                "env": [{"name": "HTTPS_PROXY", "value": "http://proxy"}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 1}},
                "volumeMounts": [{"name": "ca-bundle", "mountPath": "/etc/mehc/ca"}],
            }
        ],
    },
)


def test_a_job_beside_the_operator_reaches_and_trusts_what_it_does() -> None:
    template = plan(OPERATOR, files=b"{}\n").job()["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert pod["serviceAccountName"] == "operator"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert [volume["name"] for volume in pod["volumes"]] == ["ca-bundle", "values"]
    assert [mount["name"] for mount in container["volumeMounts"]] == ["ca-bundle", "values"]
    assert container["env"] == [{"name": "HTTPS_PROXY", "value": "http://proxy"}]
    assert "livenessProbe" not in container
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert (
        template["metadata"]["labels"]["app.kubernetes.io/name"] != "mehc"
    )  # its Service does not select it


@pytest.mark.parametrize("operator", [None, OPERATOR])
def test_values_are_in_a_secret_alone(operator: Operator | None) -> None:
    made = plan(operator, files=b'{"values.yaml": "token: s3cr3t"}\n')
    assert "s3cr3t" not in json.dumps(made.job())
    assert "s3cr3t" in made.secret(made.metadata)["stringData"]["files.json"]
