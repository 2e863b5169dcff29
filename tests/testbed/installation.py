"""An installation of model engine, as far as a health check sees it: values, Secrets, and the resource."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mehc_checks.engine.check import catalogue
from testbed.controlplane import ControlPlane

DATABASE_SECRET = "llm-engine-postgres-credentials"

Tree = dict[str, Any]


def aws_values(**launch: Any) -> Tree:
    """Values of a sound installation on AWS, SQS as the broker; ``launch`` adds to ``config.values.launch``."""
    return {
        "secrets": {"kubernetesDatabaseSecretName": DATABASE_SECRET},
        "celeryBrokerType": "sqs",
        "redis": {"enableTLS": False, "enableAuth": False, "unsafeSsl": False},
        "config": {
            "values": {
                "infra": {"cloud_provider": "aws", "default_region": "us-east-1"},
                "launch": {**launch},
            }
        },
    }


def only(*names: str) -> Tree:
    """Part of a spec: the checks ``names`` run and no others."""
    return {"checks": {name: {"enabled": False} for name in catalogue() if name not in names}}


def without(values: Tree, path: str) -> Tree:
    """A copy of ``values`` without the key at ``path``; null would leave it there."""
    *parents, key = path.split(".")
    kept = copy.deepcopy(values)
    table = kept
    for parent in parents:
        table = table[parent]
    del table[key]
    return kept


def overlaid(values: Tree, *overlays: Mapping[str, Any]) -> Tree:
    """A copy of ``values`` with ``overlays`` merged in, maps key by key."""
    merged = copy.deepcopy(values)
    for overlay in overlays:
        for key, value in overlay.items():
            present = merged.get(key)
            both = isinstance(present, dict) and isinstance(value, Mapping)
            merged[key] = overlaid(present, value) if both and present is not None else copy.deepcopy(value)
    return merged


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """One namespace with what the chart's user put there, and the resource that asks for its health."""

    namespace: str
    values: Tree
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Secrets by name, each a map of plain text."""
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """ConfigMaps by name."""
    others: Sequence[Tree] = ()
    """Further manifests, without a namespace: they go into this one."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """Of the resource, besides its values."""
    name: str = "model-engine"

    def surroundings(self) -> list[Tree]:
        """The manifests of all but the resource, in the order in which they must be applied."""
        secrets = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "stringData": dict(data),
            }
            for name, data in {
                **self.secrets,
                "mehc-values": {"values.yaml": json.dumps(self.values)},
            }.items()
        ]
        config_maps = [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": self.namespace},
                "data": dict(data),
            }
            for name, data in self.config_maps.items()
        ]
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        others = [
            {**manifest, "metadata": {**manifest["metadata"], "namespace": self.namespace}}
            for manifest in self.others
        ]
        return [namespace, *secrets, *config_maps, *others]

    def resource(self) -> Tree:
        """The ModelEngineHealthCheck, with its values by reference: they hold a password."""
        return {
            "apiVersion": "health.modelengine.io/v1alpha1",
            "kind": "ModelEngineHealthCheck",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "valuesFrom": [{"secretKeyRef": {"name": "mehc-values", "key": "values.yaml"}}],
                **self.spec,
            },
        }

    def apply(self, control_plane: ControlPlane) -> None:
        control_plane.apply([*self.surroundings(), self.resource()])
