"""pytest fixtures over the testbed. Nothing starts before a test asks for it; servers serve the whole session.

A test that breaks, pauses or reconfigures a server starts its own instead (`with Redis(...) as server`).
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_operator.connection import Access, connected
from testbed import baseimage, operatorimage
from testbed.aws import Aws
from testbed.controlplane import ControlPlane
from testbed.kwok import Kwok
from testbed.node import Node, impossible
from testbed.node.archives import BUSYBOX_IMAGE, busybox
from testbed.operatorimage import ServedImage
from testbed.pki import CertificateAuthority
from testbed.postgres import Postgres
from testbed.process import is_temporary
from testbed.redis import Redis


def pytest_configure() -> None:
    """No test finds the developer's own cluster, database, Redis or identity in Azure or Google."""
    os.environ["KUBECONFIG"] = os.devnull  # unset would mean ~/.kube/config
    for name in list(os.environ):
        if (
            name.startswith(("PG", "KUBERNETES_SERVICE_", "REDIS_", "AZURE_", "GOOGLE_"))
            or name == "DATABASE_URL"
        ):
            del os.environ[name]
    os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = "http://127.0.0.1:9"  # nothing listens there
    os.environ["GCE_METADATA_HOST"] = (
        "metadata.invalid"  # resolves nowhere, as the real name outside of Google
    )
    os.environ["CLOUDSDK_CONFIG"] = "/nonexistent"


@pytest.fixture(autouse=True)
def only_our_own_cluster() -> None:
    """Refuses to run a test while KUBECONFIG names a file that the testbed did not write."""
    for name in os.environ.get("KUBECONFIG", "").split(os.pathsep):
        if name != os.devnull and not is_temporary(Path(name)):
            pytest.fail(f"KUBECONFIG={name!r} is not the testbed's; refusing to touch a foreign cluster")


@pytest.fixture(scope="session")
def certificate_authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Without TLS; a test makes its own database and roles."""
    with Postgres(max_connections=200) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_tls(certificate_authority: CertificateAuthority) -> Iterator[Postgres]:
    """TCP with TLS only, a certificate of `certificate_authority`."""
    with Postgres(tls="required", ca=certificate_authority) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """Plain, without a password."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_tls(certificate_authority: CertificateAuthority) -> Iterator[Redis]:
    """TLS, certificate of `certificate_authority`; requirepass "secret", ACL user "app" with "app-secret"."""
    with Redis(
        tls=True, ca=certificate_authority, password="secret", users={"app": "on >app-secret ~* &* +@all"}
    ) as server:
        yield server


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    """AWS's APIs, without IAM; names of buckets, queues and secrets are the tests' own."""
    with Aws() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="session")
async def cluster(control_plane: ControlPlane) -> AsyncIterator[KubernetesCluster]:
    """The testbed's cluster, as its administrator, behind the checks' own port."""
    async with connected(Access(kubeconfig=str(control_plane.kubeconfig))) as api:
        yield KubernetesCluster(api)


@pytest.fixture
def on_aws(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """The emulator, to which this process's identity and every call to AWS now belong."""
    for name, value in aws.client_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return aws


@pytest.fixture(scope="session")
def kwok(control_plane: ControlPlane) -> Iterator[Kwok]:
    """Plays the kubelets; one plain node, "node-1", is there from the start."""
    with Kwok(control_plane) as kubelets:
        kubelets.add_node("node-1")
        yield kubelets


@pytest.fixture(scope="session")
def real_node() -> Iterator[Node]:
    """A kubelet, in a cluster of its own (``real_node.control_plane``), with two GPUs that are none.

    ``testbed/busybox:1`` is on it. Where there can be no node, the tests that ask for it are skipped, by name.
    """
    if why := impossible():
        pytest.skip(why)
    with (
        ControlPlane(apiserver_flags={"kubelet-preferred-address-types": "InternalIP"}) as plane,
        Node(plane, gpus=2, labels={ACCELERATOR_LABEL: "nvidia-ampere-a10"}) as node,
    ):
        node.load(busybox(BUSYBOX_IMAGE))
        yield node


@pytest.fixture(scope="session")
def operator_image() -> Iterator[ServedImage]:
    """The operator's image; its first build takes minutes. A node gets it where it reaches the registry's port."""
    if reason := baseimage.impossible():
        pytest.skip(reason)
    with operatorimage.served() as image:
        yield image


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own; its deletion is asked for, not awaited."""
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)
