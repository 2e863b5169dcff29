"""`mehc check --in-cluster` as far as no container runs: what it makes, what it says, and that nothing stays."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mehc_checks.engine.check import catalogue
from mehc_operator.permissions import rules
from testbed.controlplane import ControlPlane
from testbed.helm import Helm
from testbed.installation import Tree, overlaid
from testbed.rulejudging import at
from testbed.sound import AWS
from testbed.waiting import eventually

MEHC = Path(sys.executable).with_name("mehc")
RBAC = "/apis/rbac.authorization.k8s.io/v1"
IMAGE = ("--image", "registry.example.com/mehc:1")
pytestmark = pytest.mark.timeout(900)
LABEL = "labelSelector=app.kubernetes.io/managed-by%3Dmehc-check"


class Place:
    """An installation, and the command."""

    def __init__(self, plane: ControlPlane, namespace: str, endpoints: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.endpoints = endpoints

    def command(self, *words: str, kubeconfig: Path | None = None) -> list[str | Path]:
        where = ("--kubeconfig", str(kubeconfig or self.plane.kubeconfig), "-n", self.namespace)
        return [MEHC, "check", "--in-cluster", *where, *words]

    def check(self, *words: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = self.command(*words, kubeconfig=kubeconfig)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @contextlib.contextmanager
    def pending(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """The command, at the point where it waits for its pod."""
        before = self.uids()
        with subprocess.Popen(
            ["env", "--default-signal=INT", *self.command(*words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                eventually(self.uids, lambda uids: bool(uids - before), 300)
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.communicate()

    def uids(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods()}

    def pods(self) -> list[Tree]:
        return self._list(f"/api/v1/namespaces/{self.namespace}/pods")

    def made(self) -> list[str]:
        """Everything that checks have made and is still there."""
        collections = [
            f"/apis/batch/v1/namespaces/{self.namespace}/jobs",
            *(
                f"/api/v1/namespaces/{self.namespace}/{kind}"
                for kind in ("pods", "secrets", "serviceaccounts")
            ),
            *(
                f"{RBAC}/namespaces/{place}/{kind}"
                for place in (self.namespace, self.endpoints)
                for kind in ("roles", "rolebindings")
            ),
            *(f"{RBAC}/{kind}" for kind in ("clusterroles", "clusterrolebindings")),
        ]
        return [
            f"{path.rpartition('/')[2]} {item['metadata']['name']}"
            for path in collections
            for item in self._list(path)
        ]

    def _list(self, path: str) -> list[Tree]:
        found: list[Tree] = self.plane.api("GET", f"{path}?{LABEL}")["items"]
        return found

    def user(self, name: str, allowed: Sequence[Tree]) -> Path:
        """The kubeconfig of an account with no more than ``allowed`` in the installation's namespaces."""
        kubeconfig = self.plane.service_account_kubeconfig(self.namespace, name)
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        group = "rbac.authorization.k8s.io"
        for place in (self.namespace, self.endpoints):
            metadata = {"name": name, "namespace": place}
            role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": list(allowed)}
            reference = {"apiGroup": group, "kind": "Role", "name": name}
            binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata}
            self.plane.apply([role, {**binding, "roleRef": reference, "subjects": [subject]}])
        return kubeconfig


@pytest.fixture(scope="module")
def nodeless() -> Iterator[ControlPlane]:
    """A cluster without a node, so that every pod is Pending."""
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def place(nodeless: ControlPlane) -> Place:
    namespace, endpoints = nodeless.create_namespace(), nodeless.create_namespace()
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    values = overlaid(
        AWS,
        at("config.values.launch.endpoint_namespace", endpoints),
        at("aws.configMap.namespaces", [namespace, endpoints]),
    )
    Helm(nodeless).install("me", namespace, values)
    nodeless.api(
        "PATCH",
        f"/api/v1/namespaces/{namespace}",
        {"metadata": {"labels": restricted}},
        content_type="application/merge-patch+json",
    )
    return Place(nodeless, namespace, endpoints)


def rule(group: str, resources: str, verbs: str) -> Tree:
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


READER = [
    *(each for scope in ("own", "endpoints", "helmReleases") for each in rules(catalogue().values())[scope]),
    rule("", "pods/log", "get"),
]
CREATOR = [
    rule("batch", "jobs", "create delete list"),
    rule("", "serviceaccounts", "create delete"),
    rule("rbac.authorization.k8s.io", "roles rolebindings", "create delete list"),
]


def test_without_an_operator_an_image_is_needed(place: Place) -> None:
    done = place.check()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no operator watches namespace" in done.stderr
    assert "Give --image REPOSITORY/mehc:" in done.stderr
    assert place.made() == []


def test_a_pod_that_does_not_start_is_named_with_its_cause_and_leaves_nothing(place: Place) -> None:
    done = place.check(*IMAGE, "--start-timeout=1s")
    assert (done.returncode, done.stdout) == (2, "")
    first, last = done.stderr.strip().splitlines()
    assert first.startswith(f"checking from Job {place.namespace}/mehc-check-")
    assert f"pod {place.namespace}/mehc-check-" in last
    assert "did not start within 1s" in last
    assert "no nodes" in last
    assert "--start-timeout" in last
    eventually(place.made, lambda made: made == [])


def test_the_job_is_admitted_as_restricted_and_its_account_may_only_read(
    place: Place, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("config: {values: {launch: {sqs_profile: hidden-in-values}}}")
    with place.pending(*IMAGE, "-f", str(values), "--set-parameter", "EndpointsReady.gracePeriod=5m"):
        (pod,) = place.pods()
        name = pod["metadata"]["labels"]["health.modelengine.io/check"]
        assert "hidden-in-values" not in json.dumps(pod)
        (container,) = pod["spec"]["containers"]
        assert container["image"] == IMAGE[1]
        assert '--set-parameter=EndpointsReady.gracePeriod="5m"' in container["args"]
        assert not [word for word in container["args"] if "kubeconfig" in word]
        role = place.plane.api("GET", f"{RBAC}/clusterroles/{name}")
        for where in (place.namespace, place.endpoints):
            role["rules"] += place.plane.api("GET", f"{RBAC}/namespaces/{where}/roles/{name}")["rules"]
        assert {verb for each in role["rules"] for verb in each["verbs"]} == {"get", "list"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing(place: Place, number: signal.Signals) -> None:
    with place.pending(*IMAGE) as process:
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 2, said
    assert said.splitlines()[-1] == "mehc: interrupted"
    eventually(place.made, lambda made: made == [])


def test_what_a_killed_check_left_is_swept_by_the_next(place: Place) -> None:
    with place.pending(*IMAGE) as process:
        process.kill()
    left = place.made()
    assert {each.split()[0] for each in left} >= {"jobs", "serviceaccounts", "roles", "clusterroles"}
    place.check(*IMAGE, "--start-timeout=1s")
    eventually(place.made, lambda made: made == [])


def test_a_check_that_runs_elsewhere_is_not_swept(place: Place) -> None:
    with place.pending(*IMAGE) as process:
        before = place.uids()
        place.check(*IMAGE, "--start-timeout=1s")
        assert place.uids() >= before
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_a_killed_checks_job_ends_by_itself_and_takes_along_what_it_owns(place: Place) -> None:
    with place.pending(*IMAGE) as process:
        process.kill()
    jobs = f"/apis/batch/v1/namespaces/{place.namespace}/jobs"
    (job,) = place.plane.api("GET", f"{jobs}?{LABEL}")["items"]
    assert job["spec"]["activeDeadlineSeconds"] <= 1200
    assert job["spec"]["ttlSecondsAfterFinished"] <= 60
    sooner = {"spec": {"activeDeadlineSeconds": 1, "ttlSecondsAfterFinished": 0}}
    place.plane.api(
        "PATCH", f"{jobs}/{job['metadata']['name']}", sooner, content_type="application/merge-patch+json"
    )
    elsewhere = {"roles", "rolebindings", "clusterroles", "clusterrolebindings"}  # a Role of the endpoints
    eventually(
        place.made, lambda made: len(made) == 4 and {each.split()[0] for each in made} == elsewhere, 300
    )
    place.check(*IMAGE, "--start-timeout=1s")
    eventually(place.made, lambda made: made == [])


@pytest.mark.parametrize(
    ("name", "allowed", "says"),
    [
        ("reader", READER, "not allowed to create jobs.batch in namespace"),
        ("no-roles", [*READER, *CREATOR[:2]], "not allowed to create roles.rbac.authorization.k8s.io"),
        (
            "no-secrets",
            [
                *(each for each in READER if "secrets" not in each["resources"]),
                rule("", "secrets", "list"),
                *CREATOR,
            ],
            "you cannot grant the check permissions that you lack",
        ),
    ],
)
def test_a_missing_permission_is_one_line_that_names_it(
    place: Place, name: str, allowed: list[Tree], says: str
) -> None:
    done = place.check(*IMAGE, "--start-timeout=1s", kubeconfig=place.user(name, allowed))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    eventually(place.made, lambda made: made == [])


def test_without_clusterroles_the_check_goes_on_and_says_what_is_lost(place: Place) -> None:
    user = place.user("namespaced", [*READER, *CREATOR])
    done = place.check(*IMAGE, "--start-timeout=1s", kubeconfig=user)
    assert "not allowed to create clusterroles.rbac.authorization.k8s.io" in done.stderr
    assert "checks that read nodes are Unknown" in done.stderr
    assert "did not start within 1s" in done.stderr
    eventually(place.made, lambda made: made == [])


def test_an_account_of_ones_own_needs_no_roles(place: Place) -> None:
    user = place.user("with-account", [*READER, CREATOR[0]])
    done = place.check(*IMAGE, "--service-account=default", "--start-timeout=1s", kubeconfig=user)
    assert "did not start within 1s" in done.stderr
    missing = place.check(*IMAGE, "--service-account=nowhere")
    assert missing.returncode == 2
    assert "ServiceAccount nowhere" in missing.stderr.splitlines()[-1]
    eventually(place.made, lambda made: made == [])


def test_what_is_wrong_with_the_arguments_makes_nothing(place: Place) -> None:
    for words in (["--only", "RedisReachabel"], ["-f", "/nonexistent.yaml"], ["-n", "nowhere"]):
        done = place.check(*IMAGE, *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert place.made() == []
