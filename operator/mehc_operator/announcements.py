"""Events in the cluster: a transition that is seen again counts up the Event that it has."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_operator.events import Event
from mehc_operator.models import GROUP, KIND, VERSION
from mehc_operator.scheduler import Resource

_REPORTER: Final = "model-engine-health-check"
_MERGE: Final = "application/merge-patch+json"
_LIFE: Final = timedelta(minutes=50)
"""How long an Event is counted up: the API server deletes it an hour after the last time."""
_MOST: Final = 5000
"""Events that are remembered, of all resources."""


@dataclass(kw_only=True, slots=True)
class _Posted:
    name: str
    count: int
    last: datetime


class Announcements:
    """Posts Events, and remembers them for as long as they may be seen again."""

    def __init__(self, cluster: KubernetesCluster, *, instance: str, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._instance = instance
        self._clock = clock
        self._posted: OrderedDict[tuple[str, str], _Posted] = OrderedDict()

    async def post(self, resource: Resource, event: Event) -> str:
        """Why the API refused it, or "". Raises aiohttp.ClientError, OSError and TimeoutError."""
        now = self._clock()
        key = (resource.uid, event.series)
        path = object_path("events", resource.namespace)
        posted = self._posted.pop(key, None)
        if posted is not None and now - posted.last < _LIFE:
            again = _Posted(name=posted.name, count=posted.count + 1, last=now)
            status, _ = await self._cluster.request(
                "PATCH", f"{path}/{again.name}", body=_repeated(event, again), content_type=_MERGE
            )
            if status == HTTPStatus.OK:
                self._remember(key, again)
                return ""
        new = _Posted(name=f"{resource.name[:200]}.{secrets.token_hex(8)}", count=1, last=now)
        status, answer = await self._cluster.request("POST", path, body=self._manifest(resource, event, new))
        if status == HTTPStatus.CREATED:
            self._remember(key, new)
            return ""
        return f"{status} {answer.get('message', '')}".strip()

    def _remember(self, key: tuple[str, str], posted: _Posted) -> None:
        self._posted[key] = posted
        while len(self._posted) > _MOST:
            self._posted.popitem(last=False)

    def _manifest(self, resource: Resource, event: Event, posted: _Posted) -> dict[str, Any]:
        return {
            "metadata": {"name": posted.name, "namespace": resource.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": resource.namespace,
                "name": resource.name,
                "uid": resource.uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "action": "Probe",
            "eventTime": _micro(posted.last),
            "firstTimestamp": _second(posted.last),
            "lastTimestamp": _second(posted.last),
            "count": 1,
            "reportingComponent": _REPORTER,
            "reportingInstance": self._instance[:128],
            "source": {"component": _REPORTER},
        }


def _repeated(event: Event, posted: _Posted) -> Mapping[str, Any]:
    """The patch: both of the API's versions have a count of their own."""
    return {
        "message": event.message,
        "count": posted.count,
        "lastTimestamp": _second(posted.last),
        "series": {"count": posted.count, "lastObservedTime": _micro(posted.last)},
    }


def _micro(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _second(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
