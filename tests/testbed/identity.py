"""The cluster as somebody with few permissions sees it."""

import contextlib
from collections.abc import AsyncIterator

from kubernetes.aio import client

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from testbed.controlplane import ControlPlane
from testbed.installation import Tree


@contextlib.asynccontextmanager
async def as_account(
    control_plane: ControlPlane, namespace: str, rules: list[Tree]
) -> AsyncIterator[KubernetesCluster]:
    """A cluster as a ServiceAccount with no more than ``rules`` in ``namespace`` sees it."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "checker", "namespace": namespace},
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "checker", "namespace": namespace},
        "rules": rules,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "checker", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "checker"},
        "subjects": [{"kind": "ServiceAccount", "name": "checker", "namespace": namespace}],
    }
    control_plane.apply([account, role, binding])
    token = control_plane.kubectl("create", "token", "checker", "-n", namespace).strip()
    configuration = client.Configuration()
    configuration.host = control_plane.server
    configuration.ssl_ca_cert = str(control_plane.ca_file)
    configuration.api_key = {"BearerToken": f"Bearer {token}"}
    async with client.ApiClient(configuration) as api:
        yield KubernetesCluster(api)
