"""What the live workloads of an installation name, and with it what the operator uses its own rights for.

Who may write a ModelEngineHealthCheck writes values, and may name there what only the operator can read: a Secret, a
secret or a bucket of AWS. Workloads take more rights to create, so what they name is the installation's own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reader
from mehc_checks.core.errors import Forbidden, UsageError
from mehc_checks.modelengine import serviceconfig
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.modelengine.workloads import (
    BUILDER,
    CACHER,
    environment_objects,
    environment_values,
    is_labelled,
)

_MOST_CONFIG_MAPS: Final = 20
_OF_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """``workloads`` are those of the installation, its gateway first; ``configuration`` is as the live objects alone
    show it.
    """

    workloads: tuple[Manifest, ...] = field(default=(), repr=False)
    configuration: Configuration = field(default_factory=lambda: Configuration(Values.merged([])))
    texts: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_live(self) -> bool:
        """Whether there is anything of the installation."""
        return bool(self.workloads)

    def names(self, host: str) -> bool:
        """Whether the workloads, or the ConfigMaps that they read, name ``host``."""
        wanted = host.lower().rstrip(".")
        return bool(wanted) and any(has(text, wanted) for text in self.texts)

    def names_image(self, host: str, path: str) -> bool:
        """Whether they name the registry ``host``, and the repository: ``path`` whole, or its end after a prefix."""
        parts = path.split("/")
        return self.names(host) and any(self.names("/".join(parts[at:])) for at in range(len(parts)))

    def uses(self, account: str) -> bool:
        """Whether pods of the workloads, or of the templates that they make endpoints from, have a ServiceAccount."""
        bare = (text.replace(" ", "").replace('"', "").replace("\\n", "\n") for text in self.texts)
        keys = ("serviceaccountname", "serviceaccount")
        return any(has(text, f"{key}:{account.lower()}") for text in bare for key in keys)


async def proof_of(reader: Reader, namespace: str, name: str) -> Proof:
    """The proof for the installation ``name``: of its Deployments, whether pods of theirs run or not, and of the Jobs
    that the chart runs before them, which a failed first install has alone.
    """
    workloads = [
        found
        for suffix in ("", CACHER, BUILDER)
        if (found := await reader.get(object_path("deployments", namespace, name + suffix, group="apps")))
    ]
    workloads += await _jobs(reader, namespace, name)
    pods = [item["spec"]["template"]["spec"] for item in workloads]
    texts = [json.dumps(pod).lower() for pod in pods]
    layers: list[Layer] = []
    for config_map in sorted({each for pod in pods for each in _config_maps(pod)})[:_MOST_CONFIG_MAPS]:
        found = await reader.get(object_path("configmaps", namespace, config_map))
        data: Mapping[str, str] = (found or {}).get("data") or {}
        texts += [text.lower() for text in data.values()]
        if serviceconfig.LAUNCH_KEY in data:
            try:
                layers.append(Layer(source=config_map, values=serviceconfig.values(data)))
            except UsageError:
                continue  # ConfigValid says so
    # the chart gives the same variables to all of them: the gateway's, which comes first, count most
    layers += [
        Layer(source=item["metadata"]["name"], values=environment_values(item))
        for item in reversed(workloads)
    ]
    return Proof(
        workloads=tuple(workloads),
        configuration=Configuration(Values.merged(layers)),
        texts=tuple(texts),
    )


async def _jobs(reader: Reader, namespace: str, name: str) -> Iterable[Manifest]:
    """Those of the chart, by its label or by the names that it gives; none where they may not be listed."""
    try:
        found = await reader.all(object_path("jobs", namespace, group="batch"))
    except Forbidden:
        return ()
    return tuple(
        item
        for item in found.items
        if is_labelled(item) or item["metadata"]["name"].startswith(f"{name}-database-")
    )


def _config_maps(pod: Mapping[str, Any]) -> Iterator[str]:
    """The ConfigMaps that the containers and volumes of ``pod`` use."""
    for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
        yield from (name for kind, name, _ in environment_objects(container) if kind == "ConfigMap")
    for volume in pod.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if name := (source.get("configMap") or {}).get("name"):
                yield str(name)


def has(text: str, name: str) -> bool:
    """Whether ``name`` is in ``text`` and is not part of a longer name."""
    at = text.find(name)
    while at >= 0:
        around = (text[at - 1 : at], text[at + len(name) : at + len(name) + 1])
        if not _OF_NAMES & {*around}:
            return True
        at = text.find(name, at + len(name))
    return False
