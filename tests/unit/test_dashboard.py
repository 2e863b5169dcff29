"""The generated dashboard is what Grafana's own model knows, and its panels do not collide."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

FILES = Path(__file__).resolve().parents[2] / "charts" / "model-engine-health-check" / "files"


@pytest.fixture
def model() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
    return loaded


def test_it_loads_into_grafanas_model_and_nothing_is_lost(model: dict[str, Any]) -> None:
    """A field that the model does not know is dropped; defaults may be added."""
    assert lost(model, reloaded(model)) == []
    model["panels"][1]["fieldConfig"]["defaults"]["colour"] = "red"
    assert lost(model, reloaded(model)) == [".panels[1].fieldConfig.defaults.colour"]


def reloaded(model: dict[str, Any]) -> Any:
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(model), cls=JSONEncoder))


def lost(before: Any, after: Any, where: str = "") -> list[str]:
    """The paths in ``before`` that are not, or are different, in ``after``."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [path for key in before for path in lost(before[key], after.get(key), f"{where}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [path for number, pair in pairs for path in lost(*pair, f"{where}[{number}]")]
    return [] if before == after else [where]


def test_ids_are_unique_and_panels_do_not_overlap(model: dict[str, Any]) -> None:
    panels = model["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert "id" not in model
    assert len(model["uid"]) <= 40
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )


def test_every_panel_asks_the_chosen_data_source_and_says_what_it_shows(model: dict[str, Any]) -> None:
    panels = [panel for panel in model["panels"] if panel["type"] != "row"]
    asked = [query for panel in panels for query in (panel, *panel["targets"])]
    assert {query["datasource"]["uid"] for query in asked} == {"$datasource"}
    assert all(panel["title"] and panel["description"] for panel in panels)
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters), panel["title"]
