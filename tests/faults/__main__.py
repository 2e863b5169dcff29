"""Prints the table of faults: what each is answered with, and what it costs the others.

`make faults > docs/faults.md` writes the page.
"""

import sys
from collections.abc import Iterable
from typing import Final

from faults.apiserver import API_FAULTS, behind
from faults.arena import LIMIT, Arena, Attack, Seen
from faults.crowd import Crowd
from faults.objects import ATTACKS, FULL
from faults.servers import attacks
from faults.world import EVENTS
from testbed.controlplane import ControlPlane
from testbed.deployedoperator import can_have_hosts
from testbed.kwok import Kwok
from testbed.machine import described

HEAD = """# Faults

What one tenant's objects and servers, and the faults of the cluster, did to the operator, as measured. A healthy
installation stands beside each; its probe runs are asked for before, during and after. The operator runs with the
permissions of its chart in a cgroup of {limit} MiB, the limit that the chart sets. `make faults > docs/faults.md`
measures again; the tests of `tests/faults` hold the same without times.

{machine}

- **passes** are the probe runs of the healthy installation, of which none was missed; the longest wait is in brackets.
- **memory** is the operator's largest resident memory.
- **secrets** are planted ones found in status, Events or log.
- **false** are verdicts that find fault with the healthy installation, failed liveness probes, and crashes in the log.
- Floods have {floods} they were reported with (`FULL=1`).
"""
_FLOODS: Final = "the numbers that" if FULL else "a tenth of the numbers that"
CROWDS: Final = (60, 500)
CROWD_COLUMNS = (
    "| sound resources, all checks, one CPU | verdicts other than in calm | twice judged in | memory |\n"
    "|---|---|---|---|"
)
COLUMNS = "| what was done | what the operator says | passes | memory | secrets | false |\n|---|---|---|---|---|---|"


def row(attack: Attack, seen: Seen) -> str:
    name = seen.name.partition(": ")[2] or seen.name
    said = attack.says if attack.says in seen.reasons else ", ".join(seen.reasons[:3])
    wrong = len(seen.false) + len(seen.unwell) + len(seen.crashes)
    passes = f"{seen.passes} ({seen.slowest:.1f} s)"
    return f"| {name} | `{said}` | {passes} | {seen.peak >> 20} MiB | {len(seen.leaks)} | {wrong} |"


def table(arena: Arena, rows: Iterable[Attack]) -> bool:
    """Print what ``rows`` did; whether some could not be carried out."""
    kind, failed = "", False
    for attack in rows:
        if (own := attack.name.partition(": ")[0]) != kind:
            kind = own
            print(f"\n## {kind[0].upper()}{kind[1:]}\n\n{COLUMNS}")
        try:
            print(row(attack, arena.suffer(attack)), flush=True)
        except AssertionError as error:
            failed = True
            print(f"{attack.name}: {error}", file=sys.stderr)
    return failed


def main(*, in_pod: bool = True) -> int:
    """``in_pod``: the operator can also be run as in a pod, with the files of a ServiceAccount."""
    print(HEAD.format(limit=LIMIT >> 20, machine=described(), floods=_FLOODS))
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        with Arena(plane) as arena:
            failed = table(arena, (*ATTACKS, *attacks(), *EVENTS))
            if in_pod and can_have_hosts():
                with behind(arena):
                    failed |= table(arena, API_FAULTS)
        print(f"\n## Crowds\n\n{CROWD_COLUMNS}")
        with Crowd(plane) as crowd, crowd.operated() as operator:
            for count in CROWDS:
                found = crowd.gather(operator, count)
                wrong = sum(found.wrong.values())
                print(
                    f"| {count} | {wrong} | {found.seconds:.0f} s | {found.resident >> 20} MiB |", flush=True
                )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
