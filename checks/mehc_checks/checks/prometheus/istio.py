"""What Prometheus has of Istio: what KEDA's query reads, and what explains that there is nothing to read.

Istio sets ``destination_workload`` to "unknown" where a sidecar does not know the other side. A sidecar that reports
what it received always knows itself; one that reports what it sent does not know what is outside of the mesh, which
is normal, nor a pod without a sidecar. Source: https://istio.io/latest/docs/reference/config/metrics/
"""

from datetime import datetime
from typing import Final

from mehc_checks.checks.prometheus.facts import IstioSeries
from mehc_checks.clients.prometheus.client import Prometheus
from mehc_checks.modelengine.scaling import ENDPOINT_PREFIX, ISTIO_SERIES

_UNKNOWN: Final = 'destination_workload=~"|unknown"'
_ANSWERED: Final = 'response_code!~"0|5.."'
"""Of requests that reached a pod: what fails before that has an unknown destination in a sound mesh too."""
_UNLABELLED: Final = (
    f'{ISTIO_SERIES}{{{_UNKNOWN},reporter!="source"}} or '
    f'{ISTIO_SERIES}{{{_UNKNOWN},{_ANSWERED},reporter="source",destination_service=~"|.+[.]svc([.].+)?"}}'
)
_NOW: Final = {
    "age": f'time() - max(timestamp({ISTIO_SERIES}{{destination_workload!~"|unknown"}}))',
    "sidecars": 'count(istio_build{component="proxy"})',
    "unlabelled": f"count({_UNLABELLED})",
    "endpoints": f'count({ISTIO_SERIES}{{destination_workload=~"{ENDPOINT_PREFIX}.+"}})',
    "unlabelled_endpoints": (
        f'count({ISTIO_SERIES}{{{_UNKNOWN},{_ANSWERED},destination_service=~"{ENDPOINT_PREFIX}.+"}})'
    ),
}
_WHY_NONE: Final = {
    "lately": f"count(last_over_time({ISTIO_SERIES}[1h]))",
    "requests": "count(istio_requests_total)",
}


async def istio_series(server: Prometheus, at: datetime) -> IstioSeries:
    """Ask for all of it. Raises Problem."""
    now = await _asked(server, _NOW, at)
    age = now.pop("age", None)
    counts = {name: int(value) for name, value in now.items()}
    if age is None and not counts.get("unlabelled"):
        counts |= {name: int(value) for name, value in (await _asked(server, _WHY_NONE, at)).items()}
    return IstioSeries(age=age, **counts)


async def _asked(server: Prometheus, queries: dict[str, str], at: datetime) -> dict[str, float]:
    """The number that each of ``queries`` gives, without those that give none; one request for all."""
    named = (f'label_replace({query}, "fact", "{name}", "", "")' for name, query in queries.items())
    answer = await server.query(" or ".join(named), at)
    return {element.labels.get("fact", ""): element.value for element in answer.elements}
