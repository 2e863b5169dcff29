"""``mehc reason``: the documentation of one reason or rule, offline."""

import pytest

from mehc_checks.checks.config.rules.catalogue import all_rules
from mehc_checks.engine.check import catalogue
from mehc_operator.cli import main


def told(capsys: pytest.CaptureFixture[str], name: str) -> str:
    assert main(["reason", name]) == 0
    return capsys.readouterr().out


def test_every_reason_and_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """By name, with its meaning and its link; in any case of letters."""
    for check in catalogue().values():
        for reason in check.reasons.all():
            text = " ".join(told(capsys, f"{check.name}/{reason.name}".lower()).split())
            assert text.startswith(reason.name)
            assert " ".join(reason.meaning.split()) in text
            assert f"#{reason.anchor}" in text
    for rule in all_rules().values():
        for name in (rule.id, rule.id.lower(), *(fault.name for fault in rule.faults)):
            text = told(capsys, name)
            assert text.startswith((f"{rule.id}: ", name))


def test_one_name_of_several_checks(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "ConnectionRefused")
    assert "RedisReachable" in text
    assert "DatabaseMigrated" in text
    assert "DatabaseMigrated" not in told(capsys, "RedisReachable/ConnectionRefused")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ConectionRefused", "did you mean ConnectionRefused?"),
        ("xyzzy", "mehc catalog --reasons"),
        ("", "there is no reason"),
        ("RedisReachable/NeverMigrated", "there is no reason RedisReachable/NeverMigrated"),
    ],
)
def test_what_does_not_exist(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reason", name]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert says in error
