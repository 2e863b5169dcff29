"""The lines that prove a cause: Events, and states of pods and containers, as the cluster has them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from mehc_checks.core.text import ago, shortened
from mehc_checks.workload.objects import Container, Event, Pod

_ECHOES: Final = ("Error: ImagePullBackOff", "Error: ErrImagePull", "Error: ErrImageNeverPull")
"""Events Failed that only repeat the state; the cause is in another of the same reason."""


def event_lines(events: Iterable[Event], reasons: Iterable[str], now: datetime) -> list[str]:
    """The latest Event of each of ``reasons``, as a line; of Events Failed, the latest that names a cause."""
    latest: dict[str, Event] = {}
    for event in events:
        if event.reason in reasons and not (event.message in _ECHOES and event.reason in latest):
            latest[event.reason] = event
    return [event_line(event, now) for event in latest.values()]


def event_line(event: Event, now: datetime) -> str:
    """ "Event FailedMount ×7, last 40s ago: …"."""
    times = f" ×{event.count}" if event.count > 1 else ""
    return f"Event {event.reason}{times}, last {ago(now, event.last)} ago: {shortened(event.message, 300)}"


def container_line(container: Container) -> str:
    """ "container main: waits, CrashLoopBackOff: …; last ended Error with exit code 1; 3 restarts"."""
    parts = []
    if container.waiting:
        parts.append(f"waits, {container.waiting}")
        if container.message:
            parts[-1] += f": {shortened(container.message, 300)}"
    ended = container.last_exit_reason or container.exit_reason
    code = container.last_exit_code if container.last_exit_code is not None else container.exit_code
    if code is not None:
        parts.append(f"last ended {ended or 'by itself'} with exit code {code}")
    if container.restarts:
        parts.append("1 restart" if container.restarts == 1 else f"{container.restarts} restarts")
    return f"container {container.name}: {'; '.join(parts) or 'runs'}"


def state_line(pod: Pod) -> str:
    """ "pod a: Failed (Evicted) on node b"."""
    reason = f" ({shortened(pod.reason, 60)})" if pod.reason else ""
    where = f" on node {pod.node}" if pod.node else ", on no node"
    return f"pod {pod.name}: {pod.phase or 'no phase'}{reason}{where}"
