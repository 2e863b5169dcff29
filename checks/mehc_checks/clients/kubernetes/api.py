"""Reading the cluster: the port that gatherers use, and its implementation on the Kubernetes API."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import client

from mehc_checks.clients.kubernetes.paths import forbidden, verb_of
from mehc_checks.clients.kubernetes.reasons import KubernetesReasons as K
from mehc_checks.clients.kubernetes.texts import JSON, METADATA, Secret, Texts, parsed
from mehc_checks.clients.network.keepalive import keep_alive
from mehc_checks.core.errors import CannotEvaluate, NotApplicable

_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
"""Of one request but a watch: an API server that hangs must not hold a pass for good."""

LARGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes. Decoded, they are five times as many; one object has 1.5 MB at most, and a page of a list is made smaller."""


_NO_GROUP: Final = b"404 page not found"
"""What the API server says of a group that it does not serve; all else that it says is JSON."""


class AnswerTooLarge(CannotEvaluate):
    """An answer of more bytes than LARGEST_ANSWER."""


T = TypeVar("T")

Observer = Callable[[str, str], None]
"""Told of each request: the verb as RBAC has it, and the HTTP status of the answer, or "error" where none came."""


_REFUSALS: Final = {
    "exceeded quota": "its quota is used up",
    "violates PodSecurity": "pod security admission",
    "error looking up service account": "its ServiceAccount does not exist",
    "admission webhook": "an admission webhook",
}
"""Words of the API server's own admission plugins, and what they mean."""


class Cluster(Protocol):
    """What gatherers may ask of Kubernetes.

    Every method raises Forbidden when the API refuses, CannotEvaluate when it cannot
    be asked, and NotApplicable when there is no cluster at all.
    """

    @property
    def surrounds_us(self) -> bool:
        """Whether this process is in a pod of this cluster, so that its Services can be reached by name."""

    async def secret(self, namespace: str, name: str) -> Secret | None:
        """The Secret, or None when it does not exist."""

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """The data of the ConfigMap, or None when it does not exist."""

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        """The JSON at an API path such as ``/apis/apps/v1/namespaces/x/deployments``; None on 404."""

    async def get_metadata(self, path: str) -> Mapping[str, Any] | None:
        """``get`` of one object, of which the API server sends no more than its metadata."""

    async def list_metadata(self, path: str, **query: str) -> Mapping[str, Any] | None:
        """``get`` of a list, of whose objects the API server sends no more than their metadata."""

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
        """The object that was created in the collection at ``path``, or why admission refused it, in a word or two."""

    async def delete(self, path: str, *, uid: str) -> None:
        """Delete the object at ``path`` if it is still the one of this ``uid``."""


class NoCluster:
    """Stands where no cluster was given: checks that need one are skipped."""

    surrounds_us = False

    async def secret(self, namespace: str, name: str) -> Secret | None:
        raise NotApplicable(f"no cluster to read Secret {name} from")

    async def config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        raise NotApplicable(f"no cluster to read ConfigMap {name} from")

    async def get(self, path: str, **query: str) -> Mapping[str, Any] | None:
        raise NotApplicable("no cluster")

    async def get_metadata(self, path: str) -> Mapping[str, Any] | None:
        raise NotApplicable("no cluster")

    async def list_metadata(self, path: str, **query: str) -> Mapping[str, Any] | None:
        raise NotApplicable("no cluster")

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
        raise NotApplicable("no cluster")

    async def delete(self, path: str, *, uid: str) -> None:
        raise NotApplicable("no cluster")


class KubernetesCluster(Texts):
    """The cluster behind an asynchronous API client (``kubernetes.aio``), which the caller closes."""

    def __init__(self, api: client.ApiClient, *, observe: Observer = lambda verb, code: None) -> None:
        self._api = api
        self._observe = observe

    @property
    def surrounds_us(self) -> bool:
        # not by the variable alone: a kubeconfig may lead out of the pod's own cluster
        host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
        asked = urlsplit(self._api.configuration.host)
        return bool(host) and (asked.hostname, str(asked.port or 443)) == (host, port)

    async def text(self, path: str, query: Mapping[str, str], accept: str) -> bytes | None:
        status, text = await self._answered(self._exchange("GET", path, query=query, accept=accept))
        if status == HTTPStatus.FORBIDDEN:
            raise forbidden(path)
        if status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise _unexpected(status, "GET", path)
        if not text.startswith(b"{") and not (text.strip() == _NO_GROUP and path.startswith("/apis/")):
            detail = f"a page that is not the API server's ({status} to GET {path})"
            raise CannotEvaluate(K.ERROR, detail=detail)
        return text if status == HTTPStatus.OK else None

    async def create(self, path: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
        status, body = await self._asked("POST", path, body=manifest)
        if status == HTTPStatus.CREATED:
            return body
        # RBAC and admission both answer 403; only the authorizer's answer begins with who asked.
        said = str(body.get("message", ""))
        if status == HTTPStatus.FORBIDDEN and ": User " in said:
            raise forbidden(path, "create")
        for words, refusal in _REFUSALS.items():
            if words in said:
                return refusal
        if status in (HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            return str(body.get("reason", status))
        raise _unexpected(status, "POST", path)

    async def delete(self, path: str, *, uid: str) -> None:
        options = {"preconditions": {"uid": uid}}
        status, _ = await self._asked("DELETE", path, body=options)
        if status == HTTPStatus.FORBIDDEN:
            raise forbidden(path, "delete")
        if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            raise _unexpected(status, "DELETE", path)

    async def _asked(self, method: str, path: str, **words: Any) -> tuple[int, dict[str, Any]]:
        """``request``; raises CannotEvaluate when there is no answer."""
        return await self._answered(self.request(method, path, **words))

    @staticmethod
    async def _answered(asked: Awaitable[T]) -> T:
        try:
            return await asked
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CannotEvaluate(K.UNREACHABLE, detail=type(error).__name__) from None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> tuple[int, dict[str, Any]]:
        """Send one request and return its HTTP status and JSON, whatever the status.

        Raises aiohttp.ClientError, OSError or TimeoutError when there is no answer.
        """
        status, text = await self._exchange(
            method, path, query=query, body=body, content_type=content_type, accept=accept
        )
        return status, parsed(text)

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> tuple[int, bytes]:
        call = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        with self._counted(verb_of(method, path)) as answered:
            response = await self._api.call_api(*call, _request_timeout=_REQUEST_TIMEOUT)
            raw = await _whole(response.response, path)
            answered(response.status)
        return response.status, raw

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], silence: float, metadata_only: bool = False
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Send a GET and yield its status and the lines of the answer as they come.

        ``silence`` is how many seconds may pass without a byte. Raises aiohttp.ClientError, OSError or
        TimeoutError when the connection fails, also from the lines.
        """
        call = await self._api.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": METADATA if metadata_only else f"{JSON}, */*"},  # a log is plain text
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence)
        with self._counted("watch") as answered:
            answer = await self._api.call_api(*call, _request_timeout=timeout)
            response: aiohttp.ClientResponse = answer.response
            answered(response.status)
        transport = response.connection.transport if response.connection else None
        if transport:
            keep_alive(transport)
        try:
            yield response.status, _lines(response)
        finally:
            response.close()
            if transport:
                transport.abort()  # what is left of a watch is of no interest: no farewell of TLS is waited for

    @contextmanager
    def _counted(self, verb: str) -> Iterator[Callable[[int], None]]:
        """Tells the observer of one request, at its end; the caller says which status was answered."""
        code = "error"

        def answered(status: int) -> None:
            nonlocal code
            code = str(status)

        try:
            yield answered
        finally:
            self._observe(verb, code)


def _unexpected(status: int, method: str, path: str) -> CannotEvaluate:
    return CannotEvaluate(K.ERROR, detail=f"{status} to {method} {path}")


async def _whole(response: aiohttp.ClientResponse, path: str) -> bytes:
    """The body. Raises AnswerTooLarge, without reading more than the bound."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST_ANSWER:
            response.close()
            raise AnswerTooLarge(K.ERROR, detail=f"more than {LARGEST_ANSWER >> 20} MiB to {path}")
    return b"".join(parts)


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Complete lines, of any length."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
