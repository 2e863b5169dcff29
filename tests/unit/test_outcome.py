import pytest

from mehc_checks.core.outcome import Outcome, Reason, ReasonSet, Severity, Status


class Reasons(ReasonSet):
    FINE = Reason("Fine", Status.PASS, "All is well.", message="fine")
    LATE = Reason("Late", Status.WARN, "It is slow.", message="late by {time}", remedy="Hurry {who} up.")
    GONE = Reason("Gone", Status.FAIL, "It is absent.", message="{what} is gone", remedy="Bring {what} back.")
    DARK = Reason(
        "Dark",
        Status.ERROR,
        "It is not seen.",
        message="cannot see {where}",
        remedy="{fix}",
        defaults={"where": "it", "fix": "Switch the light on."},
    )


LATE = Reasons.LATE(time="3 s", who="him")


def test_the_worst_finding_speaks_for_the_check_and_the_others_are_counted() -> None:
    outcome = Outcome.of([Reasons.FINE(), LATE, Reasons.GONE(what="it"), Reasons.DARK()])
    assert (outcome.status, outcome.reason) == (Status.FAIL, "Gone")
    assert outcome.message == "it is gone (and 2 more)"
    assert outcome.remediation == "Bring it back."
    assert [finding.reason.name for finding in outcome.findings] == ["Gone", "Dark", "Late", "Fine"]


def test_what_could_not_be_seen_outweighs_a_warning_but_no_failure() -> None:
    assert Outcome.of([LATE, Reasons.DARK()]).status is Status.ERROR


def test_of_one_status_the_most_severe_leads_and_equals_keep_their_order() -> None:
    lesser = Reasons.GONE(what="hat", severity=Severity.INFO)
    outcome = Outcome.of([lesser, Reasons.GONE(what="cat"), Reasons.GONE(what="dog")])
    assert [finding.message for finding in outcome.findings] == ["cat is gone", "dog is gone", "hat is gone"]


def test_a_place_may_hurt_less_than_its_reason_says() -> None:
    found = Reasons.GONE(what="it", status=Status.WARN, subject="cache")
    assert (found.status, found.subject, Outcome.of([found]).status) == (Status.WARN, "cache", Status.WARN)


def test_words_with_a_default_may_be_left_out() -> None:
    assert (Reasons.DARK().message, Reasons.DARK().remediation) == ("cannot see it", "Switch the light on.")
    assert Reasons.DARK(where="you", fix="Come here.").remediation == "Come here."


def test_an_outcome_needs_a_finding() -> None:
    with pytest.raises(ValueError, match="needs a finding"):
        Outcome.of([])


def test_a_template_without_its_word_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Reasons.GONE()


def test_reasons_are_listed_in_order() -> None:
    class More(Reasons):
        ODD = Reason("Odd", Status.WARN, "strange")

    assert [reason.name for reason in More.all()] == ["Fine", "Late", "Gone", "Dark", "Odd"]
