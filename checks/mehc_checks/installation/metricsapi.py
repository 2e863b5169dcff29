"""The aggregated APIs that autoscalers read metrics from: who serves them, and whether they are served."""

from dataclasses import dataclass
from typing import Final

from mehc_checks.clients.kubernetes.paths import cluster_path
from mehc_checks.clients.kubernetes.reader import Reading
from mehc_checks.modelengine.scaling import CUSTOM_METRIC
from mehc_checks.workload.objects import Condition
from mehc_checks.workload.read import conditions

EXTERNAL_METRICS: Final = "v1beta1.external.metrics.k8s.io"
CUSTOM_METRICS: Final = "v1beta1.custom.metrics.k8s.io"
CUSTOM_METRICS_NEWER: Final = "v1beta2.custom.metrics.k8s.io"
"""The HorizontalPodAutoscaler controller takes either."""

_NOT_YET: Final = Condition(status="Unknown", reason="not yet probed")


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiService:
    """An APIService: who serves it, and whether the API server reaches that. ``why`` is the condition's reason.

    One that does not exist has no ``name``.
    """

    name: str = ""
    namespace: str = ""
    service: str = ""
    available: bool = False
    why: str = ""

    @property
    def state(self) -> str:
        """What is wrong with it, "" where it is available."""
        if not self.name:
            return "does not exist"
        return "" if self.available else f"is not available ({self.why})"


async def api_service(read: Reading, name: str) -> ApiService:
    """Raises what ``Cluster.get`` raises."""
    found = await read.get(cluster_path("apiservices", name, group="apiregistration.k8s.io"))
    if found is None:
        return ApiService()
    service = found.get("spec", {}).get("service") or {}
    available = conditions(found.get("status", {})).get("Available", _NOT_YET)
    return ApiService(
        name=name,
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        available=available.status == "True",
        why=available.reason,
    )


async def custom_metrics(read: Reading) -> ApiService:
    """The API of custom metrics, in the version that is served. Raises what ``Cluster.get`` raises."""
    found = await api_service(read, CUSTOM_METRICS)
    return found if found.name else await api_service(read, CUSTOM_METRICS_NEWER)


async def custom_metric_served(read: Reading, api: ApiService) -> bool:
    """Whether the adapter lists the metric, as it does as soon as one pod has it.

    Raises what ``Cluster.get`` raises.
    """
    version, _, group = api.name.partition(".")
    listed = await read.get(f"/apis/{group}/{version}")
    names = {str(resource["name"]) for resource in (listed or {}).get("resources") or []}
    return f"pods/{CUSTOM_METRIC}" in names
