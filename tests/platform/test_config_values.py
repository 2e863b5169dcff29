"""How a value below config.values reaches the process."""

import pytest

from mehc_checks.installation.installation import WITHOUT_CLUSTER
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.values import Layer
from testbed.rulejudging import at
from testbed.vectors import Vector, vectors


@pytest.mark.parametrize("vector", vectors("config_values"), ids=lambda vector: vector["id"])
def test_config_values(vector: Vector) -> None:
    path = f"{vector['in']['under']}.zz"
    layer = Layer(source="values.yaml", values=at(path, vector["in"]["value"]))
    read = Configuration(WITHOUT_CLUSTER.under([layer])).read(path)
    assert (read, type(read).__name__) == (vector["out"]["reads"], vector["out"]["type"])
