"""What most modules here need; those that need it another way have a fixture of the same name."""

from collections.abc import Iterator

import pytest

from testbed.controlplane import ControlPlane
from testbed.healthchecks import Cluster
from testbed.operatorprocess import Operator


@pytest.fixture(scope="module")
def operator(control_plane: ControlPlane) -> Iterator[Operator]:
    with Operator(control_plane) as running:
        yield running


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, operator: Operator) -> Cluster:
    return Cluster(control_plane, namespace)
