"""The environment of the platform's processes, resolved as the kubelet resolves it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from mehc_checks.clients.kubernetes.api import Cluster, KubernetesCluster
from mehc_checks.core.errors import MehcError
from mehc_checks.core.outcome import Status
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import Environment, gateway_environment
from mehc_checks.modelengine.values import Layer, Values
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.environments import CASES, OBJECTS, Case, Item, secret, setting, value, whole


class Place:
    """A namespace with ``OBJECTS``, in which Deployments come and go."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        plane.apply([*OBJECTS], namespace=namespace)
        service = plane.api("GET", f"/api/v1/namespaces/{namespace}/services/my-redis")
        self.address = str(service["spec"]["clusterIP"])
        self._made = 0

    def deploy(self, *containers: dict[str, Any], **pod: Any) -> str:
        """The name of a Deployment; a container without a name has the Deployment's."""
        self._made += 1
        name, labels = f"gateway-{self._made}", {"app": "model-engine"}
        own = [{"name": name, "image": "x", **container} for container in containers]
        spec = {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": own, **pod}},
        }
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        self.plane.api("POST", path, {"metadata": {"name": name}, "spec": spec})
        return name

    async def resolve(self, cluster: Cluster, name: str) -> Environment:
        values = Values.merged([Layer(source="values.yaml", values={"fullnameOverride": name})])
        context = Context(values=values, cluster=cluster, namespace=self.namespace)
        try:
            return await gateway_environment(context)
        finally:
            await context.close()


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane) -> Iterator[Place]:
    namespace = control_plane.create_namespace("env")
    yield Place(control_plane, namespace)
    control_plane.delete_namespace(namespace)


def container(env: tuple[Item, ...], env_from: tuple[Item, ...] = ()) -> dict[str, Any]:
    return {"env": list(env), "envFrom": list(env_from)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_as_the_kubelet_makes_it(case: Case, place: Place, cluster: KubernetesCluster) -> None:
    pod = {} if case.links is None else {"enableServiceLinks": case.links}
    found = await place.resolve(cluster, place.deploy(container(case.env, case.env_from), **pod))
    for name, expected in case.has.items():
        assert found.get(name) == (expected and expected.replace("{ADDRESS}", place.address)), name
    if case.fails and case.id != "a missing reference that is replaced":
        with pytest.raises(MehcError, match=case.fails):
            found.get("A")


@pytest.fixture(scope="module")
def account(place: Place) -> str:
    """The kubeconfig of an account that may read Deployments, and of Secrets only "other"."""
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["other"], "verbs": ["get"]},
    ]
    group, name = "rbac.authorization.k8s.io", "restricted"
    path = f"/apis/{group}/v1/namespaces/{place.namespace}"
    kubeconfig = place.plane.service_account_kubeconfig(place.namespace, name)
    place.plane.api("POST", f"{path}/roles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": place.namespace}
    reference = {"apiGroup": group, "kind": "Role", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    place.plane.api("POST", f"{path}/rolebindings", binding)
    return str(kubeconfig)


@pytest.fixture
async def restricted(account: str) -> AsyncIterator[Cluster]:
    async with connected(Access(kubeconfig=account)) as api:
        yield KubernetesCluster(api)


@pytest.mark.parametrize(
    ("env", "env_from", "known", "unknown"),
    [
        ((secret("A", "password"),), (), {"B": None}, {"A": 'secrets "pg"'}),
        ((setting("A", "host"),), (), {}, {"A": 'configmaps "settings"'}),
        ((secret("A", "password"), value("B", "u:$(A)")), (), {}, {"B": 'secrets "pg"'}),
        ((secret("A", "password"), value("B", "u:$$(A)")), (), {"B": "u:$(A)"}, {}),
        ((secret("A", "password", optional=True),), (), {}, {"A": 'secrets "pg"'}),
        (
            (value("A", "x"),),
            (whole("secret", "pg"),),
            {"A": "x"},
            {"DB_HOST": 'secrets "pg"', "C": "Secret pg"},
        ),
        ((value("A", "$(H)"),), (whole("secret", "pg"),), {}, {"A": "H of the gateway", "H": 'secrets "pg"'}),
        ((value("H", "h"), value("A", "$(H)")), (whole("secret", "pg"),), {"A": "h"}, {}),
        (
            (),
            (whole("secret", "other"), whole("secret", "pg")),
            {},
            {"DB_HOST": 'secrets "pg"', "a.b": 'secrets "pg"'},
        ),
        (
            (),
            (whole("secret", "pg"), whole("secret", "other")),
            {"DB_HOST": "of-other"},
            {"C": 'secrets "pg"'},
        ),
        (
            (),
            (whole("secret", "other"), whole("secret", "pg", "P_")),
            {"DB_HOST": "of-other", "C": None},
            {"P_C": 'secrets "pg"'},
        ),
        ((value("A", "$(MY_REDIS_SERVICE_HOST)"),), (), {}, {"A": 'services "my-redis"'}),
    ],
    ids=[
        "a Secret",
        "a ConfigMap",
        "a reference to it",
        "no reference to it",
        "optional",
        "envFrom",
        "a reference to what may be in envFrom",
        "a reference to what goes before envFrom",
        "an unreadable envFrom may replace what was read",
        "a later envFrom replaces what was not read",
        "only with the prefix",
        "a Service",
    ],
)
async def test_what_may_not_be_read_is_named(
    env: tuple[Item, ...],
    env_from: tuple[Item, ...],
    known: dict[str, str | None],
    unknown: dict[str, str],
    place: Place,
    restricted: Cluster,
) -> None:
    found = await place.resolve(restricted, place.deploy(container(env, env_from)))
    assert {name: found.get(name) for name in known} == known
    for name, says in unknown.items():
        with pytest.raises(MehcError, match=says) as caught:
            found.get(name)
        finding = caught.value.finding()  # type: ignore[attr-defined]
        assert finding.status is Status.ERROR
        assert finding.reason.name == "VariableNotRead"
        assert "Grant the ServiceAccount that runs this check the verb get on" in finding.remediation


async def test_the_container_is_the_one_of_the_deployments_name(
    place: Place, cluster: KubernetesCluster
) -> None:
    name = place.deploy(
        {"name": "istio-proxy", "env": [value("A", "of istio")], "envFrom": [whole("secret", "none")]},
        {"env": [value("B", "own")]},
        {"name": "proxy", "env": [value("C", "of a sidecar")]},
        initContainers=[
            {"name": "wait", "image": "x", "env": [value("D", "of an init container")]},
            {"name": "sql", "image": "x", "restartPolicy": "Always"},
        ],
    )
    found = await place.resolve(cluster, name)
    assert [found.get(each) for each in "ABCD"] == [None, "own", None, None]
    assert found.sidecars == ("proxy", "sql")


async def test_bytes_that_are_no_text_are_unknown(place: Place, cluster: KubernetesCluster) -> None:
    found = await place.resolve(cluster, place.deploy(container((secret("A", "key", of="binary"),))))
    with pytest.raises(MehcError, match="key key of Secret binary is not UTF-8 text"):
        found.get("A")


@pytest.mark.parametrize("kind", ["secret", "configMap"])
async def test_an_object_of_env_from_that_does_not_exist(
    kind: str, place: Place, cluster: KubernetesCluster
) -> None:
    name = place.deploy(container((value("A", "x"),), (whole("secret", "other"), whole(kind, "none"))))
    found = await place.resolve(cluster, name)
    for variable in ("C", "DB_HOST"):
        with pytest.raises(MehcError, match="none of envFrom does not exist") as caught:
            found.get(variable)
        assert caught.value.finding().status is Status.FAIL  # type: ignore[attr-defined]
    assert found.get("A") == "x"


@pytest.mark.parametrize(
    ("port", "links", "says"),
    [(None, True, r"REDIS_PORT is tcp://[0-9.]+:6379"), (None, False, ""), ("6380", True, "")],
    ids=["made by Kubernetes", "without links", "set"],
)
async def test_a_service_whose_name_makes_a_port(
    port: str | None,
    links: bool,
    says: str,
    control_plane: ControlPlane,
    cluster: KubernetesCluster,
    namespace: str,
) -> None:
    place = Place(control_plane, namespace)
    spec = {"selector": {"app": "redis"}, "ports": [{"port": 6379}]}
    control_plane.api(
        "POST", f"/api/v1/namespaces/{namespace}/services", {"metadata": {"name": "redis"}, "spec": spec}
    )
    env = [value("REDIS_HOST", "cache.example")]
    if port:
        env.append(value("REDIS_PORT", port))
    name = place.deploy(container(tuple(env)), enableServiceLinks=links)
    found = await place.resolve(cluster, name)
    if not says:
        assert found.get("REDIS_PORT") == port
        return
    with pytest.raises(MehcError, match=says) as caught:
        found.get("REDIS_PORT")
    remedy = caught.value.finding().remediation  # type: ignore[attr-defined]
    assert f"rename Service redis in namespace {namespace}" in remedy
    assert "enableServiceLinks: false" in remedy


async def test_the_values_where_the_deployment_may_not_be_read(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "nobody")
    values = Values.merged([Layer(source="", values={"redisHost": "r", "extraEnvVars": [value("A", "x")]})])
    async with connected(Access(kubeconfig=str(kubeconfig))) as api:
        context = Context(values=values, cluster=KubernetesCluster(api), namespace=namespace)
        found = await gateway_environment(context)
        await context.close()
    assert (found.get("A"), found.get("REDIS_PORT")) == ("x", "6379")
    assert "deployments.apps" in str(found.unseen)
