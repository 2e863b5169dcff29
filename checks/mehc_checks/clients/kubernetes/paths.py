"""Paths of the Kubernetes API: of objects and collections, and what RBAC calls a request to one."""

from typing import Final
from urllib.parse import quote

from mehc_checks.core.errors import Forbidden

_LONGEST: Final = 253
"""Characters of a name; the API server has objects of no longer one."""
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def object_path(
    resource: str, namespace: str, name: str | None = None, *, group: str = "", version: str = "v1"
) -> str:
    """The API path of a namespaced object, or of the collection where ``name`` is None; an empty one is no object's."""
    path = f"{_root(group, version)}/namespaces/{_segment(namespace)}/{resource}"
    return path if name is None else f"{path}/{_segment(name)}"


def cluster_path(resource: str, name: str, *, group: str = "", version: str = "v1") -> str:
    """The API path of an object that is in no namespace."""
    return f"{_root(group, version)}/{resource}/{_segment(name)}"


def everywhere(path: str) -> str:
    """The path of the collection at ``path`` in all namespaces."""
    group, namespace, resource, _ = parts(path)
    version = path.split("/")[3 if group else 2]
    return f"{_root(group, version)}/{resource}" if namespace else path


def within(path: str, namespace: str) -> str:
    """The path of the collection at ``path``, which is that of all namespaces, in one of them."""
    head, _, resource = path.rpartition("/")
    return f"{head}/namespaces/{namespace}/{resource}"


def _root(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def _segment(name: str) -> str:
    """``name`` as one part of a path, whatever it is: names come from values.

    The API server answers 400 to names with "/" or "%", "." and ".." are resolved on the way, and an empty name leads
    to the collection. Nothing can have such a name, nor one of more than 253 characters or with control characters, nor
    "-", which it answers with 404.
    """
    impossible = name in ("", ".", "..") or "/" in name or "%" in name or not name.isprintable()
    return "-" if impossible or len(name) > _LONGEST else quote(name, safe="")


def collection(path: str) -> str:
    """What is in the collection at ``path``: "jobs.batch in namespace a"."""
    group, namespace, resource, _ = parts(path)
    kind = f"{resource}.{group}" if group else resource
    return f"{kind} in namespace {namespace}" if namespace else kind


def forbidden(path: str, verb: str = "") -> Forbidden:
    """Forbidden, with verb, resource, namespace and name as RBAC sees a GET of ``path``; ``verb`` if it is another."""
    group, namespace, resource, name = parts(path)
    if group:
        resource = f"{resource}.{group}"
    return Forbidden(verb or verb_of("GET", path), resource, namespace=namespace, name=name)


def verb_of(method: str, path: str) -> str:
    """The verb of RBAC; a watch aside, which is a GET too."""
    _, _, resource, name = parts(path)
    return _VERBS.get(method) or ("list" if resource and not name else "get")


def parts(path: str) -> tuple[str, str | None, str, str | None]:
    """The group ("" for core), namespace, resource and name in an API path; discovery's own have no resource."""
    root, *parts = path.strip("/").split("/")
    group, parts = (parts[0], parts[1:]) if root == "apis" and parts else ("", parts)
    rest = parts[1:]  # after the version
    namespace = None
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource, name, *_ = (*rest, "", "")
    return group, namespace, resource, name or None
