"""A secret of the cloud, as far as it could be read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mehc_checks.core.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudSecret:
    """A secret: its ``text``, its ``fields`` where that is a JSON object, and what is wrong with it (``trouble``).

    Both are None where there is no text to be had: it has none (``trouble``), or it could not be read (``failure``).
    The platform fails by a trouble; a failure is only of the identity that asks here.
    """

    name: str
    text: str | None = field(default=None, repr=False)
    fields: Mapping[str, str] | None = field(default=None, repr=False)
    trouble: str = ""
    failure: Problem | None = None

    def wrong(self, *wanted: str) -> str:
        """What keeps one who reads the fields ``wanted``, as a phrase: "lacks host, port"; "" where nothing does."""
        lacking = [name for name in wanted if not (self.fields or {}).get(name)]
        return self.trouble or (f"lacks {', '.join(lacking)}" if lacking else "")
