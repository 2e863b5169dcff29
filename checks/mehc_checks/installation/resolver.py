"""Resolves the variables of a container in the kubelet's order: of values, Secrets, ConfigMaps and Services."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate, Forbidden, MehcError, Problem
from mehc_checks.core.redact import sensitive
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import EnvironmentReasons as R
from mehc_checks.modelengine.environment import (
    LINKED,
    Declared,
    expanded,
    references,
    service_of,
    service_variables,
)

_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """An ``envFrom`` that could not be read: any variable that begins with ``prefix`` may be in it."""

    prefix: str
    kind: str
    name: str
    error: MehcError


def unread(component: str, variable: str, gap: Gap) -> MehcError:
    """Why ``variable`` is not known: it may be in what ``gap`` could not read."""
    if isinstance(gap.error, Forbidden):
        detail = f"it may be in {gap.kind} {gap.name} of envFrom, and {gap.error}"
        fix = gap.error.remediation
        return CannotEvaluate(
            R.VARIABLE_NOT_READ, component=component, variable=variable, detail=detail, fix=fix
        )
    return gap.error


class Resolver:
    """Takes variables in their order: a later one replaces an earlier one, and may refer to it.

    Source: ``makeEnvironmentVariables`` in ``kubelet_pods.go`` of Kubernetes.
    """

    def __init__(self, context: Context, declared: Declared, component: str) -> None:
        self._context = context
        self._declared = declared
        self._component = component
        self.known: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.unread: dict[str, MehcError] = {}
        self.gaps: list[Gap] = []

    async def add(self, item: Mapping[str, Any]) -> None:
        """An item of ``env``. One that refers to something optional that is missing changes nothing."""
        name, value, source = str(item.get("name")), item.get("value"), item.get("valueFrom")
        try:
            if isinstance(source, Mapping) and source:
                await self._reference(name, source)
            else:
                text = await self._expanded("" if value is None else str(value))
                self._set(name, text, f"{name} in {self._declared.where}")
        except MehcError as error:
            self._forget(name)
            self.unread[name] = error

    async def add_all(self, item: Mapping[str, Any]) -> None:
        """An item of ``envFrom``. What it has that cannot be read is not known, nor whether it replaces others."""
        prefix = str(item.get("prefix") or "")
        for kind, reference in (("Secret", item.get("secretRef")), ("ConfigMap", item.get("configMapRef"))):
            if not isinstance(reference, Mapping):
                continue
            name = str(reference.get("name"))
            try:
                data = await self._data(kind, name)
                if data is None and not reference.get("optional"):
                    raise Problem(
                        R.ENV_FROM_NOT_FOUND, kind=kind, object=name, namespace=self._context.namespace
                    )
                for key, value in (data or {}).items():
                    self._take(prefix + key, value, kind, name, key)
            except MehcError as error:
                gap = Gap(prefix=prefix, kind=kind, name=name, error=error)
                self.gaps.append(gap)
                for variable in [each for each in self.known if each.startswith(prefix)]:
                    self._forget(variable)
                    self.unread[variable] = unread(self._component, variable, gap)

    async def add_links(self) -> None:
        """What Services inject where the platform reads a number. Where they may not be read, none is assumed."""
        for name, beside in LINKED.items():
            if beside in self.known and not self._is_settled(name):
                try:
                    service, value = await self._linked(name)
                except CannotEvaluate:
                    continue
                if value is not None:
                    self.unread[name] = Problem(
                        R.SERVICE_LINK,
                        variable=name,
                        value=value,
                        service=service,
                        namespace=self._context.namespace,
                    )

    def _is_settled(self, name: str) -> bool:
        return (
            name in self.known or name in self.unread or any(name.startswith(gap.prefix) for gap in self.gaps)
        )

    async def _expanded(self, text: str) -> str:
        """``text`` with what it refers to. Raises the MehcError that keeps one of them from being resolved."""
        known = dict(self.known)
        for name in references(text):
            if name in self.unread:
                raise self.unread[name]
            for gap in self.gaps:
                if name not in known and name.startswith(gap.prefix):
                    raise unread(self._component, name, gap)
            if name not in known:
                try:
                    _, value = await self._linked(name)
                except Forbidden as error:
                    raise self._not_read(name, str(error), error.remediation) from None
                if value is not None:
                    known[name] = value
        return expanded(text, known)

    async def _linked(self, name: str) -> tuple[str, str | None]:
        """The Service of the namespace for which pods get the variable ``name``, and the variable."""
        if self._declared.has_service_links and not isinstance(self._context.cluster, NoCluster):
            for service in service_of(name):
                if service == "kubernetes":  # that of namespace default
                    raise self._not_read(name, "it is the address of the Kubernetes API")
                path = object_path("services", self._context.namespace, service)
                found = await self._context.reader.get(path)
                if found is not None and name in (variables := service_variables(found)):
                    return service, variables[name]
        return "", None

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
        known = {**self._declared.pod, "metadata.namespace": self._context.namespace}
        if field_path not in known:
            detail = f"it is {field_path} of its pod" if field_path else f"it comes from {', '.join(source)}"
            raise self._not_read(name, detail)
        self._set(name, known[field_path], str(field_path))

    async def _key(self, variable: str, kind: str, reference: Mapping[str, Any]) -> None:
        name, key = str(reference.get("name")), str(reference.get("key"))
        try:
            data = await self._data(kind, name)
        except Forbidden as error:
            raise self._not_read(variable, str(error), error.remediation) from None
        if data is not None and key in data:
            self._take(variable, data[key], kind, name, key)
            return
        if reference.get("optional"):
            return
        words = {"variable": variable, "key": key, "namespace": self._context.namespace}
        if kind == "ConfigMap":
            raise Problem(R.CONFIG_MAP_NOT_FOUND, config_map=name, **words)
        raise Problem(R.SECRET_NOT_FOUND if data is None else R.SECRET_KEY_NOT_FOUND, secret=name, **words)

    async def _data(self, kind: str, name: str) -> Mapping[str, str] | None:
        if kind == "Secret":
            secret = await self._context.secret(name, named_by_live=self._declared.is_live)
            return None if secret is None else secret.data
        found = await self._context.reader.get(object_path("configmaps", self._context.namespace, name))
        return None if found is None else (found.get("data") or {})

    def _take(self, variable: str, value: str, kind: str, name: str, key: str) -> None:
        """A key of an object. What is no text reached us changed."""
        source = f"key {key} of {kind} {name}"
        self._set(variable, value, source)
        if _REPLACED in value:
            self._forget(variable)
            self.unread[variable] = self._not_read(variable, f"{source} is not UTF-8 text")

    def _not_read(self, variable: str, detail: str, fix: str = "") -> CannotEvaluate:
        words = {"fix": fix} if fix else {}
        return CannotEvaluate(
            R.VARIABLE_NOT_READ, component=self._component, variable=variable, detail=detail, **words
        )

    def _set(self, name: str, value: str, source: str) -> None:
        self._forget(name)
        self._context.redactor.add(*sensitive({name: value}))
        self.known[name], self.sources[name] = value, source

    def _forget(self, name: str) -> None:
        for names in (self.known, self.sources, self.unread):
            names.pop(name, None)
