"""What tests of checks share: the real API server behind the checks' own port."""

from collections.abc import AsyncIterator

import pytest

from mehc_checks.cluster import KubernetesCluster
from mehc_operator.connection import Access, connected
from testbed.controlplane import ControlPlane


@pytest.fixture(scope="session")
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    """The testbed's cluster, as its administrator."""
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)
