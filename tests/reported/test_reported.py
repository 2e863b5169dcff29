"""Each public report has a test that stages it, under the name that its list gives."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final[list[dict[str, Any]]] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text())


def files() -> Iterator[str]:
    """The test files that the list names, each once."""
    yield from dict.fromkeys(test.partition("::")[0] for case in CASES for test in case["tests"])


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """The tests that pytest finds in these files."""
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", *files()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_report_is_staged(case: dict[str, Any], collected: set[str]) -> None:
    assert case["tests"]
    assert not [test for test in case["tests"] if test not in collected]


def test_each_report_is_listed_once() -> None:
    ids = [case["id"] for case in CASES]
    assert len(ids) == len(set(ids))
