"""One tenant's object or server stops nobody else, fills no memory, and has a reason of its own.

`make faults` prints the table with what was measured; nothing here depends on how fast the machine is.
"""

import pytest

from faults.arena import LARGEST, LIMIT, Arena, Attack
from faults.objects import ATTACKS
from faults.servers import attacks
from faults.world import EVENTS

LATE = {"ConnectionTimeout", "ProbeTimeout", "KubernetesApiUnreachable", "OperatorOverloaded"}
"""What a slow machine may make of any server."""


@pytest.mark.parametrize("attack", [*ATTACKS, *attacks(), *EVENTS], ids=lambda attack: attack.name)
def test_one_tenants_input_stops_nobody_else(arena: Arena, attack: Attack) -> None:
    seen = arena.suffer(attack)
    closed = (
        {"ConnectionClosed"} if attack.name.endswith(": resets") else set()
    )  # it may come before the first byte
    assert {attack.says, *LATE, *closed} & {*seen.reasons}
    assert (seen.leaks, seen.crashes, seen.false, seen.unwell) == ([], [], [], [])
    assert seen.peak < LIMIT
    assert seen.size < LARGEST
