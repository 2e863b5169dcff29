"""A check is its room: adding one, and removing one, needs no other edit. Tried on a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_ROOMS = (
    "test_rooms.py",
    "test_cli.py",
    "test_completion.py",
    "test_deadline.py",
    "test_drift.py",
    "test_http.py",
    "test_limiter.py",
    "test_net.py",
    "test_redact.py",
    "test_scheduler.py",
    "test_threads.py",
    "test_values.py",
)
"""Unit tests that say the same whatever rooms there are: of processes, clocks, servers and texts."""
ADDED = {
    "__init__.py": '"""QuotaRoomy."""\n',
    "reasons.py": '''"""What QuotaRoomy can find."""

from mehc_checks.core.outcome import Reason, ReasonSet, Status


class QuotaReasons(ReasonSet):
    """Reasons of QuotaRoomy."""

    ROOMY = Reason(
        "QuotaRoomy", Status.PASS, "The quota leaves room.", message="{left} pods are left"
    )
    TIGHT = Reason(
        "QuotaTight",
        Status.WARN,
        "The quota is nearly used up.",
        message="{left} pods are left",
        remedy="Raise the quota of pods.",
    )
''',
    "facts.py": '''"""What QuotaRoomy judges."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class QuotaFacts:
    """``left`` is how many pods the quota leaves."""

    left: int
''',
    "gather.py": '''"""How QuotaRoomy asks."""

from mehc_checks.checks.quota.facts import QuotaFacts
from mehc_checks.installation.context import Context


async def gather(context: Context) -> QuotaFacts:
    """The facts."""
    return QuotaFacts(left=int(context.values.text("left") or 9))
''',
    "check.py": '''"""QuotaRoomy: the quota leaves room."""

from mehc_checks.checks.quota.facts import QuotaFacts
from mehc_checks.checks.quota.reasons import QuotaReasons as R
from mehc_checks.core.outcome import Outcome, Severity
from mehc_checks.engine.check import check


@check("QuotaRoomy", title="the quota leaves room for pods", severity=Severity.WARNING, reasons=R)
def quota_roomy(facts: QuotaFacts) -> Outcome:
    """Judge the quota."""
    return Outcome.of([(R.TIGHT if facts.left < 3 else R.ROOMY)(left=facts.left)])
''',
    "page.md": """# QuotaRoomy

True: the quota leaves room for pods.

## How it is probed

It is an example.

## Parameters

None.

## Permissions

None.

## Reasons

<!-- reasons -->
""",
}
TESTS = '''"""QuotaRoomy."""

from mehc_checks.checks.quota.check import quota_roomy
from mehc_checks.checks.quota.facts import QuotaFacts
from mehc_checks.checks.quota.reasons import QuotaReasons


def test_every_reason_has_a_case() -> None:
    found = {quota_roomy(QuotaFacts(left=left)).reason for left in (2, 3)}
    assert found == {reason.name for reason in QuotaReasons.all()}
'''


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track, with one room more and one less."""
    copy = tmp_path_factory.mktemp("tree")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in found.stdout.split("\0"):
        source = ROOT / name
        if name and source.is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    rooms = copy / "checks" / "mehc_checks" / "checks"
    shutil.rmtree(rooms / "broker")
    shutil.rmtree(copy / "tests" / "checks" / "broker")
    (rooms / "quota").mkdir()
    for name, text in ADDED.items():
        (rooms / "quota" / name).write_text(text)
    (copy / "tests" / "checks" / "quota").mkdir()
    (copy / "tests" / "checks" / "quota" / "test_quota_roomy.py").write_text(TESTS)
    return copy


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A module of Python over the copy, not over this tree."""
    paths = [tree / "checks", tree / "operator", tree / "tests", tree]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def test_a_page_that_is_left_over_is_noticed(tree: Path) -> None:
    verified = run(tree, "hack.generate", "--verify")
    assert verified.returncode == 1
    assert "docs/checks/BrokerReachable.md: no check has this page" in verified.stderr


@pytest.mark.timeout(600)
def test_generate_and_the_unit_tests_follow_the_rooms(tree: Path) -> None:
    generated = run(tree, "hack.generate")
    assert generated.returncode == 0, generated.stderr
    assert run(tree, "hack.generate", "--verify").returncode == 0
    pages = {page.stem for page in (tree / "docs" / "checks").glob("*.md")}
    assert "QuotaRoomy" in pages
    assert "BrokerReachable" not in pages
    ignored = [f"--ignore=tests/unit/{name}" for name in WITHOUT_ROOMS]
    done = run(
        tree,
        *("pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=few"),
        *("tests/unit", "tests/checks/quota", *ignored),
    )
    assert done.returncode == 0, done.stdout[-6000:]
