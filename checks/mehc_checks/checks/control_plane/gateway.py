"""The gateway, asked as its users ask it: its own ``/readyz`` is 200 whatever is broken, so it proves nothing.

Sources: ``api/app.py``, ``api/model_endpoints_v1.py``, ``verify_authentication`` of ``api/dependencies.py``,
``fake_authentication_repository.py`` and ``db_model_endpoint_record_repository.py`` of model engine.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from mehc_checks.clients import http
from mehc_checks.clients.network.connect import NetworkProblem, connect
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.errors import UsageError
from mehc_checks.core.parameters import Parameters
from mehc_checks.installation.context import Context

USER: Final = "mehc-probe"
"""Nobody's name. Without an authentication plugin the platform takes any; then this user owns no endpoint."""
QUESTION: Final = f"/v1/model-endpoints?name={USER}"
"""One SELECT of all columns of endpoints, that finds nothing: neither the cache nor Kubernetes is asked."""
_HEADERS: Final = {
    "Accept": "application/json",
    "Authorization": f"Basic {base64.b64encode(f'{USER}:'.encode()).decode()}",
}
_LIST: Final = "model_endpoints"
_MOST: Final = 65536
"""Bytes of an answer that are read."""
_OF_PROXIES: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
"""The gateway's own code answers none of these to the question."""
_STRANGERS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class GatewayParameters(Parameters):
    """Parameters of ControlPlaneReady."""

    gateway_url: str = Field(
        "",
        description="Where to ask the gateway, such as http://127.0.0.1:8080 behind kubectl port-forward; by default "
        "its Service, asked only from inside the cluster.",
    )


class Proof(StrEnum):
    """What the answer proves."""

    ANSWERS = "answers"
    FAILS = "fails"
    """An error of the gateway's own."""
    SILENT = "silent"
    """Nothing listens, or what listens does not answer."""
    SHADOWED = "shadowed"
    """A proxy answers that it does not get through."""
    NOTHING = "nothing"
    """Neither that it works nor that it does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayAnswer:
    """``text`` says in one line what was heard, in our own words."""

    proof: Proof
    text: str


async def gateway_answer(context: Context, service: Mapping[str, Any] | None) -> GatewayAnswer:
    """The answer at ``gatewayUrl``, else at ``service``, the gateway's Service. Raises UsageError for a bad URL."""
    given = context.parameters(GatewayParameters).gateway_url
    url = given.rstrip("/") or _in_cluster(service)
    if not given and not context.cluster.surrounds_us:
        return GatewayAnswer(proof=Proof.NOTHING, text="not asked from outside of the cluster")
    if not url:
        return GatewayAnswer(proof=Proof.NOTHING, text="it has no Service to ask")
    host, port = _address(url)
    try:
        await connect(host, port, timeout=context.network_timeout / 4)
    except NetworkProblem as failure:
        # A refusal comes from the node itself, for a Service without pods behind it; what swallows packets or lacks
        # a name may concern this process alone.
        proof = Proof.SILENT if failure.reason is N.CONNECTION_REFUSED else Proof.NOTHING
        return GatewayAnswer(proof=proof, text=str(failure))
    return await _ask(url, host, port, context.network_timeout / 2)


def _in_cluster(service: Mapping[str, Any] | None) -> str:
    if service is None or not (ports := service["spec"].get("ports")):
        return ""
    metadata = service["metadata"]
    return f"http://{metadata['name']}.{metadata['namespace']}.svc:{ports[0]['port']}"


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        host, port = None, 0
    if not host or parts.username is not None or parts.query or parts.fragment:
        # whoever writes the resource must not choose the question that this process asks
        raise UsageError(
            "parameters.gatewayUrl: not an http:// or https:// address, without credentials and query"
        )
    return host, port


async def _ask(url: str, host: str, port: int, timeout: float) -> GatewayAnswer:
    where = f"{host}:{port}"
    try:
        response = await http.get(url + QUESTION, timeout=timeout, headers=_HEADERS, most=_MOST)
    except NetworkProblem as problem:
        if problem.reason is N.CONNECTION_TIMEOUT:
            text = f"{where} accepts connections and does not answer within {timeout:g} s"
            return GatewayAnswer(proof=Proof.SILENT, text=text)
        return GatewayAnswer(proof=Proof.NOTHING, text=str(problem))
    return _judged(response.status, response.body, where)


def _judged(status: int, body: bytes, where: str) -> GatewayAnswer:
    shown = f"{where} answers {status}"
    if status == HTTPStatus.OK and _is_list(body):
        return GatewayAnswer(proof=Proof.ANSWERS, text=f"{where} answers an authenticated request")
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return GatewayAnswer(
            proof=Proof.FAILS, text=f"{shown} to an authenticated request that lists endpoints"
        )
    if status in _OF_PROXIES:
        return GatewayAnswer(proof=Proof.SHADOWED, text=f"{shown}, which a proxy says and not the gateway")
    if status in _STRANGERS:
        return GatewayAnswer(proof=Proof.NOTHING, text=f"{shown}: it wants a user that it knows")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return GatewayAnswer(proof=Proof.NOTHING, text=f"{shown}, a redirect, which the gateway never does")
    return GatewayAnswer(
        proof=Proof.NOTHING, text=f"{shown} without a list of endpoints: another program, or busy"
    )


def _is_list(body: bytes) -> bool:
    try:
        answer = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one
        return False
    return isinstance(answer, dict) and isinstance(answer.get(_LIST), list)
