"""Finds out what is installed in a namespace: the Helm release, and what its pods really run with.

Later layers win, so what is live wins over what the release says; where the two say the same, the release is
named as the origin.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import yaml

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Reader
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.installation import drift, helm
from mehc_checks.installation.installation import Difference, Installation, LiveConfig
from mehc_checks.installation.objects import Releases, read_release
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine import serviceconfig, workloads
from mehc_checks.modelengine.fields import CHART_DEFAULTS
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.values import Layer, Part, Values
from mehc_checks.modelengine.versions import Platform, detect

_ENDPOINT_NAMESPACE: Final = "config.values.launch.endpoint_namespace"
_HARDWARE: Final = "-recommended-hardware-config"


async def discover(
    cluster: Cluster,
    releases: Releases,
    namespace: str,
    *,
    release: str = "",
    given: Sequence[Layer] = (),
    reader: Reader | None = None,
) -> Installation:
    """Find the installation in ``namespace``: the one of Helm release ``release`` if that is not "".

    ``given`` are the layers that the user lays over it; they may say which of several it is. Raises
    CannotEvaluate: ReleaseNotFound, ReleaseAmbiguous, InstallationAmbiguous, ReleaseUnreadable, or what the
    Kubernetes API is to blame for. Whatever it may not read is noted in ``Installation.lost``.
    """
    search = _Search(cluster, reader or Reader(cluster), releases, namespace)
    return await search.installation(release, given)


class _Search:
    def __init__(self, cluster: Cluster, reader: Reader, releases: Releases, namespace: str) -> None:
        self._cluster = cluster
        self._reader = reader
        self._releases = releases
        self._namespace = namespace
        self._lost: list[tuple[str, CannotEvaluate]] = []

    async def installation(self, named: str, given: Sequence[Layer]) -> Installation:
        release = await self._release(named)
        layers = list(release.layers) if release else []
        if release and release.facts.path:  # not every Helm stores a subchart's own defaults
            layers.insert(0, Layer(source="the chart's values.yaml", values=CHART_DEFAULTS))
        name = fullname(Values.merged([*(layers or [_NONE]), *given]))
        if release is None:
            deployments = await self._deployments()
            name = _the_one(deployments, name, self._namespace) or name
            layers += await self._of_objects(name, deployments)
            if not layers:
                return Installation(namespace=self._namespace, fullname=name, lost=tuple(self._lost))
        config_map = f"{name}-service-config"
        config, gateway = await asyncio.gather(self._config(self._namespace, config_map), self._gateway(name))
        platform = _platform(gateway, release)
        found: list[Difference] = []
        if config is not None and config.values is not None:
            known, where = Values.merged(layers or [_NONE]), f"ConfigMap {config.name}"
            found += self._lay(layers, config.values, drift.of_config_map(known, config.values, where=where))
        if gateway is not None:
            known, shown = Values.merged(layers or [_NONE]), workloads.environment_values(gateway)
            if (
                release and platform.is_newer
            ):  # its chart may set variables that are not known to be a chart's
                shown.pop("extraEnvVars", None)
            found += self._lay(layers, shown, drift.differences(known, shown, where=f"Deployment {name}"))
        values = Values.merged([*(layers or [_NONE]), *given])
        elsewhere = values.text(_ENDPOINT_NAMESPACE)
        endpoint_config = None
        if elsewhere and elsewhere != self._namespace:
            endpoint_config = await self._config(elsewhere, config_map)
        whole = set()
        if release or (config is not None and config.values is not None):
            whole.add(Part.CONFIG)
        if release:
            whole.add(Part.CHART)
        return Installation(
            namespace=self._namespace,
            fullname=name,
            release=release.facts if release else None,
            layers=tuple(layers),
            whole=frozenset(whole),
            config=config,
            endpoint_config=endpoint_config,
            drift=tuple(found) if release else (),
            platform=platform,
            lost=tuple(self._lost),
        )

    def _lay(self, layers: list[Layer], live: Mapping[str, Any], found: list[Difference]) -> list[Difference]:
        """Put what is live over ``layers`` where it differs from them, as ``found``."""
        if found:
            layers.append(Layer(source=found[0].where, values=drift.overriding(live, found)))
        return found

    async def _release(self, named: str) -> helm.Release | None:
        try:
            revisions = await self._releases.revisions(self._namespace)
        except Forbidden as refused:
            self._lost.append(("the values of the Helm release", refused))
            return None
        newest = [one for one in helm.newest(revisions) if not named or one.name == named]
        if named and not newest:
            raise _not_found(named, self._namespace, [one.name for one in helm.newest(revisions)])
        found: list[helm.Release] = []
        unreadable: list[helm.Unreadable] = []
        for one in newest:
            try:
                release = await read_release(self._cluster, self._namespace, one)
            except helm.Unreadable as error:
                unreadable.append(error)
                continue
            except Forbidden as refused:
                self._lost.append((f"the values of Helm release {one.name}", refused))
                continue
            if release is not None:
                found.append(release)
            elif named:
                raise CannotEvaluate(
                    R.RELEASE_NOT_FOUND,
                    namespace=self._namespace,
                    release=named,
                    detail="; it is a release of another chart",
                )
        if len(found) > 1:
            names = ", ".join(release.facts.name for release in found)
            raise CannotEvaluate(R.RELEASE_AMBIGUOUS, namespace=self._namespace, releases=names)
        if not found and unreadable:
            if named:
                raise unreadable[0]
            self._lost.append((f"the values in Secret {unreadable[0].secret}", unreadable[0]))
        return found[0] if found else None

    async def _config(self, namespace: str, name: str) -> LiveConfig | None:
        try:
            manifest = await self._reader.get(object_path("configmaps", namespace, name))
        except Forbidden as refused:
            self._lost.append((f"what pods in namespace {namespace} are configured with", refused))
            return None
        if manifest is None:
            return LiveConfig(namespace=namespace, name=name, trouble="does not exist")
        data = manifest.get("data") or {}
        changed = _changed(manifest["metadata"])
        owner = serviceconfig.owner(data)
        if owner not in (None, self._namespace):
            trouble = f"belongs to the installation in namespace {owner}"
            return LiveConfig(namespace=namespace, name=name, trouble=trouble)
        try:
            values = serviceconfig.values(data)
        except UsageError as error:
            return LiveConfig(
                namespace=namespace, name=name, trouble=f"cannot be read: {error}", changed=changed
            )
        return LiveConfig(namespace=namespace, name=name, values=values, changed=changed)

    async def _gateway(self, name: str) -> Mapping[str, Any] | None:
        try:
            return await self._reader.get(object_path("deployments", self._namespace, name, group="apps"))
        except Forbidden as refused:
            self._lost.append(("the environment of the gateway", refused))
            return None

    async def _deployments(self) -> list[Mapping[str, Any]]:
        path = object_path("deployments", self._namespace, group="apps")
        return await self._all("the Deployments of the control plane", path, workloads.PRODUCT)

    async def _all(self, what: str, path: str, labels: str = "") -> list[Mapping[str, Any]]:
        """The objects in the collection at ``path``; what is missing is noted as ``what``."""
        try:
            found = await self._reader.all(path, labels=labels)
        except Forbidden as refused:
            self._lost.append((what, refused))
            return []
        if found.cut:
            self._lost.append((what, found.cut))
        return list(found.items)

    async def _of_objects(self, name: str, deployments: Sequence[Mapping[str, Any]]) -> list[Layer]:
        """Values that the objects of an installation without a Helm release show."""
        if name not in workloads.fullnames(deployments):
            return []
        path = object_path("statefulsets", self._namespace, group="apps")
        stateful = await self._all("which broker the autoscaler has", path)
        autoscalers = [item["metadata"]["name"] for item in stateful]
        values = workloads.manifest_values(name, deployments, autoscalers)
        try:
            hardware = await self._cluster.config_map(self._namespace, name + _HARDWARE)
        except Forbidden as refused:
            self._lost.append(("the recommended hardware", refused))
            hardware = None
        if hardware:
            values["recommendedHardware"] = {key: _yaml(text) for key, text in hardware.items()}
        return [Layer(source=f"the objects of {name}", values=values)]


_NONE: Final = Layer(source="", values={})


def _the_one(deployments: Sequence[Mapping[str, Any]], wanted: str, namespace: str) -> str | None:
    names = workloads.fullnames(deployments)
    if wanted in names or not names:
        return wanted if names else None
    if len(names) > 1:
        raise CannotEvaluate(R.INSTALLATION_AMBIGUOUS, namespace=namespace, names=", ".join(names))
    return names[0]


def _platform(gateway: Mapping[str, Any] | None, release: helm.Release | None) -> Platform:
    if release is None:
        return detect(gateway)
    return detect(gateway, release.facts.chart, alias=release.facts.path.rpartition(".")[2])


def _not_found(named: str, namespace: str, others: Sequence[str]) -> CannotEvaluate:
    there = f"; found {', '.join(others)}" if others else ""
    return CannotEvaluate(R.RELEASE_NOT_FOUND, namespace=namespace, release=named, detail=there)


def _changed(metadata: Mapping[str, Any]) -> datetime | None:
    """When an object was last written: its managers say so, except of one that only its creation wrote."""
    times = [entry.get("time") for entry in metadata.get("managedFields") or ()]
    read = [datetime.fromisoformat(time) for time in (*times, metadata.get("creationTimestamp")) if time]
    return max(read, default=None)


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def nothing_found(installation: Installation) -> CannotEvaluate:
    """What to say of checks where neither the cluster nor the user has any values."""
    if installation.lost:
        lost, why = installation.lost[0]
        return CannotEvaluate(
            R.INSTALLATION_NOT_FOUND,
            namespace=installation.namespace,
            detail=f"; could not read {lost}: {why}",
            fix=why.finding().remediation,
        )
    return CannotEvaluate(R.INSTALLATION_NOT_FOUND, namespace=installation.namespace)
