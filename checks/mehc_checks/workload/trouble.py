"""A cause that is known by name, some of its words still missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mehc_checks.core.outcome import Finding, Reason, Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """``reason`` with the words that are known where it was read. ``vague``: it names no cause, something else may.

    ``prefix``, filled as the reason's own words, says what a reason of a family is about. ``explained_by`` is given
    where the reason's own does not hold.
    """

    reason: Reason
    words: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    explained_by: tuple[str, ...] | None = None
    vague: bool = False

    def finding(self, **known: Any) -> Finding:
        """The failure; its own words go before ``known``. Raises KeyError where a word is still missing."""
        filled = {**known, **self.words}
        found = self.reason(explained_by=self.explained_by, **filled)
        # Its words are of another place: from where it was probed says nothing about it.
        message = f"{self.prefix.format(**filled)}{found.message}"
        status = Status.FAIL if found.status is Status.WARN else found.status
        return replace(found, status=status, message=message, words={})
