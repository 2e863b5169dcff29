"""Rules carried out on values, as lint and the operator do."""

from typing import Any, Final

from mehc_checks.checks.config.rules.evaluate import Judged, Verdict, evaluate
from mehc_checks.checks.config.rules.rule import ClusterFacts
from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.values import Layer
from testbed.installation import Tree

SOUND: Final = ClusterFacts(
    namespace="model-engine",
    endpoint_namespace_exists=True,
    istio_namespace_exists=True,
    crds=frozenset(
        {
            "virtualservices.networking.istio.io",
            "destinationrules.networking.istio.io",
            "telemetries.telemetry.istio.io",
            "wasmplugins.extensions.istio.io",
            "verticalpodautoscalers.autoscaling.k8s.io",
        }
    ),
    gateways={"default/internal-gateway": True},
    service_accounts={"llm-engine/model-engine-endpoints": True},
    secrets={"model-engine/egp-ecr-regcred": True, "llm-engine/egp-ecr-regcred": True},
    selected_nodes=3,
    request_metric=True,
    scaled_twice=(),
    priority_classes={"model-engine-high-priority": True, "model-engine-default-priority": True},
    pod_security="",
    own_pod_security="",
)
"""A cluster in which nothing is missing."""


def at(path: str, value: Any) -> Tree:
    """Values that set one thing: ``at("a.b", 1)`` is ``{"a": {"b": 1}}``."""
    for key in reversed(path.split(".")):
        value = {key: value}
    tree: Tree = value
    return tree


def judge(
    *layers: Tree, facts: ClusterFacts | None = None, ignored: dict[str, str] | None = None
) -> dict[str, Judged]:
    """The verdicts over ``layers``, laid over the chart's own defaults, by the id of the rule."""
    values = WITHOUT_CLUSTER.under(
        [Layer(source=f"values-{n}.yaml", values=layer) for n, layer in enumerate(layers)]
    )
    return {one.rule.id: one for one in evaluate(values, facts=facts, ignored=ignored)}


def broken(*layers: Tree, facts: ClusterFacts | None = None) -> list[str]:
    """The ids of the rules that are broken, worst first as they are declared."""
    return [
        id
        for id, one in judge(*layers, facts=facts).items()
        if one.verdict is not Verdict.HOLDS and one.findings
    ]
