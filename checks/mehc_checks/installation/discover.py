"""Finds out what is installed in a namespace: the Helm release, and what its pods really run with.

Later layers win, so what is live wins over what the release says; where the two say the same, the release is
named as the origin.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from mehc_checks.clients.kubernetes.api import Cluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Reader
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.installation import drift, helm
from mehc_checks.installation.delivery import delivery_of
from mehc_checks.installation.installation import Difference, Installation, LiveConfig
from mehc_checks.installation.manifests import Found, Objects
from mehc_checks.installation.objects import Releases, read_release
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine import manifests, paths, serviceconfig, workloads
from mehc_checks.modelengine.fields import CHART_DEFAULTS
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.values import Layer, Part, Values
from mehc_checks.modelengine.versions import Platform, detect


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


class _Live(NamedTuple):
    """What the cluster shows of an installation; ``found`` is looked for where there is no release."""

    name: str
    config: LiveConfig | None
    gateway: Mapping[str, Any] | None
    found: Found | None = None


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
        whole = set[str](Part if release else ())
        live = await (self._of_release(name) if release else self._of_objects(name))
        if live is None:
            return Installation(namespace=self._namespace, fullname=name, lost=tuple(self._lost))
        name, config, gateway = live.name, live.config, live.gateway
        if live.found:
            layers.append(Layer(source=f"the objects of {name}", values=live.found.shown.values))
            whole |= live.found.shown.whole
        platform = _platform(gateway, release)
        differing: list[Difference] = []
        if config is not None and config.values is not None:
            known, where = Values.merged(layers or [_NONE]), f"ConfigMap {config.name}"
            differing += self._lay(
                layers, config.values, drift.of_config_map(known, config.values, where=where)
            )
            whole.add(Part.CONFIG)
        if gateway is not None:
            known, shown = Values.merged(layers or [_NONE]), workloads.environment_values(gateway)
            if (
                release and platform.is_newer
            ):  # its chart may set variables that are not known to be a chart's
                shown.pop("extraEnvVars", None)
            differing += self._lay(layers, shown, drift.differences(known, shown, where=f"Deployment {name}"))
        values = Values.merged([*(layers or [_NONE]), *given])
        elsewhere = values.text(paths.ENDPOINT_NAMESPACE) or ""
        endpoint_config = None
        if layers and elsewhere and elsewhere != self._namespace:
            endpoint_config = await self._config(elsewhere, f"{name}-service-config")
        return Installation(
            namespace=self._namespace,
            fullname=name,
            release=release.facts if release else None,
            layers=tuple(layers),
            whole=frozenset(whole),
            delivery=delivery_of(gateway, release=release is not None),
            config=config if layers else None,
            endpoint_config=endpoint_config,
            drift=tuple(differing) if release else (),
            left_over=live.found.left_over if live.found else (),
            platform=platform,
            lost=tuple(self._lost),
        )

    async def _of_release(self, name: str) -> "_Live":
        config, gateway = await asyncio.gather(
            self._config(self._namespace, f"{name}-service-config"), self._gateway(name)
        )
        return _Live(name, config, gateway)

    async def _of_objects(self, wanted: str) -> "_Live | None":
        """What there is without a release, of ``wanted`` where there are several; None where there is nothing.

        Where Deployments may not be listed, the objects of that name can still be asked for.
        """
        objects = Objects(self._reader, self._namespace, self._lost)
        deployments = await objects.deployments()
        if deployments is None:
            return await self._of_release(wanted)
        name = _the_one(deployments, wanted, self._namespace)
        if name is None:
            return None
        gateway = next((each for each in deployments if each["metadata"]["name"] == name), None)
        config = await self._config(
            self._namespace, manifests.volume(gateway or {}, f"{name}-service-config")
        )
        values = Values.merged([_NONE, Layer(source="", values=(config and config.values) or {})])
        found = await objects.of(name, gateway, deployments, values.text(paths.ENDPOINT_NAMESPACE) or "")
        return _Live(name, config, gateway, found)

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
