"""One arena for all faults."""

from collections.abc import Iterator

import pytest

from faults.arena import Arena
from testbed.controlplane import ControlPlane
from testbed.kwok import Kwok


@pytest.fixture(scope="package")
def arena() -> Iterator[Arena]:
    with ControlPlane() as plane, Kwok(plane) as kwok:
        kwok.add_node("node-1")
        with Arena(plane) as stage:
            yield stage
