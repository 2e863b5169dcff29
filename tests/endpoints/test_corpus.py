"""What kubelets, runtimes, the scheduler and admission say: each known text has its cause, none stops the parsers."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.redact import MASK
from mehc_checks.core.text import shortened
from mehc_checks.workload import containers, creation, ended, mounts, pulls, scheduling
from mehc_checks.workload.objects import Container, Pod
from mehc_checks.workload.read import read_pod
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.scheduling import Selected, decide
from mehc_checks.workload.trouble import Trouble

CORPUS: dict[str, list[dict[str, Any]]] = {}
for _name in ("reported.yaml", "corpus.yaml"):  # read elsewhere, and recorded (testbed/recording.py)
    for _kind, _entries in yaml.safe_load(Path(__file__).with_name(_name).read_text()).items():
        CORPUS.setdefault(_kind, []).extend(_entries)
IMAGE = "registry.example/vllm:1"
LONGEST = 600
SECRETS = ("Bearer abcdef0123456789", "password=hunter2hunter2", "https://user:hunter2@registry.example/x")


KNOWN = {"pod": "a", "namespace": "endpoints", "node": "n", "container": "main"}


def container(status: dict[str, Any]) -> Container:
    pod = {
        "metadata": {"name": "a"},
        "status": {"containerStatuses": [{"name": "main", "image": IMAGE, **status}]},
    }
    return read_pod(pod).containers[0]


def said(kind: str, entry: dict[str, Any]) -> tuple[str, str]:
    """The cause's name and its words."""
    if kind == "schedule":
        verdict = scheduling.read(entry["text"])
        return decide(verdict, None).name, verdict.said
    found = parsed(kind, entry)
    return found.reason.name, found.finding(**KNOWN).message


def parsed(kind: str, entry: dict[str, Any]) -> Trouble:
    if kind == "state":
        trouble = containers.read(container(entry["state"]))
        assert trouble
        return trouble
    if kind == "ended":
        gone = Pod(name="a", node="n", phase="Failed", reason=entry["reason"], message=entry["text"])
        trouble = ended.read(gone, ())
        assert trouble
        return trouble
    if kind == "pull":
        return pulls.read(entry["text"], entry.get("image", IMAGE))
    readers = {"create": creation.read, "mount": mounts.read_mount, "sandbox": mounts.read_sandbox}
    return readers[kind](entry["text"])


ENTRIES = [
    pytest.param(kind, entry, id=f"{kind}: {entry['source']}")
    for kind, entries in CORPUS.items()
    for entry in entries
]


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_each_text_has_its_cause(kind: str, entry: dict[str, Any]) -> None:
    cause, words = said(kind, entry)
    assert cause == entry["cause"], words
    assert entry.get("says", "") in words
    assert len(words) <= LONGEST
    assert "\n" not in words


@pytest.mark.parametrize(("kind", "entry"), [entry for entry in ENTRIES if "fix" in entry.values[1]])
def test_a_remedy_is_for_what_the_text_says(kind: str, entry: dict[str, Any]) -> None:
    assert entry["fix"] in parsed(kind, entry).finding(**KNOWN).remediation


@pytest.mark.parametrize("kind", ["pull", "create", "mount", "sandbox", "schedule"])
@pytest.mark.parametrize("secret", SECRETS)
def test_unknown_texts_are_shortened_and_lose_what_looks_secret(kind: str, secret: str) -> None:
    _, words = said(kind, {"text": f"0/1 nodes are available: 1 odd {secret} " + "x " * 2000})
    assert len(words) <= LONGEST
    assert "hunter2" not in words
    assert "abcdef0123456789" not in words


def test_an_unknown_state_is_its_raw_reason() -> None:
    (entry,) = (e for e in CORPUS["state"] if e["source"] == "a kubelet to come")
    _, words = said("state", entry)
    assert "AwaitingTheMuse" in words
    assert MASK in words
    assert "abcdef123456" not in words


@pytest.mark.parametrize("kind", ["pull", "create", "mount", "sandbox", "schedule"])
@given(text=st.text(max_size=400))
def test_no_text_stops_a_parser(kind: str, text: str) -> None:
    cause, words = said(kind, {"text": text})
    assert cause in {reason.name for reason in R.all()}
    assert len(words) <= LONGEST


PIECES = st.sampled_from(
    [e["text"] for entries in CORPUS.values() for e in entries if "text" in e]
    + [
        "0/3 nodes are available: ",
        ", 1 ",
        "preemption: ",
        "taint {",
        "}",
        '"',
        ": ",
        "quota: ",
        " requested: ",
    ]
)


@pytest.mark.parametrize("kind", ["pull", "create", "mount", "sandbox", "schedule"])
@given(pieces=st.lists(st.tuples(PIECES, st.integers(0, 300), st.integers(0, 300)), max_size=6))
def test_no_patchwork_of_known_texts_stops_a_parser(kind: str, pieces: list[tuple[str, int, int]]) -> None:
    cause, words = said(kind, {"text": "".join(text[start : start + size] for text, start, size in pieces)})
    assert cause in {reason.name for reason in R.all()}
    assert len(words) <= LONGEST


@given(text=st.text(max_size=600), limit=st.integers(20, 300))
def test_shortening_keeps_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit


BOTH = (
    "0/4 nodes are available: 1 node(s) had untolerated taint {dedicated: ml}, 3 node(s) didn't match Pod's node "
    "affinity/selector."
)
CORDONED = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
    "2 node(s) were unschedulable."
)
HELD = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {karpenter.sh/disrupted: }, 2 node(s) had untolerated "
    "taint {node-role.kubernetes.io/control-plane: }."
)
UNNAMED = "0/3 nodes are available: 3 node(s) had untolerated taint(s)."


@pytest.mark.parametrize(
    ("text", "selected", "cause"),
    [
        (BOTH, None, R.TAINT_UNTOLERATED),
        (BOTH, Selected(nodes=0, usable=0), R.LABEL_UNMATCHED),
        (BOTH, Selected(nodes=1, usable=1), R.TAINT_UNTOLERATED),
        (BOTH, Selected(nodes=1, usable=0), R.NODES_UNUSABLE),
        (BOTH.replace("dedicated: ml", "node-role.kubernetes.io/master: "), None, R.LABEL_UNMATCHED),
        (CORDONED, Selected(nodes=2, usable=0), R.NODES_UNUSABLE),
        (HELD, None, R.NODE_STATE_TAINT),
        (HELD, Selected(nodes=1, usable=0, holds="karpenter.sh/disrupted"), R.NODE_STATE_TAINT),
        (UNNAMED, Selected(nodes=1, usable=0, holds="karpenter.sh/disrupted"), R.NODE_STATE_TAINT),
        (UNNAMED, Selected(nodes=2, usable=1, holds="karpenter.sh/disrupted"), R.TAINT_UNTOLERATED),
        (CORDONED, Selected(nodes=0, usable=0), R.LABEL_UNMATCHED),
        (
            "0/1 nodes are available: 1 Insufficient cpu.",
            Selected(nodes=0, usable=0),
            R.RESOURCES_INSUFFICIENT,
        ),
    ],
)
def test_nodes_decide_what_the_words_leave_open(text: str, selected: Selected | None, cause: object) -> None:
    assert decide(scheduling.read(text), selected) is cause


def test_a_missing_key_is_named_with_what_it_is_missing_from() -> None:
    """The kubelet's Event has the volume's name, the pod what that is made of."""
    volumes = [
        {"name": "config", "configMap": {"name": "service-config"}},
        {"name": "other", "secret": {"secretName": "other"}},
        {"name": "all", "projected": {}},
    ]
    pod = read_pod({"metadata": {"name": "a"}, "spec": {"volumes": volumes}})
    said = (
        'MountVolume.SetUp failed for volume "config" : configmap references non-existent config key: infra'
    )
    found = mounts.read_mount(said, pod.volumes).finding(**KNOWN)
    assert (
        found.message
        == 'volume "config" cannot be mounted: key infra of ConfigMap service-config does not exist'
    )
    assert found.remediation.startswith("Create key infra of ConfigMap service-config in namespace ")
    assert pod.volumes["other"] == "Secret other"
