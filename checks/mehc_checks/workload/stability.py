"""Since when a pod is in trouble that comes and goes: a kubelet makes it ready for a moment at each restart.

A container that keeps exiting is restarted after 10 s, 20 s and so on, at most 5 minutes, and counts as well again when
it ran for 10 minutes. Source: kubelet's ``MaxContainerBackOff`` and ``flowcontrol.Backoff``.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from mehc_checks.workload.objects import Container, Event, Pod

STABLE: Final = timedelta(minutes=10)
FEWEST: Final = 3
"""Ends in a row that are no accident any more."""
_FIRST_BACK_OFF: Final = timedelta(seconds=10)
_LONGEST_BACK_OFF: Final = timedelta(minutes=5)
_FAILURES: Final = frozenset({"BackOff", "Killing", "Failed", "FailedPostStartHook"})
NEVER: Final = timedelta()


def is_looping(container: Container, now: datetime) -> bool:
    """Whether ``container`` keeps exiting, though it may be ready at the moment."""
    if container.init or container.restarts < FEWEST or _last_run(container) >= STABLE:
        return False
    return container.running_since is None or now - container.running_since < STABLE


def looping(pod: Pod, now: datetime) -> Container | None:
    """The container of ``pod`` that keeps exiting, restarted most often; None where none does."""
    found = [container for container in pod.containers if is_looping(container, now)]
    return max(found, key=lambda container: container.restarts, default=None)


def looping_since(pod: Pod, container: Container, events: Iterable[Event], now: datetime) -> datetime:
    """When ``container`` began to keep exiting, as far as is recorded: never earlier than is certain.

    By the first Event about it, but no longer ago than so many restarts can last; without Events, by how long so many
    restarts last at least. A run that was stable in between starts it over.
    """
    run = _last_run(container)
    if run >= STABLE and container.last_finished:
        return container.last_finished
    told = [event.first for event in events if event.reason in _FAILURES and event.first]
    back_offs = [min(_FIRST_BACK_OFF * 2**number, _LONGEST_BACK_OFF) for number in range(container.restarts)]
    shortest = sum(back_offs, run * container.restarts)
    longest = (_LONGEST_BACK_OFF + run) * (container.restarts + 1)
    begun = max(min(told), now - longest) if told else now - shortest
    return max(begun, pod.created) if pod.created else begun


def _last_run(container: Container) -> timedelta:
    if container.last_started is None or container.last_finished is None:
        return NEVER
    return container.last_finished - container.last_started


def failed_in_a_row(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The latest of ``pods`` that failed one after the other, newest first, none of which had run stably."""
    failed = [(pod.created, pod.name, pod) for pod in pods if pod.phase == "Failed" and pod.created]
    ordered = [pod for *_, pod in sorted(failed, key=lambda item: item[:2], reverse=True)]
    return tuple(takewhile(lambda pod: _lifetime(pod) < STABLE, ordered))


def _lifetime(pod: Pod) -> timedelta:
    ends = [container.finished for container in pod.containers if container.finished]
    return max(ends) - pod.created if ends and pod.created else NEVER
