"""What the environment of the platform's containers is made of: by the chart's values, or by a live Deployment.

Source: ``_helpers.tpl`` and the Deployments of the chart; Kubernetes' rules for ``env`` and ``envFrom``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mehc_checks.core.errors import Problem
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.workloads import container

DATABASE_URL: Final = "ML_INFRA_DATABASE_URL"
DATABASE_KEY: Final = "database_url"
"""The key of the Kubernetes Secret that the chart fills ``DATABASE_URL`` from."""
REDIS_HOST: Final = "REDIS_HOST"
REDIS_PORT: Final = "REDIS_PORT"
REDIS_TOKEN: Final = "REDIS_AUTH_TOKEN"  # noqa: S105 - a name
REDIS_TLS: Final = "REDIS_ENABLE_TLS"
DEFAULT_REDIS_PORT: Final = "6379"
TOKEN_KEY: Final = "auth_token"  # noqa: S105 - a name
"""The key of ``redis.authSecretName`` that the chart reads where ``redis.authSecretKey`` is not set."""
LINKED: Final = {REDIS_PORT: REDIS_HOST, "DB_PORT": "DB_HOST"}
"""Variables that the platform reads as a number and that a Service's name can inject as ``tcp://...``, with the
variable beside which it reads them."""
_ALWAYS: Final = frozenset({"SERVICE_IDENTIFIER", "GATEWAY_URL", "GIT_TAG"})
_OF_A_MESH: Final = frozenset({"istio-proxy", "istio-init", "linkerd-proxy"})
_LINK_ENDINGS: Final = (
    "SERVICE_HOST",
    r"SERVICE_PORT(?:_[A-Z0-9_]+)?",
    r"PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?",
)
_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisEnvironment:
    """What the environment of the platform's processes says of Redis; "" where a variable is not set.

    ``source`` is the value or variable that the host is from. ``token`` and ``host`` are a Problem where they are not
    known, or pods cannot have them. ``cache_host`` is the host that a cache without a URL takes; None: by the values.
    ``tls`` is REDIS_ENABLE_TLS, None where it is not set: a token then switches TLS on. ``of_newer_platform``:
    processes as of scaleapi/llm-engine#875, which configure TLS apart from authentication, put the token into a cache
    URL on premises, percent-encode it, and leave credentials out of KEDA's address. ``azure_object``: AZURE_OBJECT_ID.
    """

    host: str | Problem = ""
    port: str = ""
    source: str = paths.REDIS_HOST
    token: str | Problem = ""
    tls: bool | None = None
    cache_host: str | Problem | None = None
    of_newer_platform: bool = False
    azure_object: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """A container's variables as declared: items of ``env``, of ``envFrom``, and where volumes are mounted.

    ``where`` declares them. ``pod`` has what the downward API makes of the pod's template, by field path.
    ``has_service_links``: whether pods get variables for the Services of their namespace. ``is_live``: all of it is
    of a live object.
    """

    env: tuple[Mapping[str, Any], ...]
    where: str = paths.EXTRA_ENV_VARS
    env_from: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[str, ...] = ()
    pod: Mapping[str, str] = field(default_factory=dict)
    has_service_links: bool = True
    sidecars: tuple[str, ...] = ()
    is_live: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it has the variables that the chart sets in every Deployment, whatever the values."""
        return any(item.get("name") in _ALWAYS for item in self.env)


AZURE_IDENTITY: Final = "AZURE_IDENTITY_NAME"
"""By which name the platform logs in to the database on Azure."""
AZURE_OBJECT: Final = "AZURE_OBJECT_ID"
"""By which it logs in to Redis there."""


def by_values(configuration: Configuration) -> Declared:
    """What the chart makes of the values, as far as the database and Redis are concerned.

    ``extraPodEnvFrom`` is for the pods of endpoints only.
    """
    extra = (item for _, item in configuration.entries(paths.EXTRA_ENV_VARS))
    mounts = (item for _, item in configuration.entries(paths.EXTRA_VOLUME_MOUNTS))
    return Declared(
        env=(*_of_chart(configuration), *extra),
        mounts=tuple(str(item.get("mountPath", "")) for item in mounts),
    )


def _of_chart(configuration: Configuration) -> Iterator[Mapping[str, Any]]:
    def read(path: str) -> str:
        value = configuration.raw(path)
        return printed(value) if value else ""

    def secret(variable: str, name: str, key: str) -> Mapping[str, Any]:
        return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}

    if database := configuration.text(paths.KUBERNETES_DATABASE_SECRET):
        yield secret(DATABASE_URL, database, DATABASE_KEY)
    elif cloud := configuration.text(paths.CLOUD_DATABASE_SECRET):
        yield {"name": "DB_SECRET_NAME", "value": cloud}
    if host := read(paths.REDIS_HOST):
        yield {"name": REDIS_HOST, "value": host}
        yield {"name": REDIS_PORT, "value": read(paths.REDIS_PORT) or DEFAULT_REDIS_PORT}
    if kept := read(paths.REDIS_AUTH_SECRET_NAME):
        yield secret(REDIS_TOKEN, kept, read(paths.REDIS_AUTH_SECRET_KEY) or TOKEN_KEY)
    elif token := read(paths.REDIS_AUTH):
        yield {"name": REDIS_TOKEN, "value": token}
    for variable, path in ((AZURE_IDENTITY, "azure.identity_name"), (AZURE_OBJECT, "azure.object_id")):
        if text := read(path):
            yield {"name": variable, "value": text}


def of_deployment(deployment: Mapping[str, Any], whose: str = "gateway") -> Declared:
    """What the container of a live Deployment declares; ``whose`` pods these are."""
    found = container(deployment)
    template = deployment["spec"]["template"]
    spec, metadata = template["spec"], template.get("metadata") or {}
    pod = {
        f"metadata.{kind}['{key}']": str(value)
        for kind in ("labels", "annotations")
        for key, value in (metadata.get(kind) or {}).items()
    }
    return Declared(
        env=tuple(found.get("env") or ()),
        where=f"the {whose}'s Deployment",
        env_from=tuple(found.get("envFrom") or ()),
        mounts=tuple(str(item.get("mountPath", "")) for item in found.get("volumeMounts") or ()),
        pod={**pod, "spec.serviceAccountName": spec.get("serviceAccountName") or "default"},
        has_service_links=spec.get("enableServiceLinks") is not False,
        sidecars=sidecars(spec, str(found.get("name"))),
        is_live=True,
    )


def sidecars(pod: Mapping[str, Any], own: str) -> tuple[str, ...]:
    """The containers that run beside ``own`` in a pod of this spec, those of a service mesh left out."""
    lasting = [item for item in pod.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    names = (str(item.get("name")) for item in (*(pod.get("containers") or ()), *lasting))
    return tuple(name for name in names if name != own and name not in _OF_A_MESH)


def completed(live: Declared, values: Declared) -> Declared:
    """``live``; of a Deployment without the variables that the chart always sets, what it lacks is by the values."""
    return live if live.is_whole else replace(live, env=(*values.env, *live.env), is_live=False)


def expanded(text: str, known: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of ``known`` replaced, as the kubelet does; ``$$`` stands for a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else known.get(name, match[0])

    return _REFERENCE.sub(replacement, text)


def references(text: str) -> tuple[str, ...]:
    """The names that ``text`` refers to, in their order."""
    return tuple(match["name"] for match in _REFERENCE.finditer(text) if match["name"])


def service_of(variable: str) -> tuple[str, ...]:
    """Names of the Services for which a pod could get ``variable``: "redis" for REDIS_PORT."""
    return tuple(
        match[1].lower().replace("_", "-")
        for ending in _LINK_ENDINGS
        if (match := re.fullmatch(rf"([A-Z][A-Z0-9_]*?)_{ending}", variable))
    )


def service_variables(service: Mapping[str, Any]) -> dict[str, str]:
    """What pods started in its namespace get for ``service``. Source: ``kubelet/envvars`` of Kubernetes."""
    spec = service["spec"]
    address, ports = spec.get("clusterIP"), spec.get("ports") or []
    if not address or address == "None" or not ports:
        return {}
    name = _upper(service["metadata"]["name"])
    found = {f"{name}_SERVICE_HOST": address, f"{name}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), str(port.get("protocol") or "TCP")
        url = f"{protocol.lower()}://{f'[{address}]' if ':' in address else address}:{number}"
        if port.get("name"):
            found[f"{name}_SERVICE_PORT_{_upper(port['name'])}"] = number
        if index == 0:
            found[f"{name}_PORT"] = url
        prefix = f"{name}_PORT_{number}_{protocol}"
        found |= {
            prefix: url,
            f"{prefix}_PROTO": protocol.lower(),
            f"{prefix}_PORT": number,
            f"{prefix}_ADDR": address,
        }
    return found


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
