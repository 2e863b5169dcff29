"""What configuration rules ask of the cluster. What may not be read stays unknown, and its rules are skipped."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final, NamedTuple, TypeVar

from mehc_checks.checks.config.rules.rule import Cloud, ClusterFacts
from mehc_checks.checks.config.rules.section5 import ENDPOINT_GATEWAY
from mehc_checks.clients.kubernetes.paths import cluster_path, object_path
from mehc_checks.clients.kubernetes.reader import Listing, Manifest, Reader
from mehc_checks.core.errors import CannotEvaluate, NotApplicable
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.names import PRIORITY_CLASSES

T = TypeVar("T")

ISTIO_NAMESPACE: Final = "istio-system"
PULL_SECRET: Final = "egp-ecr-regcred"  # noqa: S105 - a name
"""What the chart's ServiceAccounts pull with on Azure. Source: ``service_account.yaml``."""
_GROUPS: Final = (
    "networking.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "autoscaling.k8s.io",
)
_CUSTOM_METRICS: Final = "custom.metrics.k8s.io"
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_KEDAS_OWN: Final = "keda-hpa-"


async def cluster_facts(context: Context) -> ClusterFacts:
    """Ask for all of it at once."""
    reader, configuration = context.reader, context.configuration
    endpoints, account = configuration.endpoint_namespace, configuration.inference_account
    (
        (served, namespace, own, istio, nodes),
        (accounts, gateways, secrets, twice, classes),
    ) = await asyncio.gather(
        asyncio.gather(
            _or_none(_served(reader)),
            _or_none(_namespace(reader, endpoints)),
            _or_none(_namespace(reader, context.namespace)),
            _or_none(_exists(reader, cluster_path("namespaces", ISTIO_NAMESPACE))),
            _or_none(_selected_nodes(context)),
        ),
        asyncio.gather(
            _existing(reader, "serviceaccounts", [f"{endpoints}/{account}"] if endpoints and account else []),
            _existing(reader, "gateways", _gateways(context), group="networking.istio.io"),
            _existing(reader, "secrets", _pull_secrets(context, endpoints)),
            _or_none(_scaled_twice(context)),
            _priority_classes(reader),
        ),
    )
    groups, crds = served or (None, None)
    return ClusterFacts(
        namespace=context.namespace,
        endpoint_namespace_exists=None if namespace is None else namespace.exists,
        pod_security=_enforced(namespace),
        own_pod_security=_enforced(own),
        priority_classes=classes,
        istio_namespace_exists=istio,
        crds=crds,
        gateways=gateways,
        service_accounts=accounts,
        secrets=secrets,
        selected_nodes=nodes,
        request_metric=None if groups is None else _CUSTOM_METRICS in groups,
        scaled_twice=twice,
    )


async def _or_none(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except (CannotEvaluate, NotApplicable):
        return None


async def _served(reader: Reader) -> tuple[frozenset[str], frozenset[str]]:
    """The API groups, and of those that rules ask for the resources, as their CRDs are named."""
    listed = await reader.get("/apis") or {}
    versions = {
        group["name"]: group["preferredVersion"]["groupVersion"] for group in listed.get("groups", ())
    }
    wanted = [group for group in _GROUPS if group in versions]
    answers = await asyncio.gather(*(reader.get(f"/apis/{versions[group]}") for group in wanted))
    crds = {
        f"{resource['name']}.{group}"
        for group, answer in zip(wanted, answers, strict=True)
        for resource in (answer or {}).get("resources", ())
    }
    return frozenset(versions), frozenset(crds)


class _Namespace(NamedTuple):
    """``enforced``: the pod security standard that its label names, "" for none."""

    exists: bool
    enforced: str


async def _namespace(reader: Reader, name: str) -> _Namespace | None:
    if not name:
        return None
    found = await reader.get(cluster_path("namespaces", name))
    labels = ((found or {}).get("metadata") or {}).get("labels") or {}
    return _Namespace(exists=found is not None, enforced=str(labels.get(_ENFORCE, "")))


def _enforced(namespace: _Namespace | None) -> str | None:
    return namespace.enforced if namespace and namespace.exists else None


async def _priority_classes(reader: Reader) -> dict[str, bool]:
    found = await asyncio.gather(
        *(
            _or_none(_exists(reader, cluster_path("priorityclasses", name, group="scheduling.k8s.io")))
            for name in PRIORITY_CLASSES
        )
    )
    return {name: exists for name, exists in zip(PRIORITY_CLASSES, found, strict=True) if exists is not None}


async def _exists(reader: Reader, path: str) -> bool | None:
    return await reader.exists(path) if path else None


async def _existing(
    reader: Reader, resource: str, names: Iterable[str], *, group: str = ""
) -> dict[str, bool]:
    """Whether each "namespace/name" exists; those are left out that may not be read."""
    names = list(names)
    found = await asyncio.gather(
        *(
            _or_none(_exists(reader, object_path(resource, *name.split("/", 1), group=group)))
            for name in names
        )
    )
    return {name: exists for name, exists in zip(names, found, strict=True) if exists is not None}


def _gateways(context: Context) -> list[str]:
    if not context.configuration.flag(paths.VIRTUAL_SERVICE_ENABLED):
        return []
    named = map(str, context.configuration.items(paths.VIRTUAL_SERVICE_GATEWAYS))
    return sorted({name for name in (*named, ENDPOINT_GATEWAY) if name.count("/") == 1})


def _pull_secrets(context: Context, endpoints: str) -> list[str]:
    if context.configuration.cloud != Cloud.AZURE:
        return []
    return [f"{namespace}/{PULL_SECRET}" for namespace in (context.namespace, endpoints) if namespace]


async def _selected_nodes(context: Context) -> int | None:
    selector = context.configuration.table(paths.NODE_SELECTOR)
    if not selector:
        return None
    nodes = await context.inventory.nodes()
    return sum(
        len(pool)
        for pool in nodes.pools(frozenset(selector))
        if all(pool.node.label(key) == str(value) for key, value in selector.items())
    )


async def _scaled_twice(context: Context) -> tuple[str, ...] | None:
    """Targets of a ScaledObject and of another HPA; None where there is none in lists that were cut."""
    await context.prove_endpoint_namespace()
    where = context.endpoint_namespace
    hpas, scaled = await asyncio.gather(
        context.reader.all(object_path("horizontalpodautoscalers", where, group="autoscaling", version="v2")),
        context.reader.all(object_path("scaledobjects", where, group="keda.sh", version="v1alpha1")),
    )
    own = {name for name in _names(hpas) if not name.startswith(_KEDAS_OWN)}
    twice = tuple(sorted(own & _names(scaled)))
    return twice if twice or not (hpas.cut or scaled.cut) else None


def _names(listing: Listing[Manifest]) -> set[str]:
    return {item["metadata"]["name"] for item in listing.items}
