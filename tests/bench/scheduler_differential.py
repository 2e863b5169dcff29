"""Our predicates against the real kube-scheduler, on many generated nodes and pods.

Run alone: `python tests/bench/scheduler_differential.py [PODS [SEED]]`.
"""

import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings

from testbed.scheduling import Round, SchedulerOracle, rounds

_PODS = 10
_PINNED = 20260601
"""What `make bench` compares is the same each time; another seed on the command line looks elsewhere."""


def main(cases: int, at: int = _PINNED) -> dict[str, int]:
    """Compare about ``cases`` pods; how often each verdict occurred. Raises AssertionError on a disagreement."""
    with SchedulerOracle() as oracle:

        @seed(at)
        @settings(
            max_examples=max(cases // _PODS, 1),
            database=None,
            deadline=None,
            phases=[Phase.generate],  # a disagreement names pod and nodes; to shrink it would take minutes
            suppress_health_check=list(HealthCheck),
        )
        @given(rounds(_PODS))
        def agree(case: Round) -> None:
            oracle.compare(case)

        agree()
        return dict(oracle.compared.most_common())


if __name__ == "__main__":
    began = time.monotonic()
    verdicts = main(*(int(word) for word in sys.argv[1:3] or ["2000"]))
    print(f"no disagreement in {time.monotonic() - began:.0f} s: {verdicts}")
