"""A secret of the cloud's secret store, as far as it could be read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason, ReasonSet, Status

_REGION: Final = "config.values.infra.default_region"


class CloudSecretReasons(ReasonSet):
    """What a check finds that uses such a secret. ``form`` is what it should hold, ``setting`` the value naming it.

    ``place`` is the value that says where it is: its region, its vault, its project.
    """

    CLOUD_SECRET_UNUSABLE = Reason(
        "CloudSecretUnusable",
        Status.FAIL,
        "The secret of the cloud's secret store does not exist, or does not hold what its reader expects.",
        message="{concerning}secret {secret} {wrong}",
        remedy="Write secret {secret} as {form}, or correct {setting} and {place}.",
        defaults={"concerning": "", "place": _REGION},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudSecret:
    """A secret: its ``text``, its ``fields`` where that is a JSON object, and what is wrong with it (``trouble``).

    Both are None where there is no text to be had: it has none (``trouble``), or it could not be read (``failure``).
    The platform fails by a trouble; a failure is only of the identity that asks here. ``nulls`` are the fields whose
    value is null, which ``fields`` lacks. ``place`` is the value that says where the secret is.
    """

    name: str
    text: str | None = field(default=None, repr=False)
    fields: Mapping[str, str] | None = field(default=None, repr=False)
    nulls: frozenset[str] = frozenset()
    trouble: str = ""
    failure: Problem | None = None
    place: str = _REGION

    @classmethod
    def of(cls, name: str, text: str, *, place: str = _REGION) -> Self:
        """A secret with that text."""
        try:
            document = json.loads(text)
        except ValueError:
            return cls(name=name, text=text, trouble="is not JSON", place=place)
        if not isinstance(document, dict):
            return cls(name=name, text=text, trouble="is not a JSON object", place=place)
        fields = {str(key): str(value) for key, value in document.items() if value is not None}
        nulls = frozenset(key for key, value in document.items() if value is None)
        return cls(name=name, text=text, fields=fields, nulls=nulls, place=place)

    def wrong(self, *wanted: str) -> str:
        """What keeps one who reads the fields ``wanted``, as a phrase: "lacks host, port"; "" where nothing does."""
        lacking = [name for name in wanted if not (self.fields or {}).get(name)]
        return self.trouble or (f"lacks {', '.join(lacking)}" if lacking else "")

    def problem(self, *wanted: str, concerning: str, form: str, setting: str) -> Problem | None:
        """Why the fields ``wanted`` cannot be read: by this process, or by anyone. None where they can."""
        if self.failure:
            words = {**self.failure.words, "concerning": f"{concerning}secret {self.name}: "}
            return Problem(self.failure.reason, **words)
        if wrong := self.wrong(*wanted):
            return self.unusable(wrong, form=form, setting=setting)
        return None

    def unusable(self, wrong: str, *, form: str, setting: str) -> Problem:
        """What is wrong with its content, as a phrase: "is blank"."""
        reason = CloudSecretReasons.CLOUD_SECRET_UNUSABLE
        return Problem(reason, secret=self.name, wrong=wrong, form=form, setting=setting, place=self.place)
