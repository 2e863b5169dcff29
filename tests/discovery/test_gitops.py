"""The same installation, once by ``helm install`` and once by applying what ``helm template`` renders: the findings are
the same, as far as live objects show what the values were."""

import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

import pytest
import yaml

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import CheckResult
from mehc_checks.engine.request import Request, Sources, diagnose
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane
from testbed.helm import MODEL_ENGINE, Helm
from testbed.identity import as_account
from testbed.installation import Tree, overlaid, without
from testbed.sound import AWS, AZURE, BY_CLOUD, GCP, ONPREM

CHECKS: Final = (
    "BrokerReachable",
    "ConfigValid",
    "ControlPlaneReady",
    "GpuNodesReady",
    "PrometheusQueryable",
)
"""Those that judge what live objects show; what the others find of a server does not depend on where its address is."""
PODS: Final = {"GatewayNotReady", "BuilderNotReady", "CacherNotReady", "AutoscalerNotReady", "RolloutStuck"}
"""What depends on when pods start."""
HOST: Final = "127.0.0.1"
HIDDEN: Final = {
    "IstioGatewayMissing": "virtualservice.gateways: objects of Istio are not read",
}
"""What is found only with a release, each with the value that no object that is read shows."""


def launch(**given: Any) -> Tree:
    return {"config": {"values": {"launch": given}}}


def infra(**given: Any) -> Tree:
    return {"config": {"values": {"infra": given}}}


def tiers(*changes: Tree) -> Tree:
    one = AWS["recommendedHardware"]["byGpuMemoryGb"][0]
    return {
        "recommendedHardware": {
            "byGpuMemoryGb": [
                {**one, "gpu_memory_le": 24 + number, **change} for number, change in enumerate(changes)
            ]
        }
    }


BALLOON: Final = {"acceleratorName": "nvidia-ampere-a10", "replicaCount": 1}
A10: Final = {"k8s.amazonaws.com/accelerator": "nvidia-ampere-a10"}


def caches(*devices: Tree) -> Tree:
    return {"imageCache": {"devices": list(devices)}}


VARIANTS: Final[dict[str, Tree]] = {
    **BY_CLOUD,
    "balloons of an accelerator that is none": overlaid(
        AWS, {"balloons": [{**BALLOON, "acceleratorName": "nvidia-a10"}, {**BALLOON, "gpuCount": 16}]}
    ),
    "image caches of an unknown device, and without tolerations": overlaid(
        AWS, caches({"name": "a99", "nodeSelector": A10}, {"name": "a10", "nodeSelector": A10})
    ),
    "image cache without a node selector, on another port": overlaid(
        GCP, caches({"name": "a10"}), {"service": {"port": 8080, "type": "LoadBalancer"}}
    ),
    "budget that blocks every drain, root": overlaid(
        GCP,
        {"podDisruptionBudget": {"minAvailable": 2}},
        {"podSecurityContext": {"runAsUser": 0, "runAsNonRoot": False}},
    ),
    "budget of all, no security context": overlaid(
        GCP,
        {"podDisruptionBudget": {"minAvailable": "100%"}},
        {"podSecurityContext": None, "containerSecurityContext": None, "resources": None},
    ),
    "one gateway, AWS configuration mounted as a directory": overlaid(
        AWS,
        {"autoscaling": {"horizontal": {"minReplicas": 1}}},
        {"aws": {"configMap": {"mountPath": "/opt/.aws"}, "profileName": "other"}},
    ),
    "no autoscaler, one replica, no builder": overlaid(
        AWS,
        {"autoscaling": {"horizontal": {"enabled": False}}, "replicaCount": {"gateway": 1, "builder": 0}},
    ),
    "hardware without a model": overlaid(GCP, {"recommendedHardware": {"byModelName": []}}),
    "hardware above the limits, of no accelerator": overlaid(GCP, tiers({"cpus": 200}, {"gpu_type": "a10"})),
    "hardware without a size, moving tag": overlaid(
        ONPREM, tiers({"gpu_memory_le": "many"}), {"tag": "latest", "image": {"pullPolicy": "IfNotPresent"}}
    ),
    "no hardware, no address of Prometheus": without(
        overlaid(GCP, infra(prometheus_server_address="")), "recommendedHardware"
    ),
    "another broker than the cloud's": overlaid(AZURE, {"celeryBrokerType": "sqs"}),
    "no autoscaler of async endpoints, no role": overlaid(
        AWS,
        {"celery_autoscaler": {"enabled": False}, "serviceTemplate": {"serviceAccountName": ""}},
        {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": None}}},
    ),
    "a broker that forwarders do not know": overlaid(
        ONPREM, {"celeryBrokerType": "rabbitmq", "celery_autoscaler": {"enabled": True}}
    ),
    "fullname override": overlaid(AWS, {"fullnameOverride": "acme"}),
    "service identifier": overlaid(AWS, {"serviceIdentifier": "blue"}),
    "cloud in capitals, cooldown that is none": overlaid(
        AWS, infra(cloud_provider="AWS"), {"keda": {"cooldownPeriod": -1}}
    ),
    "TLS not verified, token in the values, no cache": overlaid(
        GCP,
        {"redis": {"enableTLS": True, "unsafeSsl": True, "auth": "hunter2-token"}},
        launch(cache_redis_gcp_url=None),
    ),
    "KEDA asked to authenticate on GCP": overlaid(GCP, {"redis": {"enableTLS": "true", "enableAuth": True}}),
}


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> Iterator[dict[str, str]]:
    """The namespace of each variant, installed by Helm."""
    helm = Helm(control_plane)

    def install(item: tuple[int, str]) -> tuple[str, str]:
        number, name = item
        namespace = f"gitops-{number}"
        make(control_plane, namespace)
        helm.install("me", namespace, placed(VARIANTS[name], namespace))
        return name, namespace

    with ThreadPoolExecutor(4) as side_by_side:
        found = dict(side_by_side.map(install, enumerate(VARIANTS)))
    yield found
    for namespace in found.values():
        control_plane.delete_namespace(namespace)
        control_plane.delete_namespace(f"{namespace}-endpoints")


@pytest.fixture(scope="module")
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


def make(plane: ControlPlane, namespace: str) -> None:
    """The two namespaces of an installation."""
    for name in (namespace, f"{namespace}-endpoints"):
        plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def placed(values: Tree, namespace: str) -> Tree:
    """``values`` with their namespaces, and with addresses at which nothing answers."""
    aws = {"configMap": {"namespaces": [namespace, f"{namespace}-endpoints"]}}
    return overlaid(
        values,
        {"aws": aws} if "aws" in values else {},
        {"global": {"whole": True}, "replicaCount": {"gateway": values["replicaCount"]["gateway"]}},
        launch(endpoint_namespace=f"{namespace}-endpoints"),
        {}
        if values["config"]["values"]["infra"]["prometheus_server_address"] == ""
        else infra(prometheus_server_address=f"http://{HOST}:9"),
    )


async def report(cluster: KubernetesCluster, namespace: str) -> tuple[CheckResult, ...]:
    checks = [catalogue()[name] for name in CHECKS]
    request = Request(namespace=namespace, timeout=timedelta(seconds=60))
    return (await diagnose(checks, request, Sources(cluster=cluster))).checks


ORIGIN: Final = re.compile(r" \(from [^()]*(\([^()]*\))?[^()]*\)")


def findings(checks: tuple[CheckResult, ...], namespace: str) -> set[tuple[str, str, str]]:
    """Check, reason and message, without what differs by the way of installing: origins, namespaces, order of lists."""
    return {
        (
            check.name,
            found.reason,
            re.sub(r"\[\d+\]", "[]", ORIGIN.sub("", found.message)).replace(namespace, "NS"),
        )
        for check in checks
        for found in check.findings
        if found.reason not in PODS and found.status not in ("Pass", "Skip")
    }


@pytest.mark.parametrize("name", VARIANTS)
async def test_both_find_the_same(
    name: str, installed: dict[str, str], control_plane: ControlPlane, cluster: KubernetesCluster
) -> None:
    """First with its release, then without: what ``helm template`` renders lacks nothing else."""
    namespace = installed[name]
    by_helm = findings(await report(cluster, namespace), namespace)
    secret = f"/api/v1/namespaces/{namespace}/secrets/sh.helm.release.v1.me.v1"
    control_plane.api("DELETE", secret)
    by_objects = findings(await report(cluster, namespace), namespace)
    missed = [each for each in sorted(by_helm - by_objects) if each[1] not in HIDDEN]
    assert not missed, "\n".join(map(str, missed))
    added = sorted(by_objects - by_helm)
    assert not added, "\n".join(map(str, added))


@pytest.fixture(scope="module")
def helm() -> Helm:
    return Helm()


@pytest.fixture
def place(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace, beside that of its endpoints."""
    namespace = control_plane.create_namespace("gitops")
    control_plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": f"{namespace}-endpoints"}})
    yield namespace
    control_plane.delete_namespace(namespace)
    control_plane.delete_namespace(f"{namespace}-endpoints")


def rendered(helm: Helm, namespace: str, values: Tree) -> list[Tree]:
    """The objects of an installation, as ``helm template`` makes them."""
    text = helm.run(
        "template",
        "me",
        str(MODEL_ENGINE),
        "-n",
        namespace,
        "-f",
        "-",
        stdin=yaml.safe_dump(placed(values, namespace)),
    )
    return [each for each in yaml.safe_load_all(text) if each]


def marked(objects: list[Tree], *, labels: Tree | None = None, annotations: Tree | None = None) -> list[Tree]:
    return [
        overlaid(each, {"metadata": {"labels": labels or {}, "annotations": annotations or {}}})
        for each in objects
    ]


def remedies(checks: tuple[CheckResult, ...], reason: str) -> list[str]:
    return [found.remediation for check in checks for found in check.findings if found.reason == reason]


DELIVERIES: Final[dict[str, tuple[Tree, str]]] = {
    "manifests": ({}, "Apply the manifests again, which creates it."),
    "Argo CD": (
        {"annotations": {"argocd.argoproj.io/tracking-id": "apps_llm:apps/Deployment:x/model-engine"}},
        "Run argocd app sync apps/llm, which creates it.",
    ),
    "Flux, Kustomization": (
        {
            "labels": {
                "kustomize.toolkit.fluxcd.io/name": "llm",
                "kustomize.toolkit.fluxcd.io/namespace": "flux",
            }
        },
        "Run flux reconcile kustomization llm -n flux, which creates it.",
    ),
    "Flux, HelmRelease that stores elsewhere": (
        {
            "labels": {"helm.toolkit.fluxcd.io/name": "llm", "helm.toolkit.fluxcd.io/namespace": "flux"},
            "annotations": {"meta.helm.sh/release-name": "x-llm", "meta.helm.sh/release-namespace": "x"},
        },
        "Run flux reconcile helmrelease llm -n flux --force, which creates it.",
    ),
    "Helm, with a release that is not readable": (
        {"annotations": {"meta.helm.sh/release-name": "me"}},
        "Run helm upgrade, which creates it.",
    ),
}


@pytest.mark.parametrize("delivery", DELIVERIES)
async def test_remedies_name_what_applies_the_chart(
    delivery: str, helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    marks, expected = DELIVERIES[delivery]
    objects = [
        each
        for each in rendered(helm, place, AWS)
        if "service-template-config" not in each["metadata"]["name"]
    ]
    control_plane.apply(marked(objects, **marks))
    checks = await report(cluster, place)
    (remedy,) = remedies(checks, "ObjectMissing")
    assert remedy.startswith(expected)
    if "Helm" not in delivery:
        assert not [
            each for each in all_remedies(checks) if re.search(r"helm (upgrade(?! --install)|rollback)", each)
        ]


def all_remedies(checks: tuple[CheckResult, ...]) -> list[str]:
    return [found.remediation for check in checks for found in check.findings]


async def test_a_flux_release_in_the_namespace_is_not_upgraded_by_hand(
    control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    """What helm-controller installs is a release; it would revert an upgrade by hand."""
    labels = {"helm.toolkit.fluxcd.io/name": "llm", "helm.toolkit.fluxcd.io/namespace": place}
    Helm(control_plane).install(f"{place}-llm", place, placed(AWS, place))
    control_plane.api(
        "PATCH",
        f"/apis/apps/v1/namespaces/{place}/deployments/model-engine",
        {"metadata": {"labels": labels}},
        content_type="application/merge-patch+json",
    )
    control_plane.api("DELETE", f"/api/v1/namespaces/{place}/configmaps/model-engine-service-template-config")
    (remedy,) = remedies(await report(cluster, place), "ObjectMissing")
    assert remedy.startswith(f"Run flux reconcile helmrelease llm -n {place} --force, which creates it.")


async def test_what_an_earlier_configuration_left_behind(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    """A controller that does not prune leaves the autoscaler of the broker before."""
    control_plane.apply(rendered(helm, place, AWS))
    earlier = [
        overlaid(each, {"metadata": {"name": "celery-autoscaler-redis"}})
        for each in rendered(helm, place, AWS)
        if each["kind"] == "StatefulSet"
    ]
    control_plane.apply(earlier)  # the younger one, so its age does not tell
    checks = await report(cluster, place)
    assert ("ControlPlaneReady", "AutoscalerLeftOver") in {
        (check, reason) for check, reason, _ in findings(checks, place)
    }
    (remedy,) = remedies(checks, "AutoscalerLeftOver")
    assert f"kubectl delete statefulset celery-autoscaler-redis -n {place}" in remedy


async def test_names_with_kustomizes_suffix(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    """The gateway mounts them by these names; endpoint pods and the platform's code ask for the plain ones."""
    text = yaml.safe_dump_all(rendered(helm, place, AWS))
    mounted = text.replace(
        "name: model-engine-service-config\n", "name: model-engine-service-config-7h5cb8kd24\n"
    )
    objects = [
        each
        for each in yaml.safe_load_all(mounted)
        if not (each["metadata"].get("namespace") == f"{place}-endpoints" and "7h5cb8kd24" in str(each))
    ]
    plain = [each for each in rendered(helm, place, AWS) if each["metadata"]["namespace"] != place]
    control_plane.apply([*objects, *plain])
    found = findings(await report(cluster, place), place)
    assert not [each for each in found if "service-config" in each[2]]


async def test_an_application_of_which_a_part_is_applied(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    """Argo CD stops at the first wave that fails: what is missing is named, not that nothing is installed."""
    objects = [
        each for each in rendered(helm, place, AWS) if each["metadata"]["name"] != "model-engine-cacher"
    ]
    control_plane.apply(objects)
    found = findings(await report(cluster, place), place)
    missing = [message for _, reason, message in found if reason == "ComponentMissing"]
    assert missing == ["cacher: Deployment model-engine-cacher does not exist in namespace NS"]


async def test_a_service_config_that_is_not_yaml(
    helm: Helm, control_plane: ControlPlane, cluster: KubernetesCluster, place: str
) -> None:
    objects = rendered(helm, place, AWS)
    for each in objects:
        if each["metadata"]["name"] == "model-engine-service-config":
            each["data"]["launch_service_config"] = "a: [1"
    control_plane.apply(objects)
    reasons = {reason for _, reason, _ in findings(await report(cluster, place), place)}
    assert "ConfigMapUnreadable" in reasons
    assert not {"LaunchFieldMissing", "CacheRedisUnset"} & reasons  # not known, so not said


async def test_deployments_that_may_not_be_listed_are_named(
    helm: Helm, control_plane: ControlPlane, place: str
) -> None:
    control_plane.apply(rendered(helm, place, AWS))
    rules = [
        {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]
    async with as_account(control_plane, place, rules) as limited:
        (config, *_) = [check for check in await report(limited, place) if check.name == "ConfigValid"]
    (found,) = [each for each in config.findings if each.status == "Error"]
    assert found.reason == "ReleaseNotRead"
    assert "not allowed to list deployments" in found.message
