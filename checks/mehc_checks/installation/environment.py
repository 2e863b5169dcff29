"""The environment that the gateway's process has: of its live Deployment, else as the values would make it.

Variables come from values, Secrets and ConfigMaps. One that cannot be resolved is known by its name, and whoever reads
it is told why; the others are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate, Forbidden, MehcError, Problem
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import EnvironmentReasons as R
from mehc_checks.modelengine.environment import Declared, by_values, expanded, of_deployment, references


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Variables by name. ``sources`` says where each comes from: "key password of Secret pg", "extraEnvVars"."""

    known: Mapping[str, str] = field(repr=False)
    sources: Mapping[str, str]
    unread: Mapping[str, MehcError]
    """Those that exist and could not be resolved, each with why."""
    gap: MehcError | None = None
    """Why an ``envFrom`` could not be read: any variable that is not known may be in it."""
    mounts: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """The variable, None where it is not set. Raises the MehcError that kept it from being resolved."""
        if name in self.unread:
            raise self.unread[name]
        if name not in self.known and self.gap:
            raise self.gap
        return self.known.get(name)

    def source(self, name: str) -> str:
        """Where ``name`` comes from, for a message; the name itself where it is not set."""
        return self.sources.get(name, name)


async def gateway_environment(context: Context) -> Environment:
    """Resolve it. Raises nothing for a variable that cannot be resolved: ``Environment.get`` does."""
    declared = await _declared(context)
    resolver = _Resolver(context, declared)
    for item in declared.env_from:
        await resolver.add_all(item)
    for item in declared.env:
        await resolver.add(item)
    return Environment(
        known=resolver.known,
        sources=resolver.sources,
        unread=resolver.unread,
        gap=resolver.gap,
        mounts=declared.mounts,
    )


async def _declared(context: Context) -> Declared:
    configuration = context.configuration
    if not isinstance(context.cluster, NoCluster):
        path = object_path("deployments", context.namespace, configuration.fullname, group="apps")
        try:
            deployment = await context.reader.get(path)
        except Forbidden:
            deployment = None  # the values are the second best
        if deployment is not None:
            return of_deployment(deployment)
    return by_values(configuration)


class _Resolver:
    """Takes variables in their order: a later one replaces an earlier one, and may refer to it."""

    def __init__(self, context: Context, declared: Declared) -> None:
        self._context = context
        self._where = "the gateway's Deployment" if declared.live else "extraEnvVars"
        self.known: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.unread: dict[str, MehcError] = {}
        self.gap: MehcError | None = None

    async def add(self, item: Mapping[str, Any]) -> None:
        """An item of ``env``."""
        name, value, source = str(item.get("name")), item.get("value"), item.get("valueFrom")
        if isinstance(source, Mapping) and source:
            self._forget(name)
            try:
                await self._reference(name, source)
            except MehcError as error:
                self.unread[name] = error
        else:
            text = "" if value is None else str(value)
            blocked = next((other for other in references(text) if other in self.unread), None)
            resolved = expanded(text, self.known)
            self._forget(name)
            if blocked:
                self.unread[name] = self.unread[blocked]
            else:
                self._set(name, resolved, f"{name} in {self._where}")

    async def add_all(self, item: Mapping[str, Any]) -> None:
        """An item of ``envFrom``. Which names one has that cannot be read is not known."""
        prefix = str(item.get("prefix") or "")
        for kind, reference in (("Secret", item.get("secretRef")), ("ConfigMap", item.get("configMapRef"))):
            if not isinstance(reference, Mapping):
                continue
            name = str(reference.get("name"))
            try:
                data = await self._data(kind, name)
            except MehcError as error:
                self.gap = error
                continue
            for key, value in (data or {}).items():
                self._set(prefix + key, value, f"key {key} of {kind} {name}")

    async def _reference(self, name: str, source: Mapping[str, Any]) -> None:
        for kind, reference in (
            ("Secret", source.get("secretKeyRef")),
            ("ConfigMap", source.get("configMapKeyRef")),
        ):
            if isinstance(reference, Mapping):
                await self._key(name, kind, reference)
                return
        of_the_pod = source.get("fieldRef")
        field_path = of_the_pod.get("fieldPath") if isinstance(of_the_pod, Mapping) else None
        if field_path != "metadata.namespace":
            detail = f"it is {field_path} of its pod" if field_path else f"it comes from {', '.join(source)}"
            raise CannotEvaluate(R.VARIABLE_NOT_READ, variable=name, detail=detail)
        self._set(name, self._context.namespace, "metadata.namespace")

    async def _key(self, variable: str, kind: str, reference: Mapping[str, Any]) -> None:
        name, key = str(reference.get("name")), str(reference.get("key"))
        data = await self._data(kind, name)
        if data is not None and key in data:
            self._set(variable, data[key], f"key {key} of {kind} {name}")
            return
        if reference.get("optional"):
            return
        words = {"variable": variable, "key": key, "namespace": self._context.namespace}
        if kind == "ConfigMap":
            raise Problem(R.CONFIG_MAP_NOT_FOUND, config_map=name, **words)
        raise Problem(R.SECRET_NOT_FOUND if data is None else R.SECRET_KEY_NOT_FOUND, secret=name, **words)

    async def _data(self, kind: str, name: str) -> Mapping[str, str] | None:
        if kind == "Secret":
            secret = await self._context.secret(name)
            return None if secret is None else secret.data
        found = await self._context.reader.get(object_path("configmaps", self._context.namespace, name))
        return None if found is None else (found.get("data") or {})

    def _set(self, name: str, value: str, source: str) -> None:
        self._forget(name)
        self.known[name], self.sources[name] = value, source

    def _forget(self, name: str) -> None:
        for names in (self.known, self.sources, self.unread):
            names.pop(name, None)
