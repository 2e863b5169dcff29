from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.modelengine.values import ABSENT, Layer, Values


def merged(*layers: dict[str, Any]) -> Values:
    return Values.merged(Layer(source=f"layer {n}", values=values) for n, values in enumerate(layers))


def test_later_layers_win_key_by_key() -> None:
    values = merged({"redis": {"enableTLS": False, "auth": "a"}}, {"redis": {"enableTLS": True}})
    assert values.tree == {"redis": {"enableTLS": True, "auth": "a"}}


def test_null_deletes_and_an_empty_map_does_not() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}).tree == {"a": {"c": 2}}
    assert merged({"a": {"b": 1}}, {"a": {}}).tree == {"a": {"b": 1}}
    assert merged({"a": {"b": 1}}, {"a": None}).tree == {}


def test_a_null_stays_where_the_chart_has_no_such_key() -> None:
    values = merged({"a": {"b": 1}}, {"a": {"c": None}, "x": {"y": None}})
    assert values.tree == {"a": {"b": 1, "c": None}, "x": {"y": None}}
    assert values.has("x.y")
    assert not values.has("x.z")
    assert values.get("x.y") is None
    assert values.origin("x.y") == "layer 1"


def test_what_a_layer_shows_to_be_absent_is_gone() -> None:
    assert merged({"a": 1}, {"b": {"c": 1, "d": 2}}, {"a": ABSENT, "b": {"c": ABSENT}}).tree == {
        "b": {"d": 2}
    }


def test_a_list_or_scalar_replaces_whole() -> None:
    assert merged({"a": [1, 2]}, {"a": [3]}).tree == {"a": [3]}
    assert merged({"a": {"b": 1}}, {"a": 3}).tree == {"a": 3}
    assert merged({"a": 3}, {"a": {"b": 1}}).tree == {"a": {"b": 1}}


def test_every_value_knows_its_origin() -> None:
    values = merged({"a": {"b": 1, "c": 2}, "m": {}}, {"a": {"b": 3}, "x": [1]})
    assert values.origin("a.b") == "layer 1"
    assert values.origin("a.c") == "layer 0"
    assert values.origin("x") == "layer 1"
    assert values.origin("m") == "layer 0"
    assert values.origin("nothing") == ""
    assert values.describe("a.b") == "a.b (from layer 1)"


def test_origins_of_what_was_replaced_are_forgotten() -> None:
    values = merged({}, {"a": {"b": 1}}, {"a": 3}, {"a": {"c": 1}})
    assert values.tree == {"a": {"c": 1}}
    assert values.origin("a.b") == ""
    assert values.origin("a.c") == "layer 3"


def test_what_was_deleted_and_given_again_is_merged_with_the_defaults() -> None:
    values = merged({"a": {"b": 1}}, {"a": None}, {"a": {"c": 2}})
    assert values.tree == {"a": {"b": 1, "c": 2}}


def test_items_of_lists_come_from_where_their_list_comes_from() -> None:
    values = merged({"a": [{"b": 1}]}, {"c": [1]})
    assert values.origin("a[0].b") == "layer 0"
    assert values.describe("c[0]") == "c[0] (from layer 1)"


def test_text() -> None:
    values = merged({"n": 6379, "b": True, "m": {"x": 1}})
    assert values.text("n") == "6379"
    assert values.text("b") == "true"
    assert values.text("m") is None
    assert values.text("m.x.y") is None


TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
MAPS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@given(MAPS, MAPS)
def test_merging_changes_no_layer(first: dict[str, Any], second: dict[str, Any]) -> None:
    before = repr((first, second))
    merged(first, second)
    assert repr((first, second)) == before


@given(MAPS)
def test_every_leaf_has_an_origin(tree: dict[str, Any]) -> None:
    values = merged(tree)

    def leaves(node: Any, path: str) -> list[str]:
        if isinstance(node, dict) and node:
            return [
                leaf for key, item in node.items() for leaf in leaves(item, f"{path}.{key}" if path else key)
            ]
        return [path] if path else []

    assert all(values.origin(path) == "layer 0" for path in leaves(values.tree, ""))
