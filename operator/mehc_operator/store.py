"""Writing to the Kubernetes API: the status of a resource, and Events about it."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_operator.events import Event
from mehc_operator.metrics import EVENTS, STATUS_WRITES
from mehc_operator.models import GROUP, KIND, PLURAL, VERSION, ReleaseStatus, StatusReport
from mehc_operator.scheduler import Resource

log = logging.getLogger(__name__)

_RETRIES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts; the last one repeats for as long as the API is away."""
_WORTH_A_RETRY = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
_REPORTER = "model-engine-health-check"


class Store:
    """Writes through one API client, which all resources share. ``may_write``: whether no other operator does."""

    def __init__(self, cluster: KubernetesCluster, *, instance: str, may_write: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._instance = instance
        self._may_write = may_write

    async def write(self, resource: Resource, status: StatusReport) -> bool:
        """Replace the status. Tries until the API takes it; False when the resource is gone.

        The uid goes with the patch, so the API refuses it (409) where the resource was deleted
        and another was created under its name.
        """
        path = object_path(PLURAL, resource.namespace, resource.name, group=GROUP, version=VERSION)
        body = {"metadata": {"uid": resource.uid}, "status": merge_patch(status)}
        answer, message = await self._persist(
            "PATCH", f"{path}/status", body, "application/merge-patch+json", str(resource)
        )
        if answer == HTTPStatus.OK:
            STATUS_WRITES.labels(result="written").inc()
            return True
        if answer in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            STATUS_WRITES.labels(result="gone").inc()
        else:
            STATUS_WRITES.labels(result="refused").inc()
            log.error("the API refused the status of %s: %s %s", resource, answer, message)
        return False

    async def announce(self, resource: Resource, events: Iterable[Event]) -> None:
        """Post Events. One that cannot be posted is logged and dropped: the status tells the same."""
        for event in events:
            if not self._may_write():
                return
            path = object_path("events", resource.namespace)
            try:
                answer, body = await self._cluster.request("POST", path, body=self._manifest(resource, event))
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("no Event %s for %s: %s", event.reason, resource, type(error).__name__)
                return
            if answer == HTTPStatus.CREATED:
                EVENTS.labels(type=event.type).inc()
            else:
                log.warning(
                    "no Event %s for %s: %s %s", event.reason, resource, answer, body.get("message", "")
                )

    async def _persist(
        self, method: str, path: str, body: Mapping[str, Any], content_type: str, what: str
    ) -> tuple[int, str]:
        attempt = 0
        while True:
            # Asked right before each request: whoever was suspended does not know how long, and that others lead.
            if not self._may_write():
                await asyncio.Event().wait()  # for the pass to be cancelled, which is about to happen
            try:
                status, answer = await self._cluster.request(
                    method, path, body=body, content_type=content_type
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                trouble = type(error).__name__
            else:
                message = str(answer.get("message", ""))
                if not _worth_a_retry(status, message):
                    return status, message
                trouble = f"{status} {message}".strip()
            STATUS_WRITES.labels(result="retried").inc()
            delay = _RETRIES[min(attempt, len(_RETRIES) - 1)]
            if attempt in (0, len(_RETRIES)):
                log.warning("cannot write the status of %s (%s), will retry", what, trouble)
            attempt += 1
            await asyncio.sleep(delay)

    def _manifest(self, resource: Resource, event: Event) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "metadata": {
                "name": f"{resource.name[:200]}.{secrets.token_hex(8)}",
                "namespace": resource.namespace,
            },
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
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "count": 1,
            "reportingComponent": _REPORTER,
            "reportingInstance": self._instance[:128],
            "source": {"component": _REPORTER},
        }


def _worth_a_retry(status: int, message: str) -> bool:
    if status == HTTPStatus.CONFLICT:
        return "uid" not in message.lower()  # else the API lost a race of its own
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _WORTH_A_RETRY


def merge_patch(status: StatusReport) -> dict[str, Any]:
    """The whole status as a merge patch: null for what the new one does not have, or has empty."""
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    patch = _with_nulls(StatusReport.model_fields, dumped)
    if isinstance(patch.get("release"), dict):
        patch["release"] = _with_nulls(ReleaseStatus.model_fields, patch["release"])
    return patch


def _with_nulls(fields: Mapping[str, Any], dumped: Mapping[str, Any]) -> dict[str, Any]:
    names: list[str] = [field.alias or name for name, field in fields.items()]
    return {name: value if (value := dumped.get(name)) or value == 0 else None for name in names}
