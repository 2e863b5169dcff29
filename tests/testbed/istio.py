"""Istio as far as an API server knows it: its CustomResourceDefinitions, its namespace, a gateway."""

from typing import Any

from testbed.controlplane import ControlPlane

CRDS = {
    "virtualservices.networking.istio.io": "VirtualService",
    "destinationrules.networking.istio.io": "DestinationRule",
    "gateways.networking.istio.io": "Gateway",
    "telemetries.telemetry.istio.io": "Telemetry",
    "wasmplugins.extensions.istio.io": "WasmPlugin",
}


def install(control_plane: ControlPlane) -> None:
    """Install the definitions, the namespace istio-system, and the gateway that model engine's endpoints name."""
    control_plane.apply([_definition(name, kind) for name, kind in CRDS.items()])
    control_plane.wait_established()
    control_plane.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "Gateway",
                "metadata": {"name": "internal-gateway", "namespace": "default"},
            },
        ]
    )


def _definition(name: str, kind: str) -> dict[str, Any]:
    plural, _, group = name.partition(".")
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    }
