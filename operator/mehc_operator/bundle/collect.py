"""Collects what a bundle has, stage by stage: one that cannot be had is noted, and the others go on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from pydantic import ValidationError

from mehc_checks.checks.endpoints.explain import Explanation, explain
from mehc_checks.checks.endpoints.parameters import EndpointParameters
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import MehcError
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.request import Prepared, Request, Sources, diagnose, prepare
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.render.explain import text as explained
from mehc_checks.render.terminal import Style
from mehc_operator.bundle.archive import Archive
from mehc_operator.bundle.contents import Gathered, file_name, write
from mehc_operator.bundle.record import RecordingCluster
from mehc_operator.bundle.scrub import Scrub
from mehc_operator.cli.incluster.operators import Operator, operator_of

MOST_EXPLAINED: Final = 20
MOST_LOGS: Final = 40
"""Pods whose logs are read."""
_EVENTS: Final = 500
"""Of one namespace."""
_LINES: Final = 200
"""Of one container's log."""
_OPERATOR_LINES: Final = 1000
_LOG_BYTES: Final = 256 * 1024
_READING: Final = 0.75
"""Of the time; the rest is for scrubbing and writing."""
_AT_ONCE: Final = 8
"""Logs that are read at the same time."""


@dataclass(kw_only=True)
class Collection:
    """What is collected, about ``request``, into ``gathered``. ``say`` tells of progress."""

    cluster: RecordingCluster
    scrub: Scrub
    archive: Archive
    request: Request
    gathered: Gathered
    logs: bool
    say: Callable[[str], None]
    _explanation: Explanation | None = None

    async def collect(self, seconds: float) -> None:
        """Read for most of so long, then write what there is; what that leaves no time for is noted."""
        end = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds * _READING):
                await self._read()
        except TimeoutError:
            self.gathered.unread.append(f"whatever was not read within {seconds * _READING:g} s")
        self.say("writing")
        write(self.gathered, self.cluster, self.scrub, self.archive, end)

    async def _read(self) -> None:
        prepared = await self._stage("what is installed", self._prepared())
        await self._stage("checks", self._diagnosed(prepared))
        if prepared:
            await self._stage("endpoints", self._explained(prepared))
        places = dict.fromkeys(filter(None, (self.request.namespace, self.gathered.endpoints)))
        for place in places:
            await self._stage(f"Events of namespace {place}", self._events(place))
        operator = await self._stage("the operator", operator_of(self.cluster, self.request.namespace))
        if self.logs:
            await self._stage("logs", self._read_logs(operator, places))

    async def _stage(self, what: str, work: Awaitable[Any]) -> Any:
        """The result of ``work``; None, and a note, where it failed."""
        self.say(f"reading {what}")
        try:
            return await work
        except (MehcError, ValidationError, aiohttp.ClientError, OSError) as error:
            known = isinstance(error, MehcError)
            self.gathered.unread.append(f"{what}: {error if known else type(error).__name__}")
            return None

    async def _prepared(self) -> Prepared:
        prepared = await prepare(self.request, Sources(cluster=self.cluster))
        for layer in prepared.installation.layers if prepared.installation else ():
            self.scrub.learn(layer.values)
        self.scrub.learn(prepared.values.tree)
        self.gathered.endpoints = Configuration(prepared.values).endpoint_namespace or self.request.namespace
        return prepared

    async def _diagnosed(self, prepared: Prepared | None) -> None:
        sources = Sources(cluster=self.cluster)
        self.gathered.report = await diagnose(catalogue().values(), self.request, sources, prepared=prepared)

    async def _explained(self, prepared: Prepared) -> None:
        async with self._asking(prepared) as context:
            self._explanation = await explain(context)
            for found in self._explanation.endpoints[:MOST_EXPLAINED]:
                one = await explain(context, found.endpoint_id)
                name = f"endpoints/{file_name(found.endpoint_id)}.txt"
                self.gathered.texts[name] = explained(one, one=True, style=Style())

    @asynccontextmanager
    async def _asking(self, prepared: Prepared) -> AsyncIterator[Context]:
        given = self.request.checks.get("EndpointsReady")
        parameters = EndpointParameters.model_validate(given.parameters if given else {})
        context = Context(
            values=prepared.values,
            installation=prepared.installation,
            cluster=self.cluster,
            namespace=self.request.namespace,
            timeout=self.request.timeout,
            inside=self.request.inside,
            parameters={EndpointParameters: parameters},
        )
        try:
            yield context
        finally:
            await context.close()

    async def _events(self, namespace: str) -> None:
        found = await self.cluster.get(object_path("events", namespace), limit=str(_EVENTS))
        lines = sorted(map(_event, (found or {}).get("items") or ()))
        self.gathered.texts[f"events/{file_name(namespace)}.txt"] = "\n".join(lines)

    async def _read_logs(self, operator: Operator | None, places: Iterable[str]) -> None:
        wanted = [(pod, _LINES) for pod in self._troubled(places)][:MOST_LOGS]
        if operator:
            for name in operator.ready:
                pod = await self.cluster.get(object_path("pods", operator.namespace, name))
                wanted += [(pod, _OPERATOR_LINES)] if pod else []
        free = asyncio.Semaphore(_AT_ONCE)

        async def read(pod: Mapping[str, Any], lines: int) -> None:
            async with free:
                await self._log(pod, lines)

        await asyncio.gather(*(read(pod, lines) for pod, lines in wanted))

    def _troubled(self, places: Iterable[str]) -> list[Mapping[str, Any]]:
        """The pods of the control plane, and those of endpoints that are not ready; as the checks have read them."""
        stuck = tuple(f"{one.kubernetes_name}-" for one in self._unready())
        found = []
        for place in places:
            for pod in self.cluster.pods(place):
                name = pod["metadata"]["name"]
                if name.startswith(stuck) if place == self.gathered.endpoints and stuck else True:
                    found.append(pod)
        own = self.request.namespace
        return sorted(found, key=lambda pod: pod["metadata"].get("namespace") != own)

    def _unready(self) -> Iterable[Any]:
        return self._explanation.endpoints[:MOST_EXPLAINED] if self._explanation else ()

    async def _log(self, pod: Mapping[str, Any], lines: int) -> None:
        """The last lines of each container, and of the one before it where it was restarted."""
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        status = pod.get("status") or {}
        for container in (
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        ):
            for previous in (False, True) if container.get("restartCount") else (False,):
                query = {
                    "container": container["name"],
                    "tailLines": str(lines),
                    "limitBytes": str(_LOG_BYTES),
                    "timestamps": "true",
                }
                suffix = ".previous" if previous else ""
                file = f"logs/{file_name(namespace)}/{file_name(name)}.{file_name(container['name'])}{suffix}.log"
                path = f"{object_path('pods', namespace, name)}/log"
                query |= {"previous": "true"} if previous else {}
                try:
                    async with self.cluster.stream(path, query=query, silence=10) as (code, answer):
                        text = b"\n".join([line async for line in answer]).decode(errors="replace")
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.gathered.unread.append(f"{file}: {type(error).__name__}")
                    continue
                if code == 200:
                    self.gathered.texts[file] = text
                else:
                    self.gathered.unread.append(f"{file}: {code} {_message(text)}")


def _event(event: Mapping[str, Any]) -> str:
    about = event.get("involvedObject") or {}
    when = event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp") or ""
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    what = f"{about.get('kind')}/{about.get('name')}"
    message = " ".join(str(event.get("message", "")).split())
    return f"{when} {event.get('type')} {event.get('reason')} {what} ({count}x): {message}"


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        return ""
