"""Where the effective values come from.

For now: what the resource, or the command line, gives. The installation's own sources (the Helm
release, the live ConfigMaps, the gateway's environment) are layers below these, and are read here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.core.errors import UsageError
from mehc_checks.installation.helm import SECRET_TYPE
from mehc_checks.modelengine import valuesfile
from mehc_checks.modelengine.values import Layer

NOT_CREDENTIALS: Final = frozenset({SECRET_TYPE, "kubernetes.io/service-account-token"})
"""Types of Secrets that nobody's values make us read: they hold far more than a password."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A key of a ConfigMap or Secret that holds values in the chart's shape. ``kind`` is one of the two."""

    kind: str
    name: str
    key: str
    optional: bool = False


async def referenced(references: Iterable[Reference], cluster: Cluster, namespace: str) -> list[Layer]:
    """Read ``references`` in ``namespace``, in order. Raises UsageError naming what is missing or malformed."""
    return [
        layer
        for index, reference in enumerate(references)
        if (layer := await _layer(index, reference, cluster, namespace)) is not None
    ]


async def _layer(index: int, reference: Reference, cluster: Cluster, namespace: str) -> Layer | None:
    where = f"spec.valuesFrom[{index}]: {reference.kind} {reference.name}"
    data: Mapping[str, str] | None
    if reference.kind == "Secret":
        secret = await cluster.secret(namespace, reference.name)
        if secret is not None and secret.type in NOT_CREDENTIALS:
            raise UsageError(f"{where} is of type {secret.type}, which is never read as values")
        data = None if secret is None else secret.data
    else:
        data = await cluster.config_map(namespace, reference.name)
    if data is None or reference.key not in data:
        if reference.optional:
            return None
        what = "does not exist" if data is None else f"has no key {reference.key}"
        raise UsageError(f"{where} {what} in namespace {namespace}")
    values = valuesfile.read(data[reference.key], where=f"{where}, key {reference.key}").values
    return Layer(source=f"{reference.kind} {reference.name} key {reference.key}", values=values)
