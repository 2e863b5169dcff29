"""How many connections the gateway's pools may open. Source: model engine's ``db/base.py`` and its Gunicorn command."""

from dataclasses import dataclass
from typing import Final

from mehc_checks.core.text import counted
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration

_GUNICORN_WORKERS: Final = 4
_POOL_SIZE, _MAX_OVERFLOW, _REPLICAS = 10, 10, 2
ENGINES: Final = 2
"""The engines of the API that pool: read-write and read-only."""
SETTINGS: Final = (paths.DB_ENGINE_POOL_SIZE, paths.DB_ENGINE_MAX_OVERFLOW)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """What the gateway's connection pools can add up to."""

    replicas: int
    pool_size: int = _POOL_SIZE
    max_overflow: int = _MAX_OVERFLOW
    engines: int = ENGINES
    """Those that connect to the server in question: a reader of its own halves them."""

    @property
    def ceiling(self) -> int:
        """Connections that the gateway can hold open at once."""
        return self.replicas * _GUNICORN_WORKERS * self.engines * (self.pool_size + self.max_overflow)

    def __str__(self) -> str:
        replicas, engines = counted(self.replicas, "replica"), counted(self.engines, "pool")
        return (
            f"{replicas} × {_GUNICORN_WORKERS} workers × {engines} × ({self.pool_size} + {self.max_overflow})"
        )


def pools(configuration: Configuration) -> Pools:
    """The pools of the replicas that the values ask for; under the autoscaler, at its most.

    Their sizes are the platform's own: no number in the values reaches it as one (``unusable``).
    """
    path = "autoscaling.horizontal.maxReplicas" if configuration.gateway_is_scaled else "replicaCount.gateway"
    replicas = configuration.number(path)
    return Pools(replicas=_REPLICAS if replicas is None else replicas)


def unusable(configuration: Configuration) -> tuple[str, ...]:
    """The settings of pools that end in a TypeError: the chart writes every value but a boolean as text."""
    return tuple(
        path
        for path in SETTINGS
        if configuration.has(path) and not isinstance(configuration.read(path), bool)
    )
