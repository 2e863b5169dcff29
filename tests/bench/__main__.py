"""Measure the budgets on the testbed: `make bench`, or `make bench ARGS="-o json"`.

Prints budget and result side by side. A miss is shown, not hidden; the exit status is 0 either way,
because a figure of one machine is no test.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict
from typing import Final

from bench.explained import explained
from bench.latency import latency
from bench.news import news
from bench.operator_bench import Bench
from bench.rows import Row, page, table
from bench.sound import sound
from bench.upgrades import upgrades
from testbed.controlplane import ControlPlane

PARTS: Final = ("sound", "news", "upgrades", "explain", "latency", "operator")
RELEASES: Final = (110, 900)
"""Kilobytes of a release Secret: of the real chart, and near Kubernetes' limit."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("-o", "--output", choices=["text", "json", "markdown"], default="text")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="measure no more than this; repeatable"
    )
    arguments = parser.parse_args()
    rows = []
    with ExitStack() as stack, redirect_stdout(sys.stderr):  # the components tell what they do
        for row in measured(stack, arguments.only or PARTS):
            rows.append(row)
            print(f"bench: {row.what}: {row.measured:.3g} {row.unit}", file=sys.stderr, flush=True)
    if arguments.output == "json":
        print(json.dumps([{**asdict(row), "verdict": row.verdict} for row in rows], indent=2))
    else:
        print(page(rows) if arguments.output == "markdown" else table(rows))
    return 0


def measured(stack: ExitStack, parts: Sequence[str]) -> Iterator[Row]:
    """The rows of ``parts``."""
    for name, part in (("sound", sound), ("news", news)):
        if name in parts:
            with ExitStack() as own:
                yield from part(own)
    if not set(parts) - {"sound", "news"}:
        return
    control_plane = stack.enter_context(ControlPlane())
    if "upgrades" in parts:
        for kilobytes in RELEASES:
            yield from upgrades(control_plane, kilobytes)
    if "explain" in parts:
        yield from explained(control_plane)
    if "latency" in parts:
        yield from latency(control_plane)
    if "operator" in parts:
        yield from Bench(stack, control_plane).rows()


if __name__ == "__main__":
    sys.exit(main())
