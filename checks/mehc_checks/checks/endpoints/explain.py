"""Which endpoints are not ready, in which state they are, why, and since when."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mehc_checks.checks.endpoints.diagnose import word
from mehc_checks.checks.endpoints.facts import EndpointFacts
from mehc_checks.checks.endpoints.gather import read_endpoints
from mehc_checks.checks.endpoints.objects import Endpoint
from mehc_checks.checks.endpoints.stuck import not_ready
from mehc_checks.checks.endpoints.timeline import Step, timeline
from mehc_checks.core.errors import UsageError
from mehc_checks.core.outcome import Status
from mehc_checks.core.text import nearest
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.endpoints import Shown
from mehc_checks.modelengine.scaling import ENDPOINT_PREFIX
from mehc_checks.workload.diagnose import Cause

_NAMED: Final = 10
_FOR_ONE: Final = 3
_FOR_ALL: Final = 1
"""Seconds that registries have to answer a person who waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One endpoint. ``cause`` is None where it is as it should be; every text is redacted."""

    endpoint_id: str
    name: str
    kubernetes_name: str
    kind: str
    state: Shown
    recorded: str
    ready: int
    desired: int
    cause: Cause | None
    steps: tuple[Step, ...]

    @property
    def explained_by(self) -> tuple[str, ...]:
        """The checks that explain it, where they fail."""
        names = self.cause.explained_by if self.cause else ()
        return tuple(dict.fromkeys(name.partition("/")[0] for name in names))

    @property
    def is_stuck(self) -> bool:
        """Whether it fails EndpointsReady."""
        return self.cause is not None and self.cause.overdue and self.cause.finding.status is Status.FAIL


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """The endpoints asked for, worst first, of ``total``. ``unread`` says what could not be read.

    ``recorded``: whether all of the platform's record was read, so that what is not in it has none.
    """

    endpoints: tuple[Explained, ...]
    total: int
    now: datetime
    recorded: bool
    namespace: str = ""
    unread: tuple[str, ...] = ()


async def explain(context: Context, asked: str = "") -> Explanation:
    """All that is not ready, or the one endpoint ``asked`` for by its id, its name or its Kubernetes name.

    Raises UsageError where there is no such endpoint, or several, and what ``read_endpoints`` raises.
    """
    facts = await read_endpoints(
        context,
        asked=lambda endpoint: bool(asked) and _is(endpoint, asked),
        patience=_FOR_ONE if asked else _FOR_ALL,
    )
    causes = {
        found.endpoint.name: found.cause
        for found in not_ready(facts.endpoints, facts.around, recorded=facts.recorded, queue=facts.queue)
    }
    by_name = {endpoint.name: endpoint for endpoint in facts.endpoints}
    chosen = [_found(facts.endpoints, asked)] if asked else [by_name[name] for name in causes]
    return Explanation(
        endpoints=tuple(_explained(endpoint, causes.get(endpoint.name), context) for endpoint in chosen),
        total=len(facts.endpoints),
        now=facts.around.now,
        recorded=facts.recorded,
        namespace=context.namespace,
        unread=tuple(context.redactor.text(text) for text in _unread(facts)),
    )


def _is(endpoint: Endpoint, asked: str) -> bool:
    names = (endpoint.id, endpoint.title, endpoint.name, endpoint.name.removeprefix(ENDPOINT_PREFIX))
    return asked in names or any(asked == pod.name for pod in endpoint.pods)


def _found(endpoints: Iterable[Endpoint], asked: str) -> Endpoint:
    """Raises UsageError, which says what may have been meant."""
    known = list(endpoints)
    found = [endpoint for endpoint in known if _is(endpoint, asked)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(endpoint.id for endpoint in found)
        raise UsageError(f'{len(found)} endpoints are named "{asked}"; give the id: {ids}')
    names = {name.lower(): name for e in known for name in (e.id, e.title, e.name)}
    near = nearest(asked.lower(), names)
    titles = sorted({endpoint.title for endpoint in known})
    more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    there = f"endpoints here: {', '.join(titles[:_NAMED])}{more}" if titles else "there are no endpoints"
    hint = f"did you mean {names[near[0]]}?" if near else there
    raise UsageError(f'no endpoint matches "{asked}"; {hint}')


def _explained(endpoint: Endpoint, cause: Cause | None, context: Context) -> Explained:
    text = context.redactor.text
    if cause:
        shown = replace(cause.finding, message=text(cause.message), remediation=text(cause.remedy))
        cause = replace(cause, finding=shown, evidence=tuple(text(line) for line in cause.evidence))
    return Explained(
        endpoint_id=endpoint.id,
        name=text(endpoint.title),
        kubernetes_name=endpoint.name,
        kind=str(endpoint.kind),
        state=word(endpoint),
        recorded=endpoint.state,
        ready=endpoint.ready,
        desired=endpoint.desired,
        cause=cause,
        steps=timeline(endpoint, cause),
    )


def _unread(facts: EndpointFacts) -> list[str]:
    found = [facts.unrecorded] if facts.unrecorded else []
    return [str(error) for error in (*found, *facts.unseen)]
