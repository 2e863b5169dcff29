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
from mehc_checks.modelengine.environment import of_deployment
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.modelengine.workloads import BUILDER, CACHER, environment_values, is_labelled

_MOST_CONFIG_MAPS: Final = 20
_OF_NAMES: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """``is_live``: there is a gateway. ``configuration`` is as the live objects alone show it; ``secrets`` are the
    Secrets that workloads use.
    """

    is_live: bool = False
    configuration: Configuration = field(default_factory=lambda: Configuration(Values.merged([])))
    secrets: frozenset[str] = frozenset()
    texts: tuple[str, ...] = field(default=(), repr=False)

    def names(self, host: str) -> bool:
        """Whether the workloads, or the ConfigMaps that they read, name ``host``."""
        wanted = host.lower().rstrip(".")
        return bool(wanted) and any(has(text, wanted) for text in self.texts)

    def uses(self, account: str) -> bool:
        """Whether pods of the workloads, or of the templates that they make endpoints from, have a ServiceAccount."""
        bare = (text.replace(" ", "").replace('"', "").replace("\\n", "\n") for text in self.texts)
        return any(has(text, f"serviceaccountname:{account.lower()}") for text in bare)


async def proof_of(reader: Reader, namespace: str, name: str) -> Proof:
    """The proof for the installation ``name``: of its Deployments, and of the Jobs that the chart runs before them."""
    deployments = [
        found
        for suffix, component in (("", "gateway"), (CACHER, "cacher"), (BUILDER, "builder"))
        if (found := await reader.get(object_path("deployments", namespace, name + suffix, group="apps")))
        and of_deployment(found, component).is_whole
    ]
    jobs = await _jobs(reader, namespace)
    pods = [item["spec"]["template"]["spec"] for item in (*deployments, *jobs)]
    texts = [json.dumps(pod).lower() for pod in pods]
    layers: list[Layer] = []
    for config_map in sorted({each for pod in pods for each in _named(pod, "configMap")})[:_MOST_CONFIG_MAPS]:
        found = await reader.get(object_path("configmaps", namespace, config_map))
        data: Mapping[str, str] = (found or {}).get("data") or {}
        texts += [text.lower() for text in data.values()]
        if serviceconfig.LAUNCH_KEY in data and deployments:
            try:
                layers.append(Layer(source=config_map, values=serviceconfig.values(data)))
            except UsageError:
                continue  # ConfigValid says so
    if deployments and deployments[0]["metadata"]["name"] == name:
        layers.append(Layer(source=name, values=environment_values(deployments[0])))
    return Proof(
        is_live=bool(deployments),
        configuration=Configuration(Values.merged(layers)),
        secrets=frozenset(each for pod in pods for each in _named(pod, "secret")),
        texts=tuple(texts),
    )


async def _jobs(reader: Reader, namespace: str) -> Iterable[Manifest]:
    """Those of the chart; none where they may not be listed."""
    try:
        found = await reader.all(object_path("jobs", namespace, group="batch"))
    except Forbidden:
        return ()
    return tuple(item for item in found.items if is_labelled(item))


def _named(pod: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The objects of ``kind``, "secret" or "configMap", that the containers and volumes of ``pod`` use."""
    for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
        for item in container.get("env") or ():
            yield from _name((item.get("valueFrom") or {}).get(f"{kind}KeyRef"))
        for item in container.get("envFrom") or ():
            yield from _name(item.get(f"{kind}Ref"))
    for volume in pod.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            yield from _name(source.get(kind))


def _name(reference: Mapping[str, Any] | None) -> Iterator[str]:
    found = (reference or {}).get("name") or (reference or {}).get("secretName")
    if isinstance(found, str):
        yield found


def has(text: str, name: str) -> bool:
    """Whether ``name`` is in ``text`` and is not part of a longer name."""
    at = text.find(name)
    while at >= 0:
        around = (text[at - 1 : at], text[at + len(name) : at + len(name) + 1])
        if not _OF_NAMES & {*around}:
            return True
        at = text.find(name, at + len(name))
    return False
