import pytest

from mehc_checks.core.outcome import Outcome, Reason, ReasonSet, Status


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "all is well")
    LATE = Reason("Late", Status.WARN, "slow", "Hurry {who} up.")
    GONE = Reason("Gone", Status.FAIL, "absent", "Bring {what} back.")
    DARK = Reason("Dark", Status.ERROR, "unseen", "Switch the light on.")


def test_the_worst_finding_leads() -> None:
    outcome = Outcome.of(
        [
            Reasons.FINE.finding("fine"),
            Reasons.LATE.finding("late by 3 s", who="him"),
            Reasons.GONE.finding("it is gone", what="it"),
            Reasons.DARK.finding("cannot see"),
        ]
    )
    assert (outcome.status, outcome.reason) == (Status.FAIL, "Gone")
    assert outcome.message == "it is gone; cannot see; late by 3 s"
    assert outcome.remediation == "Bring it back. Switch the light on. Hurry him up."
    assert [finding.reason.name for finding in outcome.findings] == ["Gone", "Dark", "Late", "Fine"]


def test_what_could_not_be_seen_outweighs_a_warning_but_no_failure() -> None:
    assert Outcome.of([Reasons.LATE.finding("x", who="y"), Reasons.DARK.finding("z")]).status is Status.ERROR


def test_equal_findings_say_it_once() -> None:
    outcome = Outcome.of([Reasons.GONE.finding("gone", what="it"), Reasons.GONE.finding("gone", what="it")])
    assert outcome.message == "gone"
    assert outcome.remediation == "Bring it back."


def test_an_outcome_needs_a_finding() -> None:
    with pytest.raises(ValueError, match="needs a finding"):
        Outcome.of([])


def test_a_failure_needs_a_failing_finding() -> None:
    with pytest.raises(ValueError, match="a failing finding"):
        Outcome(status=Status.FAIL, reason="Broken", message="and nothing that says where")


def test_a_remedy_without_its_placeholder_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Reasons.GONE.finding("gone")


def test_reasons_are_listed_in_order() -> None:
    class More(Reasons):
        ODD = Reason("Odd", Status.WARN, "strange")

    assert [reason.name for reason in More.all()] == ["Fine", "Late", "Gone", "Dark", "Odd"]
