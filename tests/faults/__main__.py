"""Prints the table of faults: what each is answered with, and what it costs the others."""

import sys
from typing import Final

from faults.arena import Arena
from faults.crowd import Crowd
from faults.objects import ATTACKS
from faults.servers import attacks
from testbed.controlplane import ControlPlane
from testbed.kwok import Kwok

CROWDS: Final = (60, 500)


def main() -> int:
    print("| fault | its own reason | longest wait of another resource | memory at most |")
    print("|---|---|---|---|")
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        with Arena(plane) as arena:
            for attack in (*ATTACKS, *attacks()):
                seen = arena.suffer(attack)
                said = attack.says if attack.says in seen.reasons else ", ".join(seen.reasons)
                print(f"| {seen.name} | {said} | {seen.slowest:.1f} s | {seen.peak >> 20} MiB |", flush=True)
        print(
            "\n| sound resources, all checks, one CPU | verdicts other than in calm | twice judged in | memory |"
        )
        print("|---|---|---|---|")
        with Crowd(plane) as crowd, crowd.operated() as operator:
            for count in CROWDS:
                found = crowd.gather(operator, count)
                wrong = sum(found.wrong.values())
                print(
                    f"| {count} | {wrong} | {found.seconds:.0f} s | {found.resident >> 20} MiB |", flush=True
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
