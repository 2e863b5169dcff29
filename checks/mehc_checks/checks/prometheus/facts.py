"""What PrometheusQueryable judges, and its parameters."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from mehc_checks.clients.prometheus.answer import Answer
from mehc_checks.core.errors import Problem
from mehc_checks.core.parameters import TripwireParameters
from mehc_checks.modelengine import scaling
from mehc_checks.modelengine.scaling import ServerAddress

if TYPE_CHECKING:
    from mehc_checks.installation.keda import KedaFacts


class PrometheusParameters(TripwireParameters):
    """Parameters of PrometheusQueryable."""

    ca_bundle: str = Field(
        "",
        description="PEM certificates that KEDA trusts besides the system's.",
        json_schema_extra={"maxLength": 256 * 1024},
    )
    ca_config_map: str = Field(
        "", description="A ConfigMap in the installation's namespace with such certificates, key ca.crt."
    )
    keda_namespace: str = Field("", description="The namespace of KEDA; by default keda or kube-system.")


@dataclass(frozen=True, kw_only=True, slots=True)
class IstioSeries:
    """Numbers of series, but for ``age``: seconds since the newest sample of one that KEDA could select, or None.

    ``lately`` and ``requests`` are asked only where there is no series of durations now.
    """

    age: float | None = None
    sidecars: int = 0
    """Sidecars that Prometheus scrapes."""
    unlabelled: int = 0
    """Without the workload that was called, although Istio knew it."""
    endpoints: int = 0
    """Of endpoints."""
    unlabelled_endpoints: int = 0
    """Of endpoints' Services, without the workload that was called."""
    lately: int = 0
    """With samples within the last hour."""
    requests: int = 0
    """Of the number of requests, which Istio counts besides their durations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrometheusFacts:
    """Everything that the check judges. ``answer`` is None without a URL to ask, ``keda`` without a cluster."""

    address: ServerAddress
    endpoint: str
    """The name that the query was asked for."""
    answer: Answer | Problem | None = None
    istio: IstioSeries | Problem | None = None
    keda: "KedaFacts | None" = None

    @property
    def timeout(self) -> float:
        """Seconds that KEDA waits for an answer."""
        return self.keda.timeout if self.keda else scaling.KEDA_TIMEOUT_SECONDS
