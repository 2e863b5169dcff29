"""The Jobs that work on the database: those that failed or have not ended, and what keeps their pods."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Final

from mehc_checks.checks.control_plane.components import around
from mehc_checks.checks.control_plane.facts import Job
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Manifest, Reading
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.endpoints import PROXY
from mehc_checks.workload.diagnose import Cause, diagnose
from mehc_checks.workload.objects import Pod, Workload
from mehc_checks.workload.read import conditions, read_event, read_pod, time
from mehc_checks.workload.reasons import WorkloadReasons as R

_MIGRATION: Final = re.compile(r".*-database-(migration|setup)-\d+")
_OLDEST: Final = datetime.min.replace(tzinfo=UTC)


async def open_jobs(context: Context, read: Reading) -> tuple[Job, ...]:
    """Each Job that migrates or sets up the database and has not succeeded."""
    found = await read.attempt(read.all(object_path("jobs", context.namespace, group="batch")), ())
    unfinished = [
        item
        for item in found
        if _MIGRATION.fullmatch(item["metadata"]["name"])
        and "Complete" not in conditions(item.get("status") or {})
    ]
    return tuple(await asyncio.gather(*(_job(context, read, item) for item in unfinished)))


async def _job(context: Context, read: Reading, item: Manifest) -> Job:
    name, held = item["metadata"]["name"], conditions(item.get("status") or {})
    failed = held.get("Failed")
    ended = failed is not None and failed.status == "True"
    pods_path, events_path = (object_path(kind, context.namespace) for kind in ("pods", "events"))
    pods, events, beside = await asyncio.gather(
        read.attempt(read.all(pods_path, labels=f"job-name={name}"), ()),
        read.attempt(read.all(events_path), ()),
        around(context, read),
    )
    told = (read_event(event) for event in events)
    workload = Workload(
        kind="Job",
        name=name,
        namespace=context.namespace,
        created=time(item["metadata"].get("creationTimestamp")),
        pods=tuple(
            sorted((read_pod(pod) for pod in pods), key=lambda pod: (pod.created or _OLDEST, pod.name))
        ),
        events=tuple(
            sorted(
                (event for event in told if event.name == name or event.name.startswith(f"{name}-")),
                key=lambda event: event.last or _OLDEST,
            )
        ),
    )
    pod, container, sidecar = _held(workload)
    return Job(
        name=name,
        began=workload.created,
        failed=(failed.reason or "it failed") if failed is not None and ended else "",
        cause=None if sidecar else _cause(diagnose(workload, beside), workload, ended=ended),
        pod=pod,
        container=container,
        sidecar=sidecar,
    )


def _cause(found: Cause | None, workload: Workload, *, ended: bool) -> Cause | None:
    """``found``, unless it only says that the pod works, or that nothing is known of a Job which ended."""
    if found is None or (ended and found.reason in (R.NO_PODS, R.POD_NOT_READY)):
        return None
    running = any(_works(pod) for pod in workload.pods)
    return None if running and found.pod else found


def _works(pod: Pod) -> bool:
    """Whether the pod's containers all run: that of a Job is never asked whether it is ready."""
    return pod.phase == "Running" and all(c.running_since for c in pod.containers if not c.init)


def _held(workload: Workload) -> tuple[str, str, str]:
    """The pod, the container that completed its work, and the sidecar that runs on; "" thrice where none does."""
    for pod in workload.pods:
        main = [c for c in pod.containers if not c.init and c.name != PROXY]
        proxy = [c for c in pod.containers if c.name == PROXY and c.running_since]
        if pod.phase == "Running" and main and proxy and all(c.exit_code == 0 for c in main):
            return pod.name, main[0].name, proxy[0].name
    return "", "", ""
