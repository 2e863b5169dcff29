from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mehc_checks.core.errors import UsageError
from mehc_checks.modelengine.values import Layer, Values


def merged(*layers: dict[str, Any]) -> Values:
    return Values.merged(Layer(source=f"layer {n}", values=values) for n, values in enumerate(layers))


def test_later_layers_win_key_by_key() -> None:
    values = merged({"redis": {"enableTLS": False, "auth": "a"}}, {"redis": {"enableTLS": True}})
    assert values.tree == {"redis": {"enableTLS": True, "auth": "a"}}


def test_null_deletes_and_an_empty_map_does_not() -> None:
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}).tree == {"a": {"c": 2}}
    assert merged({"a": {"b": 1}}, {"a": {}}).tree == {"a": {"b": 1}}
    assert merged({"a": {"b": 1}}, {"a": None}).get("a") is None


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


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(True, True), ("true", True), ("True", True), ("false", False), (0, False), ("", False), (None, False)],
)
def test_flags_read_as_users_write_them(raw: object, expected: bool) -> None:
    assert merged({"flag": raw}).flag("flag") is expected


def test_a_flag_that_is_none_names_its_path() -> None:
    with pytest.raises(
        UsageError, match=r"redis\.enableTLS \(from layer 0\): expected true or false, not 'maybe'"
    ):
        merged({"redis": {"enableTLS": "maybe"}}).flag("redis.enableTLS")


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
def test_merging_changes_no_layer_and_leaves_no_null(first: dict[str, Any], second: dict[str, Any]) -> None:
    before = repr((first, second))
    values = merged(first, second)
    assert repr((first, second)) == before
    assert "None" not in repr(values.tree).replace("'None'", "")


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
