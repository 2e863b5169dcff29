"""recommendedHardware as the platform reads it: what a request gets, what it needs, and what is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mehc_checks.modelengine import hardware
from mehc_checks.modelengine.modelsize import gigabytes_needed
from mehc_checks.modelengine.tier import FIELDS
from mehc_checks.modelengine.values import Layer, Values

Vector = dict[str, Any]
VECTORS: list[Vector] = json.loads(Path(__file__).with_name("vectors").joinpath("hardware.json").read_text())
DELIBERATE: dict[str, str] = {
    "gpus -1": "the gateway creates the endpoint, and the API server rejects its pods: for us the tier is not usable"
}
"""Where we say otherwise than the platform, by what the vector is about, and why."""


def values(given: Mapping[str, Any]) -> Values:
    own = {"recommendedHardware": given["recommendedHardware"]} if "recommendedHardware" in given else {}
    return Values.merged(
        [Layer(source="", values={}), Layer(source="values.yaml", values={**own, **given.get("values", {})})]
    )


def derived(given: Mapping[str, Any]) -> tuple[dict[str, Any] | None, int | None]:
    """The hardware that a request gets by our derivation, None where it is refused, and the GPU memory it needs."""
    request = dict(given["request"])
    fields = {name: request[name] for name in FIELDS if name in request}
    if len(fields) == len(FIELDS):
        return fields, None
    needed = gigabytes_needed(
        request["model_name"],
        request["model_config"],
        batch=request.get("batch", False),
        context=request.get("max_context_length"),
    )
    if needed is None:
        return None, None
    try:
        tier = hardware.read(values(given)).choose(request["model_name"], needed)
    except hardware.Refused:
        return None, needed
    return {name: tier.fields[name] for name in FIELDS}, needed


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['id']} {vector['about']}")
def test_we_agree_with_the_platform(vector: Vector) -> None:
    got, needed = derived(vector["in"])
    if vector["about"] in DELIBERATE:
        assert got != vector["out"].get("hardware"), "no difference any more"
        return
    assert got == vector["out"].get("hardware")
    if "helm" not in vector["out"]:
        assert needed == vector["out"].get("needs_gpu_memory_gb")


@pytest.mark.parametrize(
    "vector",
    [v for v in VECTORS if "hardware" not in v["out"] and v["kind"] != "request"],
    ids=lambda vector: f"{vector['id']} {vector['about']}",
)
def test_what_is_refused_because_of_the_tables_is_a_fault(vector: Vector) -> None:
    """Unless only this request is: a model larger than all tiers."""
    faults = hardware.read(values(vector["in"])).faults
    assert faults or "Unable to infer hardware" in vector["out"]["error"]
