"""Objects that a check makes for itself, and takes away again."""

import asyncio
import os
import platform
import re
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from mehc_checks.clients.kubernetes.api import KubernetesCluster
from mehc_checks.clients.kubernetes.paths import parts
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.core.text import shortened
from mehc_operator.cli.incluster.manifests import MANAGED, MANAGER, RUN_BY, UNTIL

_GONE: Final = (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND)
_LACKED: Final = re.compile(
    r"APIGroups:\[(?P<group>[^]]*)\], Resources:\[(?P<resource>[^]]*)\].*?Verbs:\[(?P<verbs>[^]]*)\]"
)
_ACCOUNT: Final = "Give --service-account one that has the operator's permissions (docs/permissions.md)."


class Objects:
    """What one check has made, in order; ``delete`` takes it away in the opposite one."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self._made: list[str] = []

    async def create(self, collection: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make an object. Raises Forbidden where the user may not, UsageError where it is refused otherwise."""
        path = f"{collection}/{manifest['metadata']['name']}"
        # Noted before, and not given up half-way: an interrupted request may have made it.
        self._made.append(path)
        asking = asyncio.ensure_future(self._cluster.request("POST", collection, body=manifest))
        try:
            status, body = await asyncio.shield(asking)
        except asyncio.CancelledError:
            await asyncio.wait([asking])
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UsageError(f"the Kubernetes API cannot be reached: {type(error).__name__}") from None
        if status == HTTPStatus.CREATED:
            return body
        self._made.remove(path)
        raise _refusal(status, str(body.get("message", "")), path)

    async def delete(self) -> None:
        """Take everything away; what cannot be is named on standard error."""
        for path in reversed(self._made):
            if not await _deleted(self._cluster, path):
                print(f"left behind: {named(path)}; delete it with: {_command(path)}", file=sys.stderr)
        self._made.clear()


def run_by() -> str:
    """This process, among those of all machines."""
    return f"{_machine()}/{os.getpid()}"


def _machine() -> str:
    return f"{platform.node()}/{uuid.getnode():x}"


async def sweep(cluster: KubernetesCluster, collections: Iterable[str]) -> None:
    """Delete what killed checks left in ``collections``, as far as we may."""
    for collection in collections:
        try:
            found = await cluster.list_metadata(collection, labelSelector=f"{MANAGED}={MANAGER}")
        except CannotEvaluate:
            continue
        for item in (found or {}).get("items") or ():
            if _is_leftover(item["metadata"].get("annotations") or {}):
                await _deleted(cluster, f"{collection}/{item['metadata']['name']}")


def _is_leftover(annotations: Mapping[str, str]) -> bool:
    """Whether its check has ended: its time is over, or its process was one of this machine and is gone."""
    until = annotations.get(UNTIL, "")
    if until.isdigit() and int(until) < time.time():
        return True
    machine, _, process = annotations.get(RUN_BY, "").rpartition("/")
    if machine != _machine() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


async def _deleted(cluster: KubernetesCluster, path: str) -> bool:
    try:
        status, _ = await cluster.request("DELETE", path, body={"propagationPolicy": "Background"})
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
    return status in _GONE


def named(path: str) -> str:
    """ "jobs.batch mehc/x"."""
    group, namespace, resource, name = parts(path)
    kind = f"{resource}.{group}" if group else resource
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _command(path: str) -> str:
    group, namespace, resource, name = parts(path)
    kind = f"{resource}.{group}" if group else resource
    return f"kubectl delete {kind} {name}" + (f" -n {namespace}" if namespace else "")


def _refusal(status: int, message: str, path: str) -> Exception:
    group, namespace, resource, _ = parts(path)
    if status == HTTPStatus.FORBIDDEN and "attempting to grant RBAC permissions" in message:
        lacked = _LACKED.search(message.partition("not currently held")[2])
        what = ""
        if lacked:
            words = {
                key: lacked[key].replace('"', "").replace(" ", ", ") for key in ("group", "resource", "verbs")
            }
            kind = ".".join(filter(None, (words["resource"], words["group"])))
            what = f", such as {words['verbs']} {kind}"
        where = f" in namespace {namespace}" if namespace else ""
        return UsageError(f"you cannot grant the check permissions that you lack{where}{what}. {_ACCOUNT}")
    if status == HTTPStatus.FORBIDDEN and ": User " in message:
        return Forbidden("create", f"{resource}.{group}" if group else resource, namespace=namespace)
    if status == HTTPStatus.NOT_FOUND and namespace:
        return UsageError(f"there is no namespace {namespace}. Correct -n.")
    return UsageError(f"{named(path)} was rejected: {shortened(message)}")
