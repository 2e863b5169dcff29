"""The pod of a check in a Job: whether it runs, and why it does not."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core import duration
from mehc_checks.core.clock import now
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.core.outcome import Finding
from mehc_checks.workload import creation
from mehc_checks.workload.pods import Surroundings, why
from mehc_checks.workload.read import read_event, read_pod
from mehc_checks.workload.reasons import WorkloadReasons
from mehc_operator.cli.incluster.frames import SILENCE, Receiver
from mehc_operator.cli.incluster.manifests import CHECK, Plan
from mehc_operator.cli.incluster.operators import CONTAINER

_POLL: Final = 0.5
"""Seconds between looks at the pod."""
_IMAGE: Final = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_START: Final = ("CreateContainerError", "RunContainerError", "CrashLoopBackOff")
_MADE: Final = 60.0
"""Seconds in which the Job's controller must have made a pod."""
_OTHER_IMAGE: Final = "Correct --image, or name its pull secret with --image-pull-secret."
_SETTLING: Final = 10.0
"""Seconds in which the Job's controller may be refused a pod because its ServiceAccount is not there yet."""


@dataclass(kw_only=True, slots=True)
class JobPod:
    """The pod of the Job that ``plan`` made. Every failure is a UsageError of one line that names the pod."""

    cluster: KubernetesCluster
    plan: Plan
    start_timeout: timedelta

    async def started(self) -> str:
        """Wait until its container runs or has ended, and return its name.

        ``start_timeout`` counts from when there is a pod.
        """
        asked, seen = time.monotonic(), 0.0
        while True:
            pod = await self._pod()
            if pod is None:
                await self._require_admission(time.monotonic() - asked)
            elif _has_begun(pod):
                return str(pod["metadata"]["name"])
            else:
                seen = seen or time.monotonic()
                await self._require_hope(pod)
                if time.monotonic() - seen > self.start_timeout.total_seconds():
                    raise await self._late(pod)
            await asyncio.sleep(_POLL)

    async def follow(self, name: str, receiver: Receiver) -> None:
        """Pass its frames on until the last one. A log that breaks off is read again."""
        path = f"{object_path('pods', self.plan.namespace, name)}/log"
        count, progress = receiver.count, time.monotonic()
        while receiver.status is None:
            pod = await self._pod()
            try:
                query = {"container": CONTAINER, "follow": "true"}
                async with self.cluster.stream(path, query=query, silence=SILENCE) as (status, lines):
                    if status == HTTPStatus.FORBIDDEN:
                        raise Forbidden("get", "pods/log", namespace=self.plan.namespace, name=name)
                    if status == HTTPStatus.OK:
                        async for line in lines:
                            receiver.line(line)
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if receiver.status is None:
                if pod is None or _has_ended(pod):  # before its log was read to the end
                    raise await self._died(pod, name, receiver)
                if receiver.count > count:
                    count, progress = receiver.count, time.monotonic()
                elif time.monotonic() - progress > SILENCE:
                    raise UsageError(
                        f"pod {self.plan.namespace}/{name} has sent nothing for {SILENCE:.0f}s. Check that image "
                        f"{self.plan.image} is mehc's, then run the command again."
                    )
                await asyncio.sleep(_POLL)

    async def _pod(self) -> Mapping[str, Any] | None:
        path = object_path("pods", self.plan.namespace)
        found = await self.cluster.get(path, labelSelector=f"{CHECK}={self.plan.name}")
        return next(iter((found or {}).get("items") or ()), None)

    async def _require_hope(self, pod: Mapping[str, Any]) -> None:
        """Raises UsageError where it cannot start any more, or not without someone's help."""
        status = pod.get("status") or {}
        waiting = [state.get("reason") for state in _states(pod, "waiting")]
        if status.get("phase") == "Failed" or any(each in (*_IMAGE, *_START) for each in waiting):
            found = await self._why(pod)
            image = any(each in _IMAGE for each in waiting)
            raise UsageError(
                f"pod {self.plan.namespace}/{pod['metadata']['name']}: {found.message}. "
                f"{_OTHER_IMAGE if image else found.remediation}"
            )

    async def _require_admission(self, waited: float) -> None:
        """Raises UsageError where the API server does not admit the Job's pod, or no controller makes it."""
        settling = not self.plan.account and waited < _SETTLING
        for event in await self._events("Job", self.plan.name):
            if event.get("reason") == "FailedCreate" and not settling:
                found = creation.read(event.get("message") or "").finding(
                    namespace=self.plan.namespace, pod=self.plan.name, node="NODE", container=CONTAINER
                )
                account = found.reason is WorkloadReasons.SERVICE_ACCOUNT_MISSING
                remedy = "Correct --service-account." if account else found.remediation
                raise UsageError(f"Job {self.plan.namespace}/{self.plan.name}: {found.message}. {remedy}")
        if waited > _MADE:
            raise UsageError(
                f"Job {self.plan.namespace}/{self.plan.name} has made no pod within {_MADE:.0f}s. Check that "
                "kube-controller-manager runs."
            )

    async def _late(self, pod: Mapping[str, Any]) -> UsageError:
        limit = duration.show(self.start_timeout)
        found = await self._why(pod)
        name = pod["metadata"]["name"]
        return UsageError(
            f"pod {self.plan.namespace}/{name} did not start within {limit}: {found.message}. "
            f"{found.remediation} Or raise --start-timeout."
        )

    async def _died(self, pod: Mapping[str, Any] | None, name: str, receiver: Receiver) -> UsageError:
        if pod is None:
            return UsageError(
                f"pod {self.plan.namespace}/{name} was deleted before the check ended. Run the command again."
            )
        if "'relay'" in receiver.foreign:
            return too_old(f"image {self.plan.image}", receiver.foreign)
        found = await self._why(pod)
        said = f" ({receiver.foreign})" if receiver.foreign else ""
        place = f"pod {self.plan.namespace}/{name}"
        return UsageError(f"{place} ended before the check did: {found.message}{said}. {found.remediation}")

    async def _why(self, pod: Mapping[str, Any]) -> Finding:
        name = pod["metadata"]["name"]
        events = tuple(map(read_event, await self._events("Pod", name)))
        around = Surroundings(now=now(), namespace=self.plan.namespace, events={name: events})
        return why(read_pod(pod), around).finding

    async def _events(self, kind: str, name: str) -> list[Mapping[str, Any]]:
        """Oldest first; none where we may not read them."""
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        try:
            found = await self.cluster.get(
                object_path("events", self.plan.namespace), fieldSelector=selector, limit="100"
            )
        except CannotEvaluate:
            return []
        return list((found or {}).get("items") or ())


def too_old(where: str, said: str) -> UsageError:
    """For a mehc that does not know what it is asked for."""
    return UsageError(
        f"{where} has a mehc older than this one ({said}). Upgrade the operator, or give a newer --image."
    )


def _states(pod: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return [state[kind] for each in statuses if kind in (state := each.get("state") or {})]


def _has_begun(pod: Mapping[str, Any]) -> bool:
    return bool(_states(pod, "running") or _states(pod, "terminated"))


def _has_ended(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
