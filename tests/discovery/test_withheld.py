"""What the operator tells of a server, by who names it: live objects, or values alone."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mehc_checks.checks.image.reasons import VllmImageReasons
from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.network import reach
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.core.outcome import Finding, Outcome
from mehc_checks.engine.check import Scope
from mehc_checks.engine.deputy import withheld
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Values
from testbed.controlplane import ControlPlane

OWN, OTHER, STORE = "harbor.corp.internal", "other.corp.internal", "minio.corp.internal"


@pytest.fixture
async def context(
    control_plane: ControlPlane, cluster: KubernetesCluster, namespace: str
) -> AsyncIterator[Context]:
    """Of a gateway whose image is of the registry ``OWN``; the values name ``OTHER`` too."""
    container = {"name": "model-engine", "image": f"{OWN}:5000/model-engine:1"}
    container |= {"env": [{"name": "SERVICE_IDENTIFIER", "value": ""}, {"name": "X", "value": "10.1.2.3"}]}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    control_plane.api("POST", path, {"metadata": {"name": "model-engine"}, "spec": spec})
    made = Context(
        values=Values.merged([]),
        cluster=cluster,
        namespace=namespace,
        timeout=timedelta(seconds=60),
        given=f'["{OTHER}", "public.example.com"]',
    )
    with reach.using(reach.Reach(restricted=True)):
        yield made
    await made.close()


def refused(host: str) -> Finding:
    return NetworkProblem(N.CONNECTION_REFUSED, host, 443).finding()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (refused(OWN), True),
        (refused("10.1.2.3"), True),
        (refused("10.1.2.30"), False),
        (refused("10.16777217"), False),
        (refused(OTHER), False),
        (refused("public.example.com"), False),
        (refused("login.example.com"), True),  # neither the values nor a private network chose it
        (R.LAYER_STORE_UNREACHABLE(store=STORE, host=OWN, detail="refused"), True),
        (R.LAYER_STORE_UNREACHABLE(store=STORE, host=OTHER, detail="refused"), False),
        (R.SERVER_ERROR(service=STORE, host=OWN, repository="vllm", code=503), True),
        (
            VllmImageReasons.REGISTRY_UNREACHABLE_FROM_OPERATOR(
                image="x", detail=NetworkProblem(N.CONNECTION_REFUSED, OTHER, 443)
            ),
            False,
        ),
    ],
    ids=lambda each: each.message if isinstance(each, Finding) else "",
)
async def test_details_are_for_what_live_objects_name(context: Context, found: Finding, told: bool) -> None:
    outcome = await withheld(Outcome.of([found], evidence={"version": "7"}), context, Scope.PART)
    assert (outcome.findings[0] == found) == told
    assert told or (outcome.findings[0].reason.name, outcome.evidence) == ("AddressNotVerified", {})


async def test_what_kubelets_told_of_pods_is_told(context: Context) -> None:
    for scope in (Scope.ENDPOINTS, Scope.CONTROL_PLANE):
        outcome = Outcome.of([refused(OTHER)])
        assert await withheld(outcome, context, scope) == outcome


async def test_a_command_tells_all(context: Context) -> None:
    outcome = Outcome.of([refused(OTHER)])
    with reach.using(reach.Reach()):
        assert await withheld(outcome, context, Scope.PART) == outcome
    with reach.using(reach.Reach(restricted=True, trusted=frozenset({"*"}))):
        assert await withheld(outcome, context, Scope.PART) == outcome
