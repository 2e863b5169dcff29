"""Each public report has a test that stages it, under the name that its list gives, and demands its reason."""

import json
import re
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
def collected() -> dict[str, str]:
    """What each of the tests that pytest finds in these files is made of, by its name."""
    words = [sys.executable, str(Path(__file__).with_name("collecting.py")), *files()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    texts: dict[str, str] = json.loads(done.stdout)
    return texts


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_report_is_staged(case: dict[str, Any], collected: dict[str, str]) -> None:
    """The tests exist, and what the list says that they demand is in them: in the source, or in what they are given."""
    assert case["tests"]
    assert not [test for test in case["tests"] if test not in collected]
    made_of = "\n".join(collected[test] for test in case["tests"])
    demands = case.get("demands", ())
    assert demands or case["expected"].startswith(("pass", "no finding", "Events"))
    assert not [words for words in demands if not re.search(rf"\b{re.escape(words)}\b", made_of)]


def test_each_report_is_listed_once() -> None:
    ids = [case["id"] for case in CASES]
    assert len(ids) == len(set(ids))
