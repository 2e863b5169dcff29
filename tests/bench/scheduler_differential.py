"""Our predicates against the real kube-scheduler, on many generated nodes and pods.

Run alone: `python tests/bench/scheduler_differential.py [PODS [SEED]]`.
"""

import sys
import time

from testbed.scheduling import PODS, SchedulerOracle

_PINNED = 20260601
"""What `make bench` compares is the same each time; another seed on the command line looks elsewhere."""


def main(cases: int = 2000, at: int = _PINNED) -> dict[str, int]:
    """Compare about ``cases`` pods; how often each verdict occurred. Raises AssertionError on a disagreement."""
    with SchedulerOracle() as oracle:
        oracle.compare_many(max(cases // PODS, 1), at)
        return dict(oracle.compared.most_common())


if __name__ == "__main__":
    began = time.monotonic()
    verdicts = main(*(int(word) for word in sys.argv[1:3]))
    print(f"no disagreement in {time.monotonic() - began:.0f} s: {verdicts}")
