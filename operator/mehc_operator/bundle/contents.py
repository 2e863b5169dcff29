"""Writes what was collected into the archive: the one place where it is scrubbed, when all secrets are known."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

from mehc_checks.clients.kubernetes.paths import parts
from mehc_checks.core.clock import now
from mehc_checks.core.errors import MehcError
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.report import Report
from mehc_checks.render.documents.base import as_json
from mehc_checks.render.documents.check import check_report
from mehc_checks.render.html import html, rendered
from mehc_checks.render.terminal import Style
from mehc_checks.render.text import render
from mehc_checks.render.text import short as one_line
from mehc_operator.bundle.archive import Archive
from mehc_operator.bundle.record import RecordingCluster
from mehc_operator.bundle.scrub import Scrub, lean
from mehc_operator.pages import page
from mehc_operator.screen import short
from mehc_operator.stored import Resource

_TITLES: Final = {
    "": "About this bundle",
    "check": "Checked from where the bundle was made",
    "endpoints": "Endpoints that are not ready",
    "events": "Events",
    "logs": "The last lines of logs",
    "objects": "Objects that the checks have read",
    "stored": "What the operator has stored",
}


@dataclass(kw_only=True)
class Gathered:
    """What was read, raw. ``stored`` is the resource, where there is one; ``endpoints`` the namespace of endpoints."""

    namespace: str
    context: str
    stored: Mapping[str, Any] | None
    endpoints: str = ""
    report: Report | None = None
    texts: dict[str, str] = field(default_factory=dict)
    """Endpoints explained, Events and logs, by the name of their file."""
    unread: list[str] = field(default_factory=list)
    """What could not be had, and why."""


def write(gathered: Gathered, cluster: RecordingCluster, clean: Scrub, archive: Archive, end: float) -> None:
    """All that was read, scrubbed. What matters most comes first, for an archive that is full or late."""
    add, moment, unread = archive.add, now(), gathered.unread
    said = []
    stored: Resource | None = None
    if gathered.stored is not None:
        add("stored/resource.json", _json(clean.tree(_without_the_values(gathered.stored))))
        try:
            stored = Resource.of(clean.tree({**gathered.stored, "spec": _spec(gathered.stored)}))
        except MehcError as error:
            unread.append(str(error))
    if stored:
        said.append(f"Stored: {short(stored, moment)}")
        add("stored/status.html", page(stored, catalogue(), moment, context=gathered.context))
    if gathered.report:
        report = clean.record(gathered.report)
        said.append(f"Checked now, from here: {one_line(report)}")
        add("check/report.json", as_json(check_report(report, context=gathered.context)))
        add("check/report.html", html(report, now=moment, context=gathered.context))
        add("check/report.txt", render(report, style=Style(), context=gathered.context))
    places = (gathered.namespace, gathered.endpoints)
    objects = [each for each in sorted(cluster.objects.items()) if _belongs(each[0], places)]
    for name, text in gathered.texts.items():
        if time.monotonic() > end:
            unread.append(f"{name}: no time was left to remove secrets from it")
        else:
            add(name, clean.text(text))
    for path, manifest in objects:
        if time.monotonic() > end:
            unread.append("more objects: no time was left to remove secrets from them")
            break
        add(f"objects{_object_file(path)}.json", _json(clean.tree(manifest)))
    add("version.txt", f"mehc {version('mehc')}\nwritten {moment:%Y-%m-%dT%H:%M:%SZ}")
    unread += [f"{count} more of {path}" for path, count in cluster.left_out.items()]
    unread += [f"{name}: the bundle is full" for name in archive.left_out]
    if unread:
        add("unread.txt", clean.text("\n".join(unread)))
    names = archive.names
    add("index.html", index(clean.text(gathered.namespace), said, names, len(unread)))


def index(namespace: str, said: Iterable[str], names: Iterable[str], unread: int) -> str:
    """The page that leads to the files, by what they are; ``said`` are the verdicts."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder = name.partition("/")[0] if "/" in name else ""
        by_folder.setdefault(folder, []).append(name)
    return rendered(
        "bundle.html",
        now=now(),
        served=None,
        namespace=namespace,
        said=said,
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


def _json(tree: Any) -> str:
    return json.dumps(tree, indent=1, ensure_ascii=False)


def _object_file(path: str) -> str:
    return "/".join(file_name(part) if part else "" for part in path.split("/"))


def file_name(name: str) -> str:
    """``name`` as a part of a path in the archive."""
    kept = "".join(each if each.isalnum() or each in "-._" else "_" for each in name)
    return kept.lstrip(".")[:200] or "_"
