"""Which charts are newer than those that are known."""

import pytest

from mehc_checks.modelengine.versions import is_newer


@pytest.mark.parametrize(
    ("chart", "newer"),
    [
        ("model-engine-0.2.7", False),
        ("model-engine-0.2.6", False),
        ("model-engine-0.1.99", False),
        ("model-engine-0.2.7-fork.3", False),
        ("model-engine-0.2.8", True),
        ("model-engine-0.2.10", True),
        ("model-engine-v0.3", True),
        ("model-engine-1.0.0+build", True),
        ("model-engine", False),
        ("model-engine-next", False),
        ("acme-platform-9.1.0", False),
    ],
)
def test_newer(chart: str, newer: bool) -> None:
    assert is_newer(chart) is newer
