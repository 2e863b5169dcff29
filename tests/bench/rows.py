"""Budget and result, side by side."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import psutil

from testbed.machine import described

_HEAD: Final = """\
# Performance

What mehc costs, and how fast it notices what changes, beside the budgets of its design. A miss is shown and not hidden.
`make bench ARGS="-o markdown" > docs/performance.md` measures again; `--only` measures a part.

{machine}

| what | measured | budget | |
|---|---|---|---|"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One measured budget; ``budget`` is None where the design sets none."""

    what: str
    measured: float
    unit: str
    budget: float | None = None

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        return "ok" if self.measured <= self.budget else "MISS"


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    cells = [("what", "measured", "budget", "")]
    for row in rows:
        budget = "" if row.budget is None else f"≤ {row.budget:g} {row.unit}"
        cells.append((row.what, f"{row.measured:.3g} {row.unit}", budget, row.verdict))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def page(rows: list[Row]) -> str:
    """The rows as the page docs/performance.md."""
    lines = [_HEAD.format(machine=described())]
    for row in rows:
        budget = "" if row.budget is None else f"≤ {row.budget:g} {row.unit}".rstrip()
        verdict = "**miss**" if row.verdict == "MISS" else row.verdict
        lines.append(f"| {row.what} | {row.measured:.3g} {row.unit} | {budget} | {verdict} |")
    return "\n".join(lines)


async def median_of(action: Callable[[], Awaitable[None]], times: int = 15) -> float:
    """Median seconds of ``action``, after one run to warm up."""
    await action()
    taken = []
    for _ in range(times):
        clock = time.perf_counter()
        await action()
        taken.append(time.perf_counter() - clock)
    return statistics.median(taken)


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)
