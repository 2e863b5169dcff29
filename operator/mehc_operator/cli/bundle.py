"""Write one archive to attach to a ticket: reports, endpoints explained, objects, Events and logs, without secrets."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import items
from mehc_checks.core.clock import now
from mehc_checks.core.errors import CannotEvaluate, UsageError
from mehc_checks.core.text import byte_count
from mehc_checks.engine.request import Request
from mehc_operator.cli.cluster import Asked, opened
from mehc_operator.cli.options import cluster_arguments, length
from mehc_operator.cli.resources import path_of, resource_argument
from mehc_operator.models import GROUP, KIND, PLURAL, VERSION, Spec
from mehc_operator.request import request as request_of

EXAMPLES: Final = """\
examples:
  {name} bundle -n model-engine
  {name} bundle -n model-engine --no-logs -o ticket-4711.tar.gz"""


def arguments(parser: argparse.ArgumentParser) -> None:
    resource_argument(parser, default="the only one of the namespace, or none")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the archive to write (default: mehc-bundle-NAMESPACE-TIME.tar.gz here)",
    )
    parser.add_argument("--no-logs", dest="logs", action="store_false", help="read no logs of pods")
    parser.add_argument(
        "--release", default="", metavar="NAME", help="the Helm release, where the namespace has several"
    )
    parser.add_argument(
        "--timeout", type=length, default=length("60s"), help="the time that all may take (default: 60s)"
    )
    cluster_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    return asyncio.run(_bundled(options))


async def _bundled(options: argparse.Namespace) -> int:
    # Here and not above: the templates' engine takes a moment to import.
    from mehc_operator.bundle.archive import Archive
    from mehc_operator.bundle.collect import Collection
    from mehc_operator.bundle.contents import Gathered
    from mehc_operator.bundle.record import RecordingCluster
    from mehc_operator.bundle.scrub import Scrub

    async with opened(options) as at:
        unread: list[str] = []
        stored = await _stored(at, options.name, unread)
        request = _request(stored, at.namespace, unread)
        request = replace(request, release=options.release or request.release, inside=at.cluster.surrounds_us)
        path = options.output or Path(f"mehc-bundle-{at.namespace}-{now():%Y%m%d-%H%M%S}.tar.gz")
        scrub = Scrub()
        scrub.learn(stored or {})
        with Archive(path) as archive:
            collection = Collection(
                cluster=RecordingCluster(at.api, scrub),
                scrub=scrub,
                archive=archive,
                request=request,
                gathered=Gathered(namespace=at.namespace, context=at.context, stored=stored, unread=unread),
                logs=options.logs,
                say=_progress(time.monotonic()),
            )
            await collection.collect(options.timeout.total_seconds())
    size = byte_count(path.stat().st_size)
    notes = f"; {len(unread)} notes in unread.txt" if unread else ""
    print(f"{path}: {len(archive.names)} files, {size}{notes}")
    return 0


def _progress(began: float) -> Any:
    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.1f}s  {what}", file=sys.stderr, flush=True)

    return say


async def _stored(at: Asked, name: str, unread: list[str]) -> Mapping[str, Any] | None:
    """The resource, as the cluster has it; None where there is none. Raises UsageError where ``name`` is none's."""
    try:
        if name:
            found = await at.cluster.get(path_of(at.namespace, name))
            if found is None:
                raise UsageError(f"namespace {at.namespace} has no {KIND} {name}")
            return found
        path = object_path(PLURAL, at.namespace, group=GROUP, version=VERSION)
        some = items(await at.cluster.get(path) or {})
    except CannotEvaluate as problem:
        unread.append(f"the resource: {problem}")
        return None
    if len(some) > 1:
        names = ", ".join(each["metadata"]["name"] for each in some)
        raise UsageError(f"namespace {at.namespace} has several: give one of {names}")
    return {"kind": KIND, **some[0]} if some else None


def _request(stored: Mapping[str, Any] | None, namespace: str, unread: list[str]) -> Request:
    """What the resource asks for; by default, where there is none or it cannot be read."""
    if stored:
        try:
            return request_of(Spec.model_validate(stored.get("spec") or {}), namespace)
        except (ValidationError, UsageError) as error:
            unread.append(f"the spec of the resource cannot be used: {type(error).__name__}")
    return Request(namespace=namespace)
