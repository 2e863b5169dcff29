"""What `mehc explain` says of pods that a real kubelet has in trouble: no text and no state here is written by us."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from testbed.installation import Tree
from testbed.node import Node
from testbed.postgres import Postgres
from testbed.realstates import states
from testbed.waiting import eventually
from testbed.ward import PATIENCE, Ward, staged

STATES = states(defaultdict(str))
SOUND = tuple(name for name, state in STATES.items() if not state.cause)
FLAPPING = ("flaps", "flaps-memory", "evicted")

pytestmark = pytest.mark.timeout(1800)


class Explained:
    """The endpoints as `mehc explain` has them, asked again until each has the cause that is expected."""

    def __init__(self, ward: Ward) -> None:
        self.ward = ward
        self._deadline = time.monotonic() + PATIENCE
        self._seen: dict[str, Tree] = {}

    def of(self, name: str) -> Tree:
        while self._cause(name) != STATES[name].cause and time.monotonic() < self._deadline:
            for endpoint in self.ward.explain().values():
                # Once it was right it stays: a pod that is made again begins from the start.
                if self._cause(endpoint["name"]) != STATES[endpoint["name"]].cause:
                    self._seen[endpoint["name"]] = endpoint
            time.sleep(0.5)
        return self._seen.get(name, {})

    def _cause(self, name: str) -> str:
        return str(self._seen.get(name, {}).get("cause"))


@pytest.fixture(scope="module")
def explained(real_node: Node, postgres: Postgres) -> Iterator[Explained]:
    with staged(real_node, postgres) as ward:
        yield Explained(ward)


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state.cause])
def test_the_cause_of_a_real_state(explained: Explained, name: str) -> None:
    endpoint = explained.of(name)
    assert endpoint.get("cause") == STATES[name].cause, endpoint
    assert endpoint["remediation"]
    assert endpoint["evidence"]


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_wrong_with_a_sound_one(explained: Explained, name: str) -> None:
    endpoint = explained.ward.until(name, "")
    assert (endpoint["cause"], endpoint["ready"]) == ("", 1), endpoint


@pytest.mark.parametrize("name", FLAPPING)
def test_one_that_fails_again_and_again_is_stuck_while_it_is_ready(explained: Explained, name: str) -> None:
    endpoint = eventually(
        lambda: explained.ward.explain(name)[name],
        lambda found: found["ready"] == 1 and found["stuck"],
        PATIENCE,
    )
    assert endpoint["cause"] == STATES[name].cause, endpoint


def test_endpoints_ready_names_those_and_no_other(explained: Explained) -> None:
    for name in STATES:
        explained.of(name) if STATES[name].cause else explained.ward.until(name, "")
    grace = [f"EndpointsReady.{name}=1s" for name in ("gracePeriod", "loadingGracePeriod")]
    words = [word for each in grace for word in ("--set-parameter", each)]
    document = json.loads(explained.ward.mehc("check", "--only", "EndpointsReady", *words, "-o", "json"))
    assert {each["name"] for each in document["endpoints"]} == {*STATES} - {*SOUND}
    assert document["checks"][0]["status"] == "Fail"
