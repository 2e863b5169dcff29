"""Collects what a bundle has, stage by stage: one that cannot be had is noted, and the others go on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import aiohttp

from mehc_checks.checks.endpoints.explain import Explanation, explain
from mehc_checks.checks.endpoints.parameters import EndpointParameters
from mehc_checks.clients.kubernetes.paths import object_path, parts
from mehc_checks.core.clock import now
from mehc_checks.core.errors import MehcError
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Report
from mehc_checks.engine.request import Prepared, Request, Sources, diagnose, prepare
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.render.documents.base import as_json
from mehc_checks.render.documents.check import check_report
from mehc_checks.render.explain import text as explained
from mehc_checks.render.html import html, rendered
from mehc_checks.render.terminal import Style
from mehc_checks.render.text import render
from mehc_operator.bundle.archive import Archive
from mehc_operator.bundle.record import RecordingCluster
from mehc_operator.bundle.scrub import Scrub, lean
from mehc_operator.cli.incluster.operators import Operator, operator_of
from mehc_operator.pages import page
from mehc_operator.stored import Resource

MOST_EXPLAINED: Final = 20
MOST_LOGS: Final = 40
"""Pods whose logs are read."""
_TITLES: Final = {
    "": "About this bundle",
    "check": "Checked from where the bundle was made",
    "endpoints": "Endpoints that are not ready",
    "events": "Events",
    "logs": "The last lines of logs",
    "objects": "Objects that the checks have read",
    "stored": "What the operator has stored",
}
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
    """What is collected, about ``request``. ``stored`` is the resource, where there is one."""

    cluster: RecordingCluster
    scrub: Scrub
    archive: Archive
    request: Request
    context: str
    stored: Mapping[str, Any] | None
    logs: bool
    say: Callable[[str], None]
    unread: list[str] = field(default_factory=list)
    """What could not be had, and why."""
    _report: Report | None = None
    _explanation: Explanation | None = None
    _endpoints: str = ""
    _texts: dict[str, str] = field(default_factory=dict)
    """Events and logs by the name of their file, raw: all secrets are known only when all was read."""

    async def collect(self, seconds: float) -> None:
        """Read for most of so long, then write what there is; what that leaves no time for is noted."""
        end = time.monotonic() + seconds
        try:
            async with asyncio.timeout(seconds * _READING):
                await self._read()
        except TimeoutError:
            self.unread.append(f"whatever was not read within {seconds * _READING:g} s")
        self.say("writing")
        self._write(end)

    async def _read(self) -> None:
        prepared = await self._stage("what is installed", self._prepared())
        await self._stage("checks", self._diagnosed(prepared))
        if prepared:
            await self._stage("endpoints", self._explained(prepared))
        places = dict.fromkeys(filter(None, (self.request.namespace, self._endpoints)))
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
        except (MehcError, aiohttp.ClientError, OSError) as error:
            known = isinstance(error, MehcError)
            self.unread.append(f"{what}: {error if known else type(error).__name__}")
            return None

    async def _prepared(self) -> Prepared:
        prepared = await prepare(self.request, Sources(cluster=self.cluster))
        for layer in prepared.installation.layers if prepared.installation else ():
            self.scrub.learn(layer.values)
        self.scrub.learn(prepared.values.tree)
        self._endpoints = Configuration(prepared.values).endpoint_namespace or self.request.namespace
        return prepared

    async def _diagnosed(self, prepared: Prepared | None) -> None:
        sources = Sources(cluster=self.cluster)
        self._report = await diagnose(catalogue().values(), self.request, sources, prepared=prepared)

    async def _explained(self, prepared: Prepared) -> None:
        async with self._asking(prepared) as context:
            self._explanation = await explain(context)
            for found in self._explanation.endpoints[:MOST_EXPLAINED]:
                one = await explain(context, found.endpoint_id)
                name = f"endpoints/{_file(found.endpoint_id)}.txt"
                self._texts[name] = explained(one, one=True, style=Style())

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
        self._texts[f"events/{_file(namespace)}.txt"] = "\n".join(lines)

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
                if name.startswith(stuck) if place == self._endpoints and stuck else True:
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
                file = f"logs/{_file(namespace)}/{_file(name)}.{_file(container['name'])}{suffix}.log"
                path = f"{object_path('pods', namespace, name)}/log"
                query |= {"previous": "true"} if previous else {}
                try:
                    async with self.cluster.stream(path, query=query, silence=10) as (code, answer):
                        text = b"\n".join([line async for line in answer]).decode(errors="replace")
                except (aiohttp.ClientError, OSError, TimeoutError) as error:
                    self.unread.append(f"{file}: {type(error).__name__}")
                    continue
                if code == 200:
                    self._texts[file] = text
                else:
                    self.unread.append(f"{file}: {code} {_message(text)}")

    def _write(self, end: float) -> None:
        """All that was read, scrubbed. What matters most comes first, for an archive that is full or late."""
        add, clean, moment = self.archive.add, self.scrub, now()
        stored: Resource | None = None
        if self.stored is not None:
            add("stored/resource.json", _json(clean.tree(_without_the_values(self.stored))))
            try:
                stored = Resource.of(clean.tree({**self.stored, "spec": _spec(self.stored)}))
            except MehcError as error:
                self.unread.append(str(error))
        if stored:
            add("stored/status.html", page(stored, catalogue(), moment, context=self.context))
        if self._report:
            report = clean.record(self._report)
            add("check/report.json", as_json(check_report(report, context=self.context)))
            add("check/report.html", html(report, now=moment, context=self.context))
            add("check/report.txt", render(report, style=Style(), context=self.context))
        places = (self.request.namespace, self._endpoints)
        objects = [each for each in sorted(self.cluster.objects.items()) if _belongs(each[0], places)]
        for name, text in self._texts.items():
            if time.monotonic() > end:
                self.unread.append(f"{name}: no time was left to remove secrets from it")
            else:
                add(name, clean.text(text))
        for path, manifest in objects:
            if time.monotonic() > end:
                self.unread.append("more objects: no time was left to remove secrets from them")
                break
            add(f"objects{_object_file(path)}.json", _json(clean.tree(manifest)))
        add("version.txt", f"mehc {version('mehc')}\nwritten {moment:%Y-%m-%dT%H:%M:%SZ}")
        self.unread += [f"{count} more of {path}" for path, count in self.cluster.left_out.items()]
        self.unread += [f"{name}: the bundle is full" for name in self.archive.left_out]
        if self.unread:
            add("unread.txt", clean.text("\n".join(self.unread)))
        names = self.archive.names
        add("index.html", index(clean.text(self.request.namespace), names, len(self.unread)))


def index(namespace: str, names: Iterable[str], unread: int) -> str:
    """The page that leads to the files, by what they are."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder = name.partition("/")[0] if "/" in name else ""
        by_folder.setdefault(folder, []).append(name)
    return rendered(
        "bundle.html",
        now=now(),
        served=None,
        namespace=namespace,
        folders=by_folder,
        titles=_TITLES,
        unread=unread,
    )


def _without_the_values(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource with names in place of ``spec.values``, of which any could be a secret."""
    manifest = lean(resource)
    spec = dict(manifest.get("spec") or {})
    if isinstance(values := spec.pop("values", None), Mapping):
        spec["valuesNames"] = sorted(map(str, values))
    return {**manifest, "spec": spec}


def _spec(resource: Mapping[str, Any]) -> dict[str, Any]:
    """What the age of a verdict needs."""
    spec = resource.get("spec") or {}
    return {name: spec[name] for name in ("interval", "suspend") if name in spec}


def _belongs(path: str, namespaces: tuple[str, ...]) -> bool:
    """Whether it is of the installation: pods of others are read to count what nodes have free. Events have a file."""
    _, namespace, resource, _ = parts(path)
    return resource != "events" and (namespace in namespaces or resource != "pods")


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


def _json(tree: Any) -> str:
    return json.dumps(tree, indent=1, ensure_ascii=False)


def _object_file(path: str) -> str:
    return "/".join(_file(part) if part else "" for part in path.split("/"))


def _file(name: str) -> str:
    """``name`` as a part of a path in the archive."""
    kept = "".join(each if each.isalnum() or each in "-._" else "_" for each in name)
    return kept.lstrip(".")[:200] or "_"
