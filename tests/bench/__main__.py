"""Measure the budgets on the testbed: `make bench`, or `make bench ARGS="-o json"`.

Prints budget and result side by side. A miss is shown, not hidden; the exit status is 0 either way,
because a figure of one machine is no test.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import Final

from bench.explained import explained
from bench.latency import latency
from bench.news import news
from bench.operator_bench import Bench
from bench.rows import Row, table
from bench.sound import sound
from bench.upgrades import upgrades
from testbed.controlplane import ControlPlane

RELEASES: Final = (110, 900)
"""Kilobytes of a release Secret: of the real chart, and near Kubernetes' limit."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    parser.add_argument(
        "--only",
        choices=["upgrades", "explain", "latency", "news", "sound"],
        help="measure no more than this",
    )
    arguments = parser.parse_args()
    rows = []
    with ExitStack() as stack:
        for row in measured(stack, arguments.only):
            rows.append(row)
            print(f"bench: {row.what}: {row.measured:.3g} {row.unit}", file=sys.stderr, flush=True)
    if arguments.output == "json":
        print(json.dumps([{**asdict(row), "verdict": row.verdict} for row in rows], indent=2))
    else:
        print(table(rows))
    return 0


def measured(stack: ExitStack, only: str | None) -> Iterator[Row]:
    if only in (None, "sound"):
        with ExitStack() as own:
            yield from sound(own)
    if only in (None, "news"):
        with ExitStack() as own:
            yield from news(own)
    if only in ("sound", "news"):
        return
    control_plane = stack.enter_context(ControlPlane())
    if only in (None, "upgrades"):
        for kilobytes in RELEASES:
            yield from upgrades(control_plane, kilobytes)
    if only in (None, "explain"):
        yield from explained(control_plane)
    if only in (None, "latency"):
        yield from latency(control_plane)
    if only is None:
        yield from Bench(stack, control_plane).rows()


if __name__ == "__main__":
    sys.exit(main())
