"""All endpoints of an installation, as the check judges them."""

from dataclasses import dataclass

from mehc_checks.checks.endpoints.diagnose import NO_QUEUE, Queue
from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.workload.diagnose import Around


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointFacts:
    """``recorded`` is whether the platform's record was read (and all of it); ``unrecorded`` why it was not.

    ``fail_above`` is the part of the endpoints, from 0 to 1, from which on the causes of owners fail. ``unseen`` is
    what else could not be read.
    """

    endpoints: tuple[Endpoint, ...]
    around: Around
    recorded: bool
    fail_above: float = 0.2
    queue: Queue = NO_QUEUE
    unrecorded: CannotEvaluate | None = None
    unseen: tuple[CannotEvaluate, ...] = ()
