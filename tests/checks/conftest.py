"""What tests of checks share: the real API server behind the checks' own port."""

from collections.abc import AsyncIterator

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_operator.connection import Access, connected
from testbed.aws import Aws
from testbed.controlplane import ControlPlane


@pytest.fixture(scope="session")
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    """The testbed's cluster, as its administrator."""
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


@pytest.fixture
def on_aws(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The emulator, to which this process's identity and every call to AWS now belong."""
    for name, value in aws.client_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return aws
