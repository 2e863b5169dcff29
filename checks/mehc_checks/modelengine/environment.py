"""What the environment of the platform's containers is made of: by the chart's values, or by a live Deployment.

Source: ``_helpers.tpl`` and the Deployments of the chart; Kubernetes' rules for ``env`` and ``envFrom``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.core.errors import Problem
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.workloads import container

DATABASE_URL: Final = "ML_INFRA_DATABASE_URL"
DATABASE_KEY: Final = "database_url"
"""The key of the Kubernetes Secret that the chart fills ``DATABASE_URL`` from."""
_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")


@dataclass(frozen=True, kw_only=True, slots=True)
class RedisEnvironment:
    """What the environment of the platform's processes says of Redis; "" where a variable is not set.

    ``source`` is the value or variable that the host is from. ``token`` and ``host`` are a Problem where they are not
    known, or pods cannot have them. ``tls`` is REDIS_ENABLE_TLS, which platforms newer than chart 0.2.7 set
    (scaleapi/llm-engine#875); None where it is not set: a token then switches TLS on.
    """

    host: str | Problem = ""
    port: str = ""
    source: str = paths.REDIS_HOST
    token: str | Problem = ""
    tls: bool | None = None

    @property
    def of_newer_platform(self) -> bool:
        """Whether TLS is configured apart from authentication."""
        return self.tls is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """A container's variables as declared: items of ``env``, of ``envFrom``, and where volumes are mounted.

    ``live``: as the cluster has them, not as values would make them.
    """

    env: tuple[Mapping[str, Any], ...]
    env_from: tuple[Mapping[str, Any], ...] = ()
    mounts: tuple[str, ...] = ()
    live: bool = False


def by_values(configuration: Configuration) -> Declared:
    """What the chart makes of the values, as far as the database is concerned."""
    chart: list[Mapping[str, Any]] = []
    kubernetes = configuration.text(paths.KUBERNETES_DATABASE_SECRET)
    cloud = configuration.text(paths.CLOUD_DATABASE_SECRET)
    if kubernetes:
        reference = {"name": kubernetes, "key": DATABASE_KEY}
        chart.append({"name": DATABASE_URL, "valueFrom": {"secretKeyRef": reference}})
    elif cloud:
        chart.append({"name": "DB_SECRET_NAME", "value": cloud})
    extra = (item for _, item in configuration.entries(paths.EXTRA_ENV_VARS))
    mounts = (item for _, item in configuration.entries(paths.EXTRA_VOLUME_MOUNTS))
    return Declared(env=(*chart, *extra), mounts=tuple(str(item.get("mountPath", "")) for item in mounts))


def of_deployment(deployment: Mapping[str, Any]) -> Declared:
    """What the container of a live Deployment declares."""
    found = container(deployment)
    return Declared(
        env=tuple(found.get("env") or ()),
        env_from=tuple(found.get("envFrom") or ()),
        mounts=tuple(str(item.get("mountPath", "")) for item in found.get("volumeMounts") or ()),
        live=True,
    )


def expanded(text: str, known: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` of ``known`` replaced, as the kubelet does; ``$$`` stands for a dollar sign."""

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        return "$" if name is None else known.get(name, match[0])

    return _REFERENCE.sub(replacement, text)


def references(text: str) -> frozenset[str]:
    """The names that ``text`` refers to."""
    return frozenset(match["name"] for match in _REFERENCE.finditer(text) if match["name"])
