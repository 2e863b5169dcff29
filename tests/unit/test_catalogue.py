"""What every check must have, however it is made."""

import inspect
import re
from pathlib import Path

import pytest

from mehc_checks.core.outcome import Status
from mehc_checks.engine.check import Check, catalogue

ROOT = Path(__file__).resolve().parents[2]
CHECKS = list(catalogue().values())
SECTIONS = ("How it is probed", "Parameters", "Permissions", "Reasons")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_its_page_has_every_section_and_a_row_for_every_reason(check: Check) -> None:
    page = (ROOT / check.docs).read_text()
    assert page.startswith(f"# {check.name}\n")
    assert re.search(r"^True: ", page, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [section for section in SECTIONS if section not in headings] == []
    for reason in check.reasons.all():
        assert f'| <a id="{reason.name.lower()}"></a>`{reason.name}` | {reason.status} |' in page


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_reason_that_asks_for_action_says_what_to_do(check: Check) -> None:
    for reason in check.reasons.all():
        assert reason.meaning
        if reason.status in (Status.FAIL, Status.WARN):
            assert reason.remedy, reason.name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_its_own_tests_hold_that_each_reason_is_produced(check: Check) -> None:
    """The check's module of tests ends in a comparison of what its cases produced with what is declared."""
    room = Path(inspect.getfile(check.judge)).parent.name
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", check.name).lower()
    module = ROOT / "tests" / "checks" / room / f"test_{snake}.py"
    _, begin, body = module.read_text().partition("def test_every_reason_has_a_case(")
    assert begin
    assert f"{check.reasons.__name__}.all()" in body.partition("\n\n\n")[0]
