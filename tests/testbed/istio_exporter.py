"""An exporter of Istio's metrics, as far as scaling needs them: every sidecar in one."""

import time
from typing import Self

from testbed.httpserver import Reply, Request, ScriptedServer

SERIES = "istio_request_duration_milliseconds_sum"


class IstioExporter(ScriptedServer):
    """Serves the counters of `workloads` (name → requests in flight, as the counter's growth shows) and of sidecars.

    Attributes may be changed at any time. `sidecars`: how many say that they are there. `age`: seconds by which the
    samples' own timestamps lie back; 0 for none, as Istio's are. `others`: labels of further counters, of one request
    in flight each. `counted`: also the number of requests, as Istio does.
    """

    def __init__(
        self,
        workloads: dict[str, float] | None = None,
        *,
        sidecars: int = 1,
        age: float = 0,
        others: tuple[str, ...] = (),
        counted: bool = False,
    ) -> None:
        super().__init__(lambda request: self._answer(request))
        self.others = others
        self.counted = counted
        self.workloads = workloads or {}
        self.sidecars = sidecars
        self.age = age
        self._began = time.time()

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def _answer(self, _: Request) -> Reply:
        now = time.time()
        stamp = f" {(now - self.age) * 1000:.0f}" if self.age else ""
        lines = [f"# TYPE {SERIES} counter"]
        labelled = {
            f'reporter="destination",destination_workload="{name}",response_code="200"': in_flight
            for name, in_flight in self.workloads.items()
        }
        for labels, in_flight in {**labelled, **dict.fromkeys(self.others, 1.0)}.items():
            grown = in_flight * (now - self._began) * 1000
            lines.append(f"{SERIES}{{{labels}}} {grown:.3f}{stamp}")
        if self.counted:
            lines += ["# TYPE istio_requests_total counter", 'istio_requests_total{reporter="destination"} 1']
        lines.append("# TYPE istio_build gauge")
        lines += [
            f'istio_build{{component="proxy",tag="1.26.2",pod="pod-{number}"}} 1'
            for number in range(self.sidecars)
        ]
        return Reply(200, ("\n".join(lines) + "\n").encode(), {"Content-Type": "text/plain; version=0.0.4"})
