"""The cluster that a command asks."""

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from kubernetes.aio import client
from pydantic import ValidationError

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.workloads import PRODUCT
from mehc_operator.connection import Access, connected
from mehc_operator.models import GROUP, KIND, PLURAL, VERSION, Spec

_NAMED: Final = 8
"""Namespaces that are named at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A cluster, and the namespace in it. ``context`` is "" where a pod's own ServiceAccount is used."""

    cluster: KubernetesCluster
    api: client.ApiClient
    """The client that ``cluster`` asks by."""
    namespace: str
    context: str
    explicit: bool
    """Whether the namespace was given, and is not only that of the context."""


@asynccontextmanager
async def opened(options: argparse.Namespace, *, otherwise: str = "") -> AsyncIterator[Asked]:
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
        yield Asked(
            cluster=cluster,
            api=api,
            namespace=options.namespace or access.namespace(),
            context=access.context_name(),
            explicit=bool(options.namespace),
        )


async def _require_reachable(cluster: KubernetesCluster) -> None:
    try:
        async with asyncio.timeout(10):
            status, _ = await cluster.request("GET", "/version")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the Kubernetes API cannot be reached: {reason}") from None
    if status == 401:
        raise UsageError("the Kubernetes API does not accept these credentials")


async def resource_spec(at: Asked, name: str) -> Spec:
    """The spec of the ModelEngineHealthCheck ``name``. Raises UsageError."""
    try:
        found = await _resource(at, name)
    except CannotEvaluate as error:
        raise UsageError(f"--resource {name}: {error}") from None
    if found is None:
        raise UsageError(f"--resource {name}: namespace {at.namespace} has no {KIND} {name}")
    try:
        return Spec.model_validate(found.get("spec") or {})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"--resource {name}: spec.{where}: {first['msg']}") from None


async def _resource(at: Asked, name: str) -> Mapping[str, Any] | None:
    try:
        return await at.cluster.get(object_path(PLURAL, at.namespace, name, group=GROUP, version=VERSION))
    except Forbidden:  # the operator's own ServiceAccount is allowed to list them
        path = object_path(PLURAL, at.namespace, group=GROUP, version=VERSION)
        listed = await at.cluster.get(path, fieldSelector=f"metadata.name={name}")
        return next(iter((listed or {}).get("items") or ()), None)


async def could_not_run(problem: CannotEvaluate, at: Asked | None) -> UsageError:
    """``problem`` in words that fit a command: its arguments in place of fields of a resource."""
    if problem.reason is InstallationReasons.INSTALLATION_NOT_FOUND and at is not None:
        hint = "Set it with -n." if not at.explicit else "Correct -n."
        if found := await _installations(at.cluster):
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            hint = f"Use -n; found in: {', '.join(found[:_NAMED])}{more}."
        return UsageError(f"{problem}. {hint}")
    remedy = problem.finding(release_field="--release").remediation
    return UsageError(f"{problem}. {remedy}".rstrip())


async def _installations(cluster: KubernetesCluster) -> list[str]:
    """The namespaces with a gateway of model engine, as far as we may look."""
    found: Mapping[str, Any] | None
    try:
        found = await cluster.list_metadata("/apis/apps/v1/deployments", labelSelector=PRODUCT, limit="500")
    except CannotEvaluate:
        return []
    return sorted({item["metadata"]["namespace"] for item in (found or {}).get("items") or ()})
