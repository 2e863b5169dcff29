"""The CustomResourceDefinitions of the Prometheus Operator, whose objects the chart makes. Nobody acts on them here."""

from pathlib import Path

from testbed.controlplane import ControlPlane
from testbed.tools import TESTBED, module_folder

MODULE = "github.com/prometheus-operator/prometheus-operator"
KINDS = ("servicemonitors", "podmonitors", "prometheusrules")


def custom_resource_definitions() -> list[Path]:
    """The files of those that the chart uses, in Go's module cache; downloads the module if it is not there."""
    folder = module_folder(TESTBED / "prometheusoperator", MODULE) / "example" / "prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{kind}.yaml" for kind in KINDS]


def install(control_plane: ControlPlane) -> None:
    """Put them into the cluster; returns when the API server serves them."""
    # Not apply: the annotation that it adds would be larger than an annotation may be
    for file in custom_resource_definitions():
        control_plane.kubectl("create", "-f", file)
    control_plane.wait_established()
