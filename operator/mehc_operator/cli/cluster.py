"""The cluster that a command asks."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.errors import UsageError
from mehc_operator.connection import Access, connected


@asynccontextmanager
async def opened(
    options: argparse.Namespace, *, otherwise: str = ""
) -> AsyncIterator[tuple[KubernetesCluster, str]]:
    """The cluster of ``--kubeconfig`` and ``--context``, and the namespace of ``--namespace`` or of the context.

    ``otherwise`` is what can be given in place of one.

    Raises UsageError: a cluster that cannot be asked is no finding about the installation.
    """
    access = Access(kubeconfig=options.kubeconfig, context=options.context)
    if not access.exists and not access.kubeconfig:
        raise UsageError(f"no cluster to check: give --kubeconfig{otherwise}")
    async with connected(access) as api:
        cluster = KubernetesCluster(api)
        await _require_reachable(cluster)
        yield cluster, options.namespace or access.namespace()


async def _require_reachable(cluster: KubernetesCluster) -> None:
    try:
        async with asyncio.timeout(10):
            status, _ = await cluster.request("GET", "/version")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the Kubernetes API cannot be reached: {reason}") from None
    if status == 401:
        raise UsageError("the Kubernetes API does not accept these credentials")
