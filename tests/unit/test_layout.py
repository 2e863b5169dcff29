"""Guards of the repository's shape."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_operator_folder_does_not_shadow_the_standard_library() -> None:
    """`python -m anything` puts the root on sys.path, where `operator/` stands."""
    code = "import collections, operator; print(operator.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not found.stdout.startswith(str(ROOT))
    assert not [path.name for path in (ROOT / "operator").iterdir() if path.suffix == ".py"]


def test_no_test_folder_takes_the_name_of_the_module() -> None:
    assert not (ROOT / "tests" / "operator").exists()


def test_the_testbed_does_not_shadow_the_standard_library() -> None:
    """`make setup` runs a script of that folder, which puts the folder on sys.path."""
    names = {path.stem for path in (ROOT / "tests" / "testbed").iterdir()}
    assert not names & set(sys.stdlib_module_names)
