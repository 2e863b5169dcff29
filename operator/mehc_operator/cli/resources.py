"""The resources ModelEngineHealthCheck that a command is about."""

import argparse
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import items, pages
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_operator.cli.cluster import Asked
from mehc_operator.models import GROUP, KIND, PLURAL, VERSION
from mehc_operator.stored import Resource


def resource_argument(parser: argparse.ArgumentParser, *, default: str) -> None:
    """``default`` is which resources are meant where no name is given."""
    parser.add_argument(
        "name",
        nargs="?",
        default="",
        metavar="NAME",
        help=f"the {KIND} (default: {default})",
    )
    parser.add_argument(
        "-n", "--namespace", default="", metavar="NAME", help="the namespace (default: that of the context)"
    )


def path_of(namespace: str, name: str) -> str:
    """The API path of a resource."""
    return object_path(PLURAL, namespace, name, group=GROUP, version=VERSION)


async def found(at: Asked, name: str, *, everywhere: bool = False) -> list[Resource]:
    """The resource ``name``, which needs ``get``; all of the namespace, or of the cluster. Raises UsageError."""
    try:
        if name:
            one = await at.cluster.get(path_of(at.namespace, name))
            if one is None:
                raise UsageError(f"namespace {at.namespace} has no {KIND} {name}{await _hint(at)}")
            return [Resource.of(one)]
        path = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
        if not everywhere:
            path = object_path(PLURAL, at.namespace, group=GROUP, version=VERSION)
        some = [Resource.of(item) async for page in pages(at.cluster, path) for item in items(page)]
    except Forbidden as error:
        hint = "" if name else "; give the NAME of one" if not everywhere else "; leave --all-namespaces out"
        raise UsageError(f"{error}{hint}") from None
    except CannotEvaluate as error:
        raise UsageError(str(error)) from None
    if not some:
        where = "the cluster" if everywhere else f"namespace {at.namespace}"
        raise UsageError(f"{where} has no {KIND}{'' if everywhere else await _hint(at)}")
    return some


async def the_one(at: Asked, name: str) -> Resource:
    """The resource ``name``, or the only one of the namespace. Raises UsageError."""
    some = await found(at, name)
    if len(some) > 1:
        raise UsageError(
            f"namespace {at.namespace} has several: give one of {', '.join(each.name for each in some)}"
        )
    return some[0]


async def patched(at: Asked, resource: Resource, body: Mapping[str, Any]) -> bool:
    """Merge ``body`` into the resource; False where it names another ``resourceVersion``. Raises UsageError."""
    code, answer = await at.cluster.request(
        "PATCH",
        path_of(resource.namespace, resource.name),
        body=body,
        content_type="application/merge-patch+json",
    )
    if code == HTTPStatus.FORBIDDEN:
        raise UsageError(f"not allowed to patch {resource.name} in namespace {resource.namespace}")
    if code not in (HTTPStatus.OK, HTTPStatus.CONFLICT):
        raise UsageError(f"the Kubernetes API answered {code}: {answer.get('message', '')}")
    return code == HTTPStatus.OK


async def _hint(at: Asked) -> str:
    """Where there are some, as far as we may look; or that their kind is unknown."""
    path = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
    try:
        listed = await at.cluster.list_metadata(path, limit="500")
    except CannotEvaluate:
        return ""
    if listed is None:
        return f": the CRD {PLURAL}.{GROUP} is not installed"
    some = sorted(f"-n {each['metadata']['namespace']} {each['metadata']['name']}" for each in items(listed))
    more = f" and {len(some) - 5} more" if len(some) > 5 else ""
    return f"; there are: {', '.join(some[:5])}{more}" if some else "; the cluster has none"
