"""The cluster that a command asks."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.installation.discover import discover, nothing_found
from mehc_checks.installation.installation import Installation
from mehc_checks.installation.objects import ListedReleases
from mehc_checks.modelengine.values import Layer
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


async def installed(
    cluster: KubernetesCluster, namespace: str, release: str, given: Sequence[Layer]
) -> Installation:
    """What is installed in ``namespace``. Raises UsageError where that cannot be told, or is nothing at all."""
    try:
        found = await discover(cluster, ListedReleases(cluster), namespace, release=release, given=given)
        if not found.layers and not given:
            raise nothing_found(found)
    except CannotEvaluate as error:
        raise UsageError(f"{error}. {error.remediation}".rstrip()) from None
    return found
