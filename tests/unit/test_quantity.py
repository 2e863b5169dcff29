"""Quantities, against the Kubernetes client's own parser and the API's documented rounding."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from mehc_checks.clients.kubernetes.scheduling.quantity import amount, parse, show

NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str), st.decimals(0, 1000, places=3).map(str), st.sampled_from(["1.", "0"])
)
SUFFIXES = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
)


@settings(derandomize=True, database=None)
@given(NUMBERS, SUFFIXES)
def test_the_value_is_exact(number: str, suffix: str) -> None:
    assert parse(number + suffix) == Decimal(parse_quantity(number + suffix))


@pytest.mark.parametrize(
    ("resource", "text", "count"),
    [
        ("cpu", "100m", 100),
        ("cpu", "0.1", 100),
        ("cpu", "1n", 1),
        ("cpu", "1e2", 100_000),
        ("cpu", "1E-1", 100),
        ("memory", "1", 1),
        ("memory", "1500m", 2),
        ("memory", "1E", 10**18),
        ("memory", "1E3", 1000),
        ("memory", ".5Ki", 512),
        ("memory", "+1k", 1000),
        ("memory", "100E", 2**63 - 1),
        ("nvidia.com/gpu", "8", 8),
    ],
)
def test_counts_round_up(resource: str, text: str, count: int) -> None:
    assert amount(resource, text) == count


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "1K", "1e", "0x10", "1,5", "1kB", "٣"])
def test_what_the_api_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no quantity"):
        parse(text)


def test_shown_in_the_units_people_write() -> None:
    assert show("cpu", 48100) == "48.1"
    assert show("memory", 24 * 2**30) == "24Gi"
    assert show("nvidia.com/gpu", 8) == "8"
