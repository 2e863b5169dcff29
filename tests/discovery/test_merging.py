"""Layers are merged as the real Helm merges a chart's defaults and several values files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mehc_checks.modelengine.values import Layer, Values
from testbed.helm import Helm
from testbed.process import remove_directory, temporary_directory

KEYS = st.sampled_from(["a", "b", "c"])
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 9)
    | st.sampled_from(["", "x"])
    | st.lists(st.integers(0, 9), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
MAPS = st.dictionaries(KEYS, TREES, max_size=3)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A chart that shows its values."""
    chart = temporary_directory("chart")
    (chart / "templates").mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: shown\nversion: 1.0.0\n")
    (chart / "templates" / "shown.yaml").write_text("shown: {{ .Values | toJson | quote }}\n")
    yield chart
    remove_directory(chart)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(defaults=MAPS, files=st.lists(MAPS, max_size=3))
def test_merging_is_helms(directory: Path, defaults: dict[str, Any], files: list[dict[str, Any]]) -> None:
    (directory / "values.yaml").write_text(yaml.safe_dump(defaults))
    words = []
    for number, values in enumerate(files):
        path = directory / f"values-{number}.yaml"
        path.write_text(yaml.safe_dump(values))
        words += ["-f", str(path)]
    shown = yaml.safe_load(Helm().run("template", "x", str(directory), *words))["shown"]
    merged = Values.merged(
        [Layer(source=str(n), values=values) for n, values in enumerate([defaults, *files])]
    )
    assert merged.tree == json.loads(shown)
