"""What an inspection of an image finds."""

from dataclasses import dataclass
from datetime import datetime

from mehc_checks.core.errors import Problem


@dataclass(kw_only=True, slots=True)
class Inspection:
    """What the registry shows of an image. ``problem`` is None when a node can pull it.

    ``size`` is what a node of the first wanted architecture downloads, in bytes. ``login`` says whose
    credentials were let in, or is empty for anonymous ones.
    """

    reference: str
    problem: Problem | None = None
    login: str = ""
    digest: str = ""
    size: int = 0
    platforms: tuple[str, ...] = ()
    created: datetime | None = None
    near_tags: tuple[str, ...] = ()
