"""Releases as the real Helm stores them: which one is judged, and that its values are those that Helm works out."""

import base64
import gzip
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import yaml

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.core.redact import MASK
from mehc_checks.installation import helm as stored
from mehc_checks.installation.context import Context
from mehc_checks.installation.discover import discover
from mehc_checks.installation.installation import Installation
from mehc_checks.installation.objects import ListedReleases
from mehc_checks.modelengine.values import Layer, Part, Values
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.helm import MODEL_ENGINE, Helm, HelmError, packed, release_secret, wrapper
from testbed.identity import as_account
from testbed.installation import Tree, overlaid

BASE: Tree = {
    "tag": "v1",
    "context": "production",
    "celeryBrokerType": "sqs",
    "image": {
        "gatewayRepository": "registry.example/gateway",
        "builderRepository": "registry.example/builder",
    },
    "secrets": {"kubernetesDatabaseSecretName": "db"},
    "config": {
        "values": {
            "infra": {
                "cloud_provider": "aws",
                "redis_host": "redis.example",
                "ml_account_id": "111122223333",
            },
            "launch": {
                "istio_enabled": True,
                "cache_redis_aws_url": "redis://:secret-word@redis.example:6379/15",
            },
        }
    },
}
REDIS_HOST = "config.values.infra.redis_host"


@pytest.fixture(scope="module")
def helm(control_plane: ControlPlane) -> Helm:
    return Helm(control_plane)


@pytest.fixture
def endpoints(control_plane: ControlPlane) -> Iterator[str]:
    """The endpoint namespace."""
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


def values(endpoints: str, *overlays: Mapping[str, Any]) -> Tree:
    namespace = {"config": {"values": {"launch": {"endpoint_namespace": endpoints}}}}
    return overlaid(BASE, namespace, *overlays)


def infra(**given: Any) -> Tree:
    return {"config": {"values": {"infra": given}}}


async def found(cluster: KubernetesCluster, namespace: str, release: str = "", *given: Layer) -> Installation:
    return await discover(cluster, ListedReleases(cluster), namespace, release=release, given=given)


async def test_a_release_gives_the_values_that_helm_works_out(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    helm.install(
        "me", namespace, values(endpoints, {"nodeSelector": None, "keda": {"cooldownPeriod": None}, "db": {}})
    )
    installation = await found(cluster, namespace)
    effective = installation.under([])
    assert _without_nulls(effective.tree) == _without_nulls(helm.computed_values("me", namespace))
    assert installation.release is not None
    assert (installation.release.name, installation.release.revision) == ("me", 1)
    assert (installation.release.chart, installation.release.status) == ("model-engine-0.2.7", "deployed")
    assert installation.whole == frozenset(Part)
    assert installation.drift == ()
    assert effective.describe(REDIS_HOST) == f"{REDIS_HOST} (from Helm release me revision 1)"
    assert (
        effective.origin("balloonNodeSelector.node-lifecycle") == "Helm release me revision 1, chart defaults"
    )
    assert effective.get("nodeSelector") is None
    assert effective.get("db.runDbMigrationScript") is True


async def test_the_newest_revision_counts_and_the_users_own_values_win(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    helm.install("me", namespace, values(endpoints))
    helm.upgrade("me", namespace, values(endpoints, infra(redis_host="redis-2.example")))
    installation = await found(cluster, namespace)
    assert installation.under([]).describe(REDIS_HOST) == f"{REDIS_HOST} (from Helm release me revision 2)"
    given = Layer(source="spec.values", values=infra(redis_host="mine.example"))
    assert installation.under([given]).describe(REDIS_HOST) == f"{REDIS_HOST} (from spec.values)"


async def test_a_failed_release_is_found_with_its_description(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    with pytest.raises(HelmError):
        helm.install("me", namespace, values(endpoints, {"replicaCount": {"gateway": -1}}))
    installation = await found(cluster, namespace)
    assert installation.release is not None
    assert installation.release.status == "failed"
    assert "replicas" in installation.release.description


async def test_a_release_whose_endpoint_namespace_is_absent(
    helm: Helm, cluster: KubernetesCluster, namespace: str
) -> None:
    with pytest.raises(HelmError):
        helm.install("me", namespace, values("no-such-namespace"))
    installation = await found(cluster, namespace)
    assert installation.release is not None
    assert installation.release.status == "failed"
    assert installation.endpoint_config is not None
    assert installation.endpoint_config.trouble == "does not exist"


@pytest.mark.parametrize("alias", ["", "llm"])
async def test_model_engine_as_a_subchart(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str, alias: str
) -> None:
    key = alias or "model-engine"
    with wrapper(alias, values={key: infra(default_region="eu-west-1"), "global": {"team": "ml"}}) as chart:
        helm.install("platform", namespace, {key: values(endpoints)}, chart=chart)
    installation = await found(cluster, namespace)
    assert installation.release is not None
    assert installation.release.chart == "acme-platform-1.0.0"
    assert installation.platform.chart == "0.2.7"
    assert installation.fullname == key  # by which the chart then names its objects
    assert installation.config is not None
    assert installation.config.values is not None
    effective = installation.under([])
    assert effective.text("config.values.infra.default_region") == "eu-west-1"
    assert effective.text(REDIS_HOST) == "redis.example"
    assert effective.get("global") == {"team": "ml"}
    assert effective.origin("keda.cooldownPeriod") == "Helm release platform revision 1, chart defaults"
    assert installation.whole == frozenset(Part)


async def test_a_subchart_whose_defaults_were_not_stored(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    document = {
        "name": "platform",
        "version": 1,
        "info": {"status": "deployed"},
        "chart": {
            "metadata": {"name": "acme", "version": "1", "dependencies": [{"name": "model-engine"}]},
            "values": {},
        },
        "config": {"model-engine": BASE},
    }
    control_plane.apply([release_secret(namespace, "platform", packed(document))])
    installation = await found(cluster, namespace)
    assert installation.whole == frozenset(Part)
    cooldown = installation.under([]).describe("keda.cooldownPeriod")
    assert cooldown == "keda.cooldownPeriod (from the chart's values.yaml)"


async def test_several_releases_need_a_name(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    helm.install("one", namespace, values(endpoints))
    helm.install("two", namespace, values(endpoints, {"serviceIdentifier": "b"}, infra(redis_host="redis-b")))
    with pytest.raises(CannotEvaluate, match="several model engine releases: one, two") as caught:
        await found(cluster, namespace)
    assert caught.value.reason.name == "ReleaseAmbiguous"
    installation = await found(cluster, namespace, "two")
    assert installation.fullname == "model-engine-b"
    assert installation.under([]).text(REDIS_HOST) == "redis-b"
    with pytest.raises(CannotEvaluate, match="has no model engine release three; found one, two") as caught:
        await found(cluster, namespace, "three")
    assert caught.value.reason.name == "ReleaseNotFound"


async def test_releases_of_other_charts_are_passed_over(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str, control_plane: ControlPlane
) -> None:
    other = {
        "name": "redis",
        "version": 1,
        "chart": {"metadata": {"name": "redis", "version": "1"}},
        "info": {},
    }
    control_plane.apply([release_secret(namespace, "redis", packed(other))])
    helm.install("me", namespace, values(endpoints))
    installation = await found(cluster, namespace)
    assert installation.release is not None
    assert installation.release.name == "me"
    with pytest.raises(CannotEvaluate, match="redis; it is a release of another chart"):
        await found(cluster, namespace, "redis")


async def test_an_uninstalled_release_is_none(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    helm.install("me", namespace, values(endpoints))
    helm.run("uninstall", "me", "-n", namespace, "--keep-history")
    installation = await found(cluster, namespace)
    assert installation.release is None


def release(config: Any = None, values: Any = None) -> Tree:
    chart = {"metadata": {"name": "model-engine", "version": "0.2.7"}, "values": values or {}}
    return {"name": "me", "version": 1, "info": {}, "chart": chart, "config": config or {}}


def nested(levels: int) -> Tree:
    return {"a": nested(levels - 1)} if levels else {}


BOMB = base64.b64encode(gzip.compress(b"0" * (stored.LARGEST + 1))).decode()

UNREADABLE = [
    ("%%%", "it is not base64"),
    (base64.b64encode(b"\x1f\x8b\x08 and then no gzip").decode(), "it is not gzip"),
    (base64.b64encode(gzip.compress(b"{}")[:-4]).decode(), "it ends early"),
    (base64.b64encode(b"[[").decode(), "it is not JSON"),
    (base64.b64encode(b"[" * 200_000).decode(), "it is not JSON"),
    (packed([]), "it is not a JSON object"),
    (packed({}), "it names no release or no chart"),
    (packed(release(config={"a": ["x"] * 60_000})), "its values: more than 50,000 values"),
    (packed(release(config={"a": "x" * 3_000_000})), "its values: more than 2 MiB of text"),
    (packed(release(config=nested(100))), "its values: nested more than 64 levels deep"),
    (packed(release(config={"tag": 10**30})), "its values: an integer of more than 64 bits"),
    (packed(release(values={"a": ["x"] * 60_000})), "its chart's values: more than 50,000 values"),
    (packed([[]] * 600_000), "it has more than 500,000 values"),
    (BOMB, "it unpacks to more than 16 MiB"),
    ("", "it is not JSON"),
]


@pytest.mark.parametrize(("payload", "why"), UNREADABLE, ids=[why for _, why in UNREADABLE])
async def test_a_release_that_cannot_be_read_is_named(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str, payload: str, why: str
) -> None:
    control_plane.api(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", release_secret(namespace, "me", payload)
    )
    with pytest.raises(CannotEvaluate, match=why) as caught:
        await found(cluster, namespace, "me")
    assert caught.value.reason.name == "ReleaseUnreadable"
    installation = await found(cluster, namespace)
    assert installation.layers == ()
    assert why in str(installation.lost[0][1])


async def test_a_large_release_and_one_that_is_not_compressed(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> None:
    noise = random.Random(1).randbytes(500_000).hex()  # noqa: S311 - packs to half of it
    document = {
        "name": "me",
        "version": 1,
        "info": {"status": "deployed", "last_deployed": "2026-11-01T10:00:00.123456789Z"},
        "chart": {"metadata": {"name": "model-engine", "version": "0.2.7"}, "values": {"a": 1}},
        "config": {"b": 2},
        "manifest": noise,
    }
    payload = packed(document)
    assert 700_000 < len(payload) < 1_048_576
    control_plane.api(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", release_secret(namespace, "me", payload)
    )
    assert (await found(cluster, namespace)).under([]).tree == {"a": 1, "b": 2}
    del document["manifest"]
    plain = base64.b64encode(json.dumps({**document, "version": 2}).encode()).decode()
    control_plane.apply([release_secret(namespace, "me", plain, revision=2)])
    installation = await found(cluster, namespace)
    assert installation.release is not None
    assert installation.release.revision == 2
    assert installation.release.updated is not None


async def test_what_a_release_holds_is_redacted_and_its_secret_is_no_credential(
    helm: Helm, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    helm.install("me", namespace, values(endpoints))
    context = Context(values=Values.merged([]), cluster=cluster, namespace=namespace)
    (revision,) = await context.releases.revisions(namespace)
    assert revision.created is not None
    assert await context.release(revision) is not None
    assert context.redactor.text("secret-word at redis.example") == f"{MASK} at redis.example"
    with pytest.raises(CannotEvaluate, match="which is never read as credentials") as caught:
        await context.secret(revision.secret)
    assert caught.value.reason.name == "SecretTypeNotAllowed"


async def test_without_permission_to_list_secrets_the_objects_tell(
    helm: Helm, control_plane: ControlPlane, namespace: str, endpoints: str
) -> None:
    helm.install("me", namespace, values(endpoints))
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list"]},
    ]
    async with as_account(control_plane, namespace, rules) as cluster:
        installation = await found(cluster, namespace)
    assert [str(why) for _, why in installation.lost] == [
        f"not allowed to list secrets in namespace {namespace}",
        f'not allowed to get configmaps "model-engine-service-config" in namespace {endpoints}',
    ]
    _require_read_from_objects(installation)


async def test_without_any_permission_all_that_is_lost_is_named(
    helm: Helm, control_plane: ControlPlane, namespace: str, endpoints: str
) -> None:
    helm.install("me", namespace, values(endpoints))
    async with as_account(control_plane, namespace, []) as cluster:
        installation = await found(cluster, namespace)
    assert installation.layers == ()
    assert {lost for lost, _ in installation.lost} == {
        "the values of the Helm release",
        "the Deployments of the control plane",
        "the environment of the gateway",
        f"what pods in namespace {namespace} are configured with",
    }


@pytest.mark.parametrize("identifier", ["", "blue"])
async def test_manifests_without_a_release(
    helm: Helm,
    control_plane: ControlPlane,
    cluster: KubernetesCluster,
    namespace: str,
    endpoints: str,
    identifier: str,
) -> None:
    """As a GitOps controller applies what ``helm template`` renders."""
    given = values(endpoints, {"serviceIdentifier": identifier, "recommendedHardware": HARDWARE})
    rendered = helm.run(
        "template", "x", str(MODEL_ENGINE), "-n", namespace, "-f", "-", stdin=yaml.safe_dump(given)
    )
    control_plane.apply([manifest for manifest in yaml.safe_load_all(rendered) if manifest])
    installation = await found(cluster, namespace)
    assert installation.release is None
    assert installation.fullname == ("model-engine-blue" if identifier else "model-engine")
    assert installation.under([]).get("recommendedHardware") == HARDWARE
    if not identifier:
        _require_read_from_objects(installation)


HARDWARE: Tree = {"byGpuMemoryGb": [{"gpu_memory_le": 24, "gpus": 1}], "byModelName": []}


def _require_read_from_objects(installation: Installation) -> None:
    effective = installation.under([])
    assert Part.CONFIG in installation.whole
    assert Part.CHART not in installation.whole
    assert effective.text(REDIS_HOST) == "redis.example"
    assert effective.origin(REDIS_HOST) == "ConfigMap model-engine-service-config"
    assert effective.text("secrets.kubernetesDatabaseSecretName") == "db"
    assert effective.text("image.builderRepository") == "registry.example/builder"
    assert effective.text("tag") == "v1"
    assert effective.text("celeryBrokerType") == "sqs"
    assert effective.text("context") == "production"
    assert installation.drift == ()


async def test_two_installations_without_a_release_need_a_name(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    for identifier in ("blue", "green"):
        given = values(endpoints, {"serviceIdentifier": identifier})
        rendered = helm.run(
            "template", "x", str(MODEL_ENGINE), "-n", namespace, "-f", "-", stdin=yaml.safe_dump(given)
        )
        control_plane.apply([manifest for manifest in yaml.safe_load_all(rendered) if manifest])
    with pytest.raises(CannotEvaluate, match="model-engine-blue, model-engine-green") as caught:
        await found(cluster, namespace)
    assert caught.value.reason.name == "InstallationAmbiguous"
    named = Layer(source="spec.values", values={"fullnameOverride": "model-engine-green"})
    assert (await found(cluster, namespace, "", named)).fullname == "model-engine-green"


async def test_an_empty_namespace(cluster: KubernetesCluster, namespace: str) -> None:
    installation = await found(cluster, namespace)
    assert installation.layers == ()
    assert installation.lost == ()


async def test_what_was_changed_by_hand_wins_and_is_drift(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str, endpoints: str
) -> None:
    numbers = infra(db_engine_pool_size=10, debug=None, flag=True, ml_account_id=111122223333)
    helm.install("me", namespace, values(endpoints, numbers))
    assert (await found(cluster, namespace)).drift == ()  # quoted numbers are no drift
    path = f"/api/v1/namespaces/{namespace}/configmaps/model-engine-service-config"
    data = control_plane.api("GET", path)["data"]
    data["infra_service_config"] = (
        data["infra_service_config"]
        .replace('redis_host: "redis.example"', 'redis_host: "other.example"\nnew: "1"')
        .replace("flag: true\n", "")
    )
    control_plane.api("PATCH", path, {"data": data}, content_type="application/merge-patch+json")
    control_plane.kubectl(
        "set", "env", "-n", namespace, "deployment/model-engine", "REDIS_HOST=third.example"
    )
    installation = await found(cluster, namespace)
    effective = installation.under([])
    assert effective.describe(REDIS_HOST) == f"{REDIS_HOST} (from ConfigMap model-engine-service-config)"
    assert effective.text(REDIS_HOST) == "other.example"
    assert effective.get("config.values.infra.flag") is None
    assert effective.describe("redisHost") == "redisHost (from Deployment model-engine)"
    assert {(d.path, d.live, d.given, d.where) for d in installation.drift} == {
        (REDIS_HOST, "other.example", "redis.example", "ConfigMap model-engine-service-config"),
        ("config.values.infra.new", "1", "", "ConfigMap model-engine-service-config"),
        ("config.values.infra.flag", "", "true", "ConfigMap model-engine-service-config"),
        ("redisHost", "third.example", "", "Deployment model-engine"),
    }


def _without_nulls(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _without_nulls(value) for key, value in tree.items() if value is not None}
    return tree
