"""One tenant's object or server stops nobody else, fills no memory, and has a reason of its own.

`make faults` prints the table with what was measured; nothing here depends on how fast the machine is.
"""

from collections.abc import Iterator

import pytest

from faults.apiserver import API_FAULTS, behind
from faults.arena import LARGEST, LIMIT, Arena, Attack
from faults.objects import ATTACKS
from faults.servers import attacks
from faults.world import EVENTS
from testbed.deployedoperator import can_have_hosts

LATE = {"ConnectionTimeout", "ProbeTimeout", "KubernetesApiUnreachable", "OperatorOverloaded"}
"""What a slow machine may make of any server."""


@pytest.fixture(scope="module")
def proxied(arena: Arena) -> Iterator[Arena]:
    with behind(arena):
        yield arena


@pytest.mark.parametrize("attack", [*ATTACKS, *attacks(), *EVENTS], ids=lambda attack: attack.name)
def test_one_tenants_input_stops_nobody_else(arena: Arena, attack: Attack) -> None:
    closed = (
        ("ConnectionClosed",) if attack.name.endswith(": resets") else ()
    )  # it may come before the first byte
    suffered(arena, attack, *closed)


@pytest.mark.skipif(not can_have_hosts(), reason="needs a mount namespace, and with it root")
@pytest.mark.parametrize("attack", API_FAULTS, ids=lambda attack: attack.name)
def test_an_api_server_that_answers_wrongly_for_a_while_stops_nothing(proxied: Arena, attack: Attack) -> None:
    suffered(proxied, attack, "KubernetesApiError")


def suffered(arena: Arena, attack: Attack, *others: str) -> None:
    seen = arena.suffer(attack)
    assert {attack.says, *LATE, *others} & {*seen.reasons}
    assert (seen.leaks, seen.crashes, seen.false, seen.unwell) == ([], [], [], [])
    assert seen.peak < LIMIT
    assert seen.size < LARGEST
