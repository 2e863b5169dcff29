"""Writing to the Kubernetes API: the status of a resource, and Events about it."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.texts import is_missing
from mehc_operator.announcements import Announcements
from mehc_operator.crd import status_schema
from mehc_operator.events import Event, refusal
from mehc_operator.limits import LARGEST, MESSAGE, SUMMARY, conforming, cut, fitting, least
from mehc_operator.metrics import EVENTS, STATUS_WRITES
from mehc_operator.models import GROUP, PLURAL, VERSION
from mehc_operator.reasons import OperatorReasons as R
from mehc_operator.scheduler import Resource
from mehc_operator.status import ReleaseStatus, StatusReport

log = logging.getLogger(__name__)

_RETRIES: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between attempts; the last one repeats for as long as the API is away."""
_SIZES: Final = (LARGEST, LARGEST // 4, LARGEST // 16)
"""Bytes that a status may have, the smaller ones where the API refuses it: the spec takes the room then."""
_WORTH_A_RETRY: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
Answer = Mapping[str, Any]
"""The API server's JSON."""


class Written(StrEnum):
    """What became of a status. REFUSED: not even the verdict alone was taken."""

    WRITTEN = "written"
    GONE = "gone"
    REFUSED = "refused"


_SETTLED: Final[Mapping[int, Written]] = {
    HTTPStatus.OK: Written.WRITTEN,
    HTTPStatus.NOT_FOUND: Written.GONE,
    HTTPStatus.CONFLICT: Written.GONE,
}
_TOO_LARGE: Final = ("too large", "larger than max", "too long: must have at most")
"""What etcd, its client and the API server say of an object, beside the status 413."""


class Store:
    """Writes through one API client, which all resources share. ``may_write``: whether no other operator does."""

    def __init__(
        self,
        cluster: KubernetesCluster,
        *,
        instance: str,
        may_write: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._may_write = may_write
        self._clock = clock
        self._announcements = Announcements(cluster, instance=instance, clock=clock)

    async def write(self, resource: Resource, status: StatusReport) -> Written:
        """Replace the status, cut to what the API takes. Tries until the API answers.

        Where it rejects the status at every size, or for what the object says, the verdict alone is written, and an
        Event says why: the verdict before it must not stay.

        The uid goes with the patch, so the API refuses it (409) where the resource was deleted
        and another was created under its name.
        """
        for size in _SIZES:
            code, answer = await self._persist(resource, fitting(status, size))
            if not _is_too_large(code, answer):
                break
        if code not in _SETTLED:
            log.error(
                "the API refused the status of %s: %s %s", resource, code, cut(_message(answer), MESSAGE)
            )
            why = (
                R.STATUS_TOO_LARGE()
                if _is_too_large(code, answer)
                else R.STATUS_REJECTED(fields=_fields(answer))
            )
            code, _ = await self._persist(resource, least(status))
            await self.announce(resource, [refusal(why)])
        written = _SETTLED.get(code, Written.REFUSED)
        STATUS_WRITES.labels(result=written).inc()
        return written

    async def announce(self, resource: Resource, events: Iterable[Event]) -> None:
        """Post Events. One that cannot be posted is logged and dropped: the status says the same."""
        for event in events:
            if not self._may_write():
                return
            try:
                trouble = await self._announcements.post(resource, event)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                log.warning("no Event %s for %s: %s", event.reason, resource, type(error).__name__)
                return
            if trouble:
                log.warning("no Event %s for %s: %s", event.reason, resource, trouble)
            else:
                EVENTS.labels(type=event.type).inc()

    async def _persist(self, resource: Resource, status: StatusReport) -> tuple[int, Answer]:
        """The API's answer, once there is one that another attempt would not change."""
        path = object_path(PLURAL, resource.namespace, resource.name, group=GROUP, version=VERSION)
        attempt = 0
        while True:
            # Asked right before each request: whoever was suspended does not know how long, and that others lead.
            if not self._may_write():
                await asyncio.Event().wait()  # for the probe run to be cancelled, which is about to happen
            body = {"metadata": {"uid": resource.uid}, "status": merge_patch(self._timely(status))}
            try:
                code, answer = await self._cluster.request(
                    "PATCH", f"{path}/status", body=body, content_type="application/merge-patch+json"
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                trouble = type(error).__name__
            else:
                if not _worth_a_retry(code, answer):
                    return code, answer
                trouble = f"{code} {cut(_message(answer), MESSAGE)}".strip()
            STATUS_WRITES.labels(result="retried").inc()
            delay = _RETRIES[min(attempt, len(_RETRIES) - 1)]
            if attempt in (0, len(_RETRIES)):
                log.warning("cannot write the status of %s (%s), will retry", resource, trouble)
            attempt += 1
            await asyncio.sleep(delay)

    def _timely(self, status: StatusReport) -> StatusReport:
        """A probe run that has become due while the API was away begins right after the write."""
        if status.next_probe_time is None:
            return status
        return status.model_copy(update={"next_probe_time": max(status.next_probe_time, self._clock())})


def _worth_a_retry(code: int, answer: Answer) -> bool:
    if code == HTTPStatus.CONFLICT:
        return "uid" not in _message(answer).lower()  # else the API lost a race of its own
    if _is_too_large(code, answer):
        return False
    if code in (HTTPStatus.OK, HTTPStatus.NOT_FOUND) and not (
        answer.get("metadata") or is_missing(code, answer)
    ):
        return True  # a page of a proxy's
    return code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _WORTH_A_RETRY


def _is_too_large(code: int, answer: Answer) -> bool:
    said = _message(answer).lower()
    return code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or any(words in said for words in _TOO_LARGE)


def _message(answer: Answer) -> str:
    return str(answer.get("message", ""))


def _fields(answer: Answer) -> str:
    """What the API server names in the object, never its values."""
    causes = (answer.get("details") or {}).get("causes") or ()
    fields = [str(cause.get("field", "")) for cause in causes]
    named = dict.fromkeys(field for field in fields if field and field != "<nil>")
    return cut(", ".join(named), SUMMARY) or str(answer.get("reason", "no reason given"))


def merge_patch(status: StatusReport) -> dict[str, Any]:
    """The whole status as a merge patch: null for what the new one does not have, or has empty."""
    dumped = conforming(status.model_dump(mode="json", by_alias=True, exclude_defaults=True), status_schema())
    patch = _with_nulls(StatusReport.model_fields, dumped)
    if isinstance(patch.get("release"), dict):
        patch["release"] = _with_nulls(ReleaseStatus.model_fields, patch["release"])
    return patch


def _with_nulls(fields: Mapping[str, Any], dumped: Mapping[str, Any]) -> dict[str, Any]:
    names: list[str] = [field.alias or name for name, field in fields.items()]
    return {name: value if (value := dumped.get(name)) or value == 0 else None for name in names}
