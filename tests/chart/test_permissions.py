"""What the chart allows is what the checks and the operator need: all of it is used, and nothing is missing.

On a sound installation, with ServiceAccount tokens and the real RBAC authorizer. The API server's audit log tells what
was asked, and what was refused.
"""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.demo import Demo
from demo.stage import IMAGE_CACHE, hardware, image_cache, workloads
from mehc_checks.engine.check import catalogue
from mehc_operator.cli import main
from testbed.chart import CHART, CRD, Manifest, of_kind, rendered
from testbed.controlplane import ControlPlane
from testbed.endpoints import LEADER_WORKER_SET
from testbed.healthchecks import manifest
from testbed.helm import Helm
from testbed.installation import DATABASE_SECRET, Tree, only
from testbed.operatorprocess import Operator, install_crd
from testbed.waiting import eventually

RELEASE = "mehc"
PLATFORM = "acme-sound"
ENDPOINTS = f"{PLATFORM}-endpoints"
RESOURCE = f"/apis/health.modelengine.io/v1alpha1/namespaces/{PLATFORM}/modelenginehealthchecks/model-engine"
RULES: Any = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())

UNKNOWN: dict[str, set[str]] = {
    "get configmaps": {
        "ControlPlaneReady",
        "EndpointsReady",
        "GpuNodesReady",
        "PrometheusQueryable",
        "VllmImagePullable",
    },
    "list events": {"PrometheusQueryable"},
    "list nodes": {"GpuNodesReady"},
    "list pods": {"ControlPlaneReady", "GpuNodesReady"},
    "get secrets": {"ConfigValid", "ControlPlaneReady", "DatabaseMigrated", "EndpointsReady"},
    "get serviceaccounts": {"ControlPlaneReady"},
    "get services": {"ControlPlaneReady"},
    "get apiservices.apiregistration.k8s.io": {"PrometheusQueryable"},
    "list daemonsets.apps": {"GpuNodesReady"},
    "get deployments.apps": {"ControlPlaneReady", "DatabaseMigrated", "RedisReachable"},
    "list deployments.apps": {"EndpointsReady", "GpuNodesReady", "PrometheusQueryable"},
    "list replicasets.apps": {"ControlPlaneReady"},
    "get statefulsets.apps": {"ControlPlaneReady"},
    "get horizontalpodautoscalers.autoscaling": {"ControlPlaneReady"},
    "list horizontalpodautoscalers.autoscaling": {"PrometheusQueryable"},
    "list jobs.batch": {"ControlPlaneReady"},
    "list scaledobjects.keda.sh": {"EndpointsReady", "PrometheusQueryable"},
    "list leaderworkersets.leaderworkerset.x-k8s.io": {"EndpointsReady", "GpuNodesReady"},
    "get clusterrolebindings.rbac.authorization.k8s.io": {"ControlPlaneReady"},
    "get poddisruptionbudgets.policy": {"ControlPlaneReady"},
    "get priorityclasses.scheduling.k8s.io": {"ControlPlaneReady"},
}
"""The checks that are Unknown without a permission, and name it. Of a sound installation they ask more seldom for:"""
SELDOM = {
    "get namespaces": "rules of ConfigValid are skipped",
    "get gateways.networking.istio.io": "rules of ConfigValid are skipped",
    "list nodepools.karpenter.sh": "where an accelerator has no nodes",
    "list statefulsets.apps": "where there is no Helm release; and for LeaderWorkerSets",
    "get triggerauthentications.keda.sh": "where redis.enableAuth is true",
}
OPERATOR = {
    "list configmaps": "a change is noticed with the next probe run",
    "watch configmaps": "a change is noticed with the next probe run",
    "create events": "the status tells the same",
    "patch events": "a repeated transition is a new Event",
    "watch nodes": "GpuNodesReady is Unknown",
    "watch pods": "GpuNodesReady is Unknown",
    "list customresourcedefinitions.apiextensions.k8s.io": "a CRD that is replaced is not noticed",
    "watch customresourcedefinitions.apiextensions.k8s.io": "a CRD that is replaced is not noticed",
    "list modelenginehealthchecks.health.modelengine.io": "there is no operator",
    "watch modelenginehealthchecks.health.modelengine.io": "there is no operator",
    "patch modelenginehealthchecks/status.health.modelengine.io": "there is no status",
}
"""What only the operator asks for, and what is lost without it."""


def qualified(rule: Mapping[str, Any]) -> Iterator[str]:
    """The permissions of a rule as messages name them: "list deployments.apps"."""
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield f"{verb} {resource}.{group}".rstrip(".")


FOLLOWED = {
    f"{verb} {permission.resource}.{permission.group}".rstrip(".")
    for check in catalogue().values()
    for permission in check.permissions
    if permission.followed or permission.watched
    for verb in ("list", "watch")
} - {*UNKNOWN, *SELDOM, *OPERATOR}
"""What the operator alone asks for, too: without it a change is noticed when the interval is over, and more is read."""
EVERYWHERE = sorted({name for rule in RULES["everywhere"] for name in qualified(rule)})


class Account:
    """A ServiceAccount that is allowed what the chart allows with ``values``."""

    def __init__(self, plane: ControlPlane, name: str, values: Mapping[str, Any]) -> None:
        self._plane = plane
        self.user = f"system:serviceaccount:{RELEASE}:{name}"
        self.kubeconfig = plane.service_account_kubeconfig(RELEASE, name)
        given = {"image": {"repository": "x"}, "fullnameOverride": name, **values}
        objects = rendered(Helm(), given, release=RELEASE, namespace=RELEASE)
        self.objects = of_kind(objects, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
        (deployment,) = of_kind(objects, "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.arguments: list[str] = [
            word for word in container["args"][1:] if not word.startswith(("--port", "--log-format"))
        ]
        """What the chart gives to `mehc run`, but for what the testbed gives itself."""
        plane.apply(self.objects)

    @contextmanager
    def without(self, *permissions: str) -> Iterator[None]:
        """Take ``permissions`` out of all its rules for a while."""
        self._plane.apply([self._lessened(each, permissions) for each in self.objects])
        self._wait(permissions, allowed=False)
        yield
        self._plane.apply(self.objects)
        self._wait(permissions, allowed=True)

    def _lessened(self, role: Manifest, permissions: tuple[str, ...]) -> Manifest:
        rules = []
        for rule in role.get("rules", ()):
            left = [
                verb for verb in rule["verbs"] if not {*qualified({**rule, "verbs": [verb]})} & {*permissions}
            ]
            rules += [{**rule, "verbs": left}] if left else []
        return {**role, "rules": rules} if "rules" in role else role

    def _wait(self, permissions: tuple[str, ...], *, allowed: bool) -> None:
        for permission in permissions:
            eventually(partial(self.may, permission), lambda answer: answer is allowed)

    def may(self, permission: str) -> bool:
        """What the authorizer says."""
        verb, _, resource = permission.partition(" ")
        resource, _, group = resource.partition(".")
        resource, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        body = {"spec": {"user": self.user, "resourceAttributes": asked}}
        answer = self._plane.api("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        return bool(answer["status"]["allowed"])


class Stage:
    """A sound installation in a cluster that writes down what it is asked."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.plane = demo.control_plane
        self._audit = self.plane.directory / "audit.jsonl"
        policy = self.plane.directory / "audit.yaml"
        policy.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "audit.k8s.io/v1",
                    "kind": "Policy",
                    "omitStages": ["RequestReceived"],
                    "rules": [
                        {"level": "Metadata", "userGroups": [f"system:serviceaccounts:{RELEASE}"]},
                        {"level": "None"},
                    ],
                }
            )
        )
        flags = {"audit-policy-file": policy, "audit-log-path": self._audit}
        self.plane.apiserver.flags |= flags  # type: ignore[attr-defined]
        self.plane.apiserver.restart()
        install_crd(self.plane)
        self.plane.apply(LEADER_WORKER_SET)
        self.plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": RELEASE}})
        sound = demo.servers.installation(PLATFORM, "sound", demo.servers.values(demo.servers.redis))
        sound.install(self.plane, Helm(self.plane), image_cache())
        for workload in workloads(sound):
            self.plane.kubectl("rollout", "status", "-n", PLATFORM, workload)
        self.plane.kubectl("rollout", "status", "-n", ENDPOINTS, f"daemonset/{IMAGE_CACHE}")

    def check(self, kubeconfig: Path, *words: str) -> dict[str, Tree]:
        """The results of `mehc check` by the names of the checks."""
        # On a busy machine Prometheus misses a scrape, and the series that it should have is gone for a while.
        return eventually(
            lambda: self._checked(kubeconfig, *words),
            lambda results: results["PrometheusQueryable"]["reason"] != "IstioSeriesStale",
        )

    def _checked(self, kubeconfig: Path, *words: str) -> dict[str, Tree]:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = main(
                ["check", "--inside", "-o", "json", "-n", PLATFORM, "--kubeconfig", str(kubeconfig), *words]
            )
        assert status in (0, 1)
        return {each["name"]: each for each in json.loads(output.getvalue())["checks"]}

    def asked(self, user: str = "", decision: str = "") -> set[str]:
        """The permissions that ``user`` (or anybody of ours) made use of, or was refused, as of now."""
        found = set()
        for line in self._audit.read_text().splitlines():
            event = json.loads(line)
            reference = event.get("objectRef") or {}
            decided = event.get("annotations", {}).get("authorization.k8s.io/decision", "")
            if "resource" in reference and event["user"]["username"].endswith(user):
                parts = (reference["resource"], reference.get("subresource"))
                resource = "/".join(filter(None, parts))
                if decided == (decision or decided):
                    found.add(f"{event['verb']} {resource}.{reference.get('apiGroup', '')}".rstrip("."))
        return found

    def apply(self, spec: Tree) -> None:
        self.plane.apply(manifest(spec), namespace=PLATFORM)

    def status(self) -> Tree:
        found: Tree = self.plane.api("GET", RESOURCE)
        return found.get("status") or {}

    def judged(self) -> dict[str, Tree]:
        """The results in the resource's status, once it is about its present spec."""
        resource = eventually(
            lambda: self.plane.api("GET", RESOURCE),
            lambda found: (
                found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
            ),
        )
        return {each["name"]: each for each in resource["status"]["checks"]}

    def forget(self) -> None:
        self.plane.kubectl("delete", "mehc", "-n", PLATFORM, "--all", "--ignore-not-found")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    before = dict(os.environ)
    with ExitStack() as stack:
        demo = Demo(stack)
        os.environ.update(demo.environment)
        try:
            yield Stage(demo)
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module")
def account(stage: Stage) -> Account:
    return Account(stage.plane, "clusterwide", {})


def unknown(results: Mapping[str, Tree]) -> set[str]:
    return {name for name, result in results.items() if result["status"] == "Error"}


def refusals(results: Mapping[str, Tree]) -> set[str]:
    """The checks that say what they were not allowed to do."""
    return {name for name, result in results.items() if "not allowed to" in json.dumps(result)}


def test_the_table_of_this_test_is_complete() -> None:
    assert sorted([*UNKNOWN, *SELDOM, *OPERATOR, *FOLLOWED]) == EVERYWHERE


def test_the_charts_rules_are_enough(stage: Stage, account: Account) -> None:
    results = stage.check(account.kubeconfig)
    assert (unknown(results), refusals(results)) == (set(), set())
    assert {each["status"] for each in results.values()} == {"Pass"}
    assert stage.asked("clusterwide", "forbid") == set()


@pytest.mark.parametrize("permission", UNKNOWN)
def test_without_a_permission_the_checks_that_need_it_are_unknown_and_say_so(
    stage: Stage, account: Account, permission: str
) -> None:
    with account.without(permission):
        results = stage.check(account.kubeconfig)
    assert unknown(results) == UNKNOWN[permission]
    for name in UNKNOWN[permission]:
        assert f"not allowed to {permission}" in results[name]["message"]


@pytest.mark.parametrize("permission", SELDOM)
def test_without_what_is_seldom_asked_for_everything_goes_on(
    stage: Stage, account: Account, permission: str
) -> None:
    with account.without(permission):
        assert unknown(stage.check(account.kubeconfig)) == set()


def test_without_helm_releases_the_values_are_those_of_the_live_objects(stage: Stage) -> None:
    account = Account(stage.plane, "no-releases", {"helmReleases": {"enabled": False}})
    results = stage.check(account.kubeconfig)
    assert unknown(results) == {"ConfigValid"}
    assert results["GpuNodesReady"]["status"] == "Pass"  # what is not known of imageCache is not missing
    said = "could not read the values of the Helm release: not allowed to list secrets"
    assert said in results["ConfigValid"]["message"]


GOES_ON = {
    "list configmaps": "not allowed to list configmaps",
    "watch configmaps": "not allowed to watch configmaps",
    "create events": "no Event",
    "list customresourcedefinitions.apiextensions.k8s.io": "cannot list resource",
    "watch customresourcedefinitions.apiextensions.k8s.io": "cannot watch resource",
}
"""What the operator does without, and what it logs."""


@pytest.fixture(scope="module")
def operators(stage: Stage) -> Account:
    return Account(stage.plane, "operator", {"pullProbe": {"enabled": True}})


@contextmanager
def operating(stage: Stage, account: Account) -> Iterator[Operator]:
    stage.forget()
    with Operator(
        stage.plane,
        *account.arguments,
        kubeconfig=account.kubeconfig,
        environment={**stage.demo.environment, "POD_NAME": "operator-1", "POD_NAMESPACE": RELEASE},
        trusted=(),
    ) as operator:
        yield operator


def complaints(operator: Operator) -> list[str]:
    """What the log says of permissions."""
    words = ("not allowed", "forbidden", "permission")
    return [line for line in operator.log_text().splitlines() if any(word in line.lower() for word in words)]


def test_the_operator_needs_no_more(stage: Stage, operators: Account) -> None:
    with operating(stage, operators) as operator:
        stage.apply({"interval": "1h"})
        assert (unknown(stage.judged()), refusals(stage.judged())) == (set(), set())
        eventually(
            lambda: stage.plane.kubectl("get", "events", "-n", PLATFORM), lambda text: "Ready is" in text
        )
        spec = only("VllmImagePullable")
        spec["checks"]["VllmImagePullable"] = {"parameters": {"pullFrom": "node"}}
        stage.apply({"interval": "1h", "timeout": "20s", **spec})
        assert refusals(stage.judged()) == set()
        authentication = {"redis": {"enableAuth": True, "kedaSecretName": "token"}}
        stage.apply({"interval": "1h", "values": authentication, **only("PrometheusQueryable")})
        assert refusals(stage.judged()) == set()
        broken = {"config": {"values": {"launch": {"cache_redis_aws_url": "redis://127.0.0.1:1/15"}}}}
        for values, status in ((broken, "Fail"), ({}, "Pass")):  # Ready turns, and turns back
            stage.apply({"interval": "1h", "values": values, **only("RedisReachable")})
            assert stage.judged()["RedisReachable"]["status"] == status
        eventually(partial(stage.asked, ":operator"), lambda asked: "patch events" in asked)
        assert complaints(operator) == []
    assert stage.asked(":operator", "forbid") == set()
    assert stage.asked(":operator").issuperset({*OPERATOR, *FOLLOWED})
    assert stage.asked(":operator").issuperset(name for rule in RULES["operator"] for name in qualified(rule))
    assert stage.asked(":operator").issuperset(
        name for rule in RULES["pullProbe"] for name in qualified(rule)
    )


def test_without_the_pull_probe_a_resource_that_asks_for_it_says_so(stage: Stage, account: Account) -> None:
    with operating(stage, account):
        spec = only("VllmImagePullable")
        spec["checks"]["VllmImagePullable"] = {"parameters": {"pullFrom": "node"}}
        stage.apply({"interval": "1h", **spec})
        assert refusals(stage.judged()) == {"VllmImagePullable"}


@pytest.mark.parametrize("permission", GOES_ON)
def test_the_operator_goes_on_without(stage: Stage, operators: Account, permission: str) -> None:
    with operators.without(permission), operating(stage, operators) as operator:
        stage.apply({"interval": "1h", **only("RedisReachable", "GpuNodesReady")})
        assert unknown(stage.judged()) == set()
        eventually(operator.log_text, lambda text: GOES_ON[permission] in text)


@pytest.mark.parametrize("resource", ["nodes", "pods"])
def test_a_watch_that_is_not_allowed_is_named(stage: Stage, operators: Account, resource: str) -> None:
    with operators.without(f"watch {resource}"), operating(stage, operators):
        stage.apply({"interval": "5s", "timeout": "4s", **only("RedisReachable", "GpuNodesReady")})
        results = eventually(stage.judged, lambda found: found["GpuNodesReady"]["status"] == "Error")
    assert f"not allowed to watch {resource} in the whole cluster" in results["GpuNodesReady"]["message"]
    assert results["RedisReachable"]["status"] == "Pass"


def test_a_status_that_may_not_be_written_is_logged_and_written_as_soon_as_it_may(
    stage: Stage, operators: Account
) -> None:
    with ExitStack() as stack:
        with operators.without("patch modelenginehealthchecks/status.health.modelengine.io"):
            operator = stack.enter_context(operating(stage, operators))
            stage.apply({"interval": "1h", **only("RedisReachable")})
            eventually(operator.log_text, lambda text: "cannot write the status" in text)
            assert not stage.status()
        assert stage.judged()["RedisReachable"]["status"] == "Pass"


def test_an_operator_that_may_not_list_its_resources_is_not_ready(stage: Stage, operators: Account) -> None:
    permission = "list modelenginehealthchecks.health.modelengine.io"
    operator = Operator(stage.plane, kubeconfig=operators.kubeconfig)
    with operators.without(permission), contextlib.closing(operator):
        operator.spawn()
        status, line = eventually(partial(asked, operator), lambda answer: answer[0] != 0)
    assert (status, line) == (503, f"not allowed to {permission} in the whole cluster\n")


def asked(operator: Operator) -> tuple[int, str]:
    """The answer of /readyz; 0 while nobody listens."""
    try:
        return operator.get("/readyz")
    except OSError:
        return 0, ""


def test_an_operator_that_may_not_watch_its_resources_judges_those_that_it_listed(
    stage: Stage, operators: Account
) -> None:
    stage.forget()
    stage.apply({"interval": "1h", **only("RedisReachable")})
    account = operators.without("watch modelenginehealthchecks.health.modelengine.io")
    with (
        account,
        Operator(stage.plane, kubeconfig=operators.kubeconfig, environment=stage.demo.environment) as it,
    ):
        assert stage.judged()["RedisReachable"]["status"] == "Pass"
        eventually(it.log_text, lambda text: "cannot watch resource" in text)


def test_every_permission_is_used(stage: Stage, account: Account, tmp_path: Path) -> None:
    """After all of the above, and for what is asked for only seldom."""
    file = tmp_path / "values.yaml"
    authentication = {"redis": {"enableAuth": True, "kedaSecretName": "token"}}
    file.write_text(yaml.safe_dump({**authentication, **hardware("nvidia-hopper-h100")}))  # no node has it
    stage.check(account.kubeconfig, "--values", str(file))
    assert set(EVERYWHERE) - stage.asked() == set()


NAMESPACED = {"watchNamespaces": [PLATFORM], "endpointNamespaces": [ENDPOINTS]}


def test_by_roles_alone(stage: Stage) -> None:
    account = Account(stage.plane, "by-roles", NAMESPACED)
    assert {each["kind"] for each in account.objects} == {"Role", "RoleBinding"}
    with operating(stage, account) as operator:
        stage.apply({"interval": "1h"})
        results = stage.judged()
        assert unknown(results) == {"ControlPlaneReady", "GpuNodesReady", "PrometheusQueryable"}
        for name in unknown(results):
            assert "in the whole cluster" in results[name]["message"] or "keda" in results[name]["message"]
        assert [line for line in complaints(operator) if "kopf" in line] == []
    refused = stage.asked(":by-roles", "forbid")
    assert refused == {
        "get apiservices.apiregistration.k8s.io",
        "get clusterrolebindings.rbac.authorization.k8s.io",
        "get gateways.networking.istio.io",
        "get namespaces",  # istio-system
        "get priorityclasses.scheduling.k8s.io",
        "list apiservices.apiregistration.k8s.io",
        "list gateways.networking.istio.io",
        "list namespaces",  # to be told of istio-system
        "list priorityclasses.scheduling.k8s.io",
        "list deployments.apps",  # of KEDA's namespace
        "list nodes",
        "list pods",  # of the whole cluster
    }


def test_by_roles_and_what_can_only_be_read_in_the_whole_cluster(stage: Stage) -> None:
    account = Account(stage.plane, "with-reads", {**NAMESPACED, "rbac": {"clusterRead": True}})
    with operating(stage, account) as operator:
        stage.apply({"interval": "1h"})
        assert unknown(stage.judged()) == set()
        assert complaints(operator) == []
    assert stage.asked(":with-reads", "forbid") == set()


def test_named_secrets_alone(stage: Stage) -> None:
    names = {PLATFORM: [DATABASE_SECRET], ENDPOINTS: []}
    values = {"helmReleases": {"enabled": False}, "rbac": {"clusterRead": True, "secretNames": names}}
    account = Account(stage.plane, "named", {**NAMESPACED, **values})
    with operating(stage, account):
        stage.apply({"interval": "1h"})
        assert unknown(stage.judged()) == {
            "ConfigValid"
        }  # the release's own Secret has another name each time
        assert stage.judged()["DatabaseMigrated"]["status"] == "Pass"
        values = [{"secretKeyRef": {"name": "another", "key": "values.yaml"}}]
        stage.apply({"interval": "1h", "valuesFrom": values})
        assert 'not allowed to get secrets "another"' in stage.judged()["RedisReachable"]["message"]


def test_by_roles_the_definition_may_come_after_the_operator() -> None:
    with ControlPlane() as plane:
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": RELEASE}})
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": PLATFORM}})
        account = Account(plane, "early", {"watchNamespaces": [PLATFORM]})
        operator = Operator(plane, kubeconfig=account.kubeconfig, namespaces=[PLATFORM])
        operator.prepare = lambda: None  # type: ignore[method-assign] # it would install the definition
        with contextlib.closing(operator):
            operator.spawn()
            eventually(operator.log_text, lambda text: f"{CRD} is not installed yet" in text)
            plane.kubectl("create", "-f", CHART / "files" / "crd.yaml")
            operator.wait_ready()
            assert "watching 0 resources" in operator.get("/readyz")[1]
