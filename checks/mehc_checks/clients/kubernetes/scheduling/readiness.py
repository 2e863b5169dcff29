"""What keeps a node from being Ready.

Sources: kubelet's ``nodestatus/setters.go``, ``runtime.go`` and ``pleg/generic.go``; the node lifecycle controller.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final


class Unready(StrEnum):
    """For people; without the times and numbers that change with each heartbeat."""

    KUBELET = "its kubelet does not report"
    RUNTIME = "its container runtime does not answer"
    NETWORK = "its network plugin is not ready"
    SHUTDOWN = "it is shutting down"
    OTHER = "its kubelet reports a problem"


_UNREADY: Final = (
    (re.compile(r"shutting down"), Unready.SHUTDOWN),
    (re.compile(r"container runtime is down"), Unready.RUNTIME),
    (re.compile(r"container runtime network not ready"), Unready.NETWORK),
    (re.compile(r"container runtime|PLEG is not healthy"), Unready.RUNTIME),
)
"""By the kubelet's message, which lists all that it finds."""


def unready(conditions: Iterable[Mapping[str, Any]]) -> Unready | None:
    """What keeps a node with these ``conditions`` from being Ready; None where it is."""
    ready = next((each for each in conditions if each["type"] == "Ready"), {})
    if ready.get("status") == "True":
        return None
    if ready.get("status") != "False":  # the node lifecycle controller's, or none yet
        return Unready.KUBELET
    message = ready.get("message") or ""
    return next((found for words, found in _UNREADY if words.search(message)), Unready.OTHER)
