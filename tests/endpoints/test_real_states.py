"""What `mehc explain` says of pods that a real kubelet has in trouble: no text and no state here is written by us."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.installation import Tree, aws_values
from testbed.node import Node
from testbed.postgres import Postgres
from testbed.realstates import Ward, states

PATIENCE = 900.0
"""Seconds until every kubelet has come as far as the state that is meant."""
NAMES = tuple(states(defaultdict(str)))
MEHC = Path(sys.executable).with_name("mehc")

pytestmark = pytest.mark.timeout(1800)


class Explained:
    """The endpoints as `mehc explain` has them, asked again until each has the cause that is expected."""

    def __init__(self, ward: Ward, values: Path) -> None:
        self._ward = ward
        self._words = [MEHC, "explain", "-o", "json", "--grace-period", "1s", "-f", str(values)]
        self._words += ["--kubeconfig", str(ward.plane.kubeconfig), "-n", ward.namespace]
        self._deadline = time.monotonic() + PATIENCE
        self.seen: dict[str, Tree] = {}

    def of(self, name: str) -> Tree:
        wanted = self._ward.states[name].cause
        while self.seen.get(name, {}).get("cause") != wanted and time.monotonic() < self._deadline:
            self._ask()
        if name not in self.seen:
            self._ask()
        return self.seen.get(name, {})

    def _ask(self) -> None:
        done = subprocess.run(self._words, capture_output=True, text=True, check=False)
        document: Any = json.loads(done.stdout)
        for endpoint in document["endpoints"]:
            # Once it was right it stays: a pod that is made anew begins from the start.
            known = self.seen.get(endpoint["name"], {}).get("cause")
            if known != self._ward.states[endpoint["name"]].cause:
                self.seen[endpoint["name"]] = endpoint
        time.sleep(1)


@pytest.fixture(scope="module")
def explained(
    real_node: Node, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Explained]:
    with Ward(real_node, postgres) as ward:
        values = tmp_path_factory.mktemp("values") / "values.yaml"
        values.write_text(yaml.safe_dump(aws_values(endpoint_namespace=ward.namespace)))
        yield Explained(ward, values)


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_of_a_real_state(explained: Explained, name: str) -> None:
    endpoint = explained.of(name)
    assert endpoint.get("cause") == explained._ward.states[name].cause, endpoint
    assert endpoint["remediation"]
    assert endpoint["evidence"]
