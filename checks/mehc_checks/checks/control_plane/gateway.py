"""The gateway, asked as its users ask it: its own ``/readyz`` is 200 whatever is broken, so it proves nothing.

Sources: ``api/app.py``, ``api/model_endpoints_v1.py``, ``verify_authentication`` of ``api/dependencies.py``,
``fake_authentication_repository.py`` and ``db_model_endpoint_record_repository.py`` of model engine.
"""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from mehc_checks.checks.control_plane.facts import GatewayAnswer, Proof
from mehc_checks.checks.control_plane.parameters import GatewayParameters
from mehc_checks.checks.control_plane.reasons import ANSWERS
from mehc_checks.clients.http import exchange as http
from mehc_checks.clients.network.connect import NetworkProblem, connect
from mehc_checks.clients.network.place import is_loopback, only_inside
from mehc_checks.clients.network.reasons import NetworkReasons as N
from mehc_checks.core.errors import UsageError
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import is_named

USER: Final = "mehc-probe"
"""No user's name. Without an authentication plugin the platform takes any; then this user owns no endpoint."""
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


async def gateway_answer(context: Context, service: Mapping[str, Any] | None) -> GatewayAnswer:
    """The answer at ``gatewayUrl``, else at ``service``, the gateway's Service. Raises UsageError for a bad URL."""
    given = context.parameters(GatewayParameters).gateway_url
    url = given.rstrip("/") or _in_cluster(service)
    if not given and not context.cluster.surrounds_us:
        return _answer(Proof.NOTHING, "outside")
    if not url:
        return _answer(Proof.NOTHING, "no service")
    host, port = _address(url)
    answer = await _at(context, url, host, port)
    if not given or answer.proof is Proof.ANSWERS or not context.is_deputy:
        return answer
    # Who may write the resource must not have this process scan the network.
    told = is_loopback(host) or await is_named(context, host)
    return answer if told else _answer(Proof.NOTHING, "withheld", where=host)


async def _at(context: Context, url: str, host: str, port: int) -> GatewayAnswer:
    try:
        await connect(host, port, timeout=context.network_timeout / 4)
    except NetworkProblem as failure:
        # A refusal comes from the node itself, for a Service without pods behind it; what swallows packets or lacks
        # a name may concern this process alone.
        if not context.inside and only_inside(host):
            return _answer(Proof.NOTHING, "unseen", problem=failure)
        proof = Proof.SILENT if failure.reason is N.CONNECTION_REFUSED else Proof.NOTHING
        return GatewayAnswer(proof=proof, text=str(failure))
    return await _ask(url, host, port, context.network_timeout / 2)


def _answer(proof: Proof, answered: str, **words: object) -> GatewayAnswer:
    return GatewayAnswer(proof=proof, text=ANSWERS[answered].format(**words))


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
        # who writes the resource must not choose the question that this process asks
        raise UsageError(
            "parameters.gatewayUrl must be an http:// or https:// address without credentials and query"
        )
    return host, port


async def _ask(url: str, host: str, port: int, timeout: float) -> GatewayAnswer:
    where = f"{host}:{port}"
    try:
        response = await http.get(url + QUESTION, timeout=timeout, headers=_HEADERS, most=_MOST)
    except NetworkProblem as problem:
        if problem.reason is N.CONNECTION_TIMEOUT:
            return _answer(Proof.SILENT, "silent", where=where, seconds=f"{timeout:g}")
        return GatewayAnswer(proof=Proof.NOTHING, text=str(problem))
    return _judged(response.status, response.body, where)


def _judged(status: int, body: bytes, where: str) -> GatewayAnswer:
    words = {"where": where, "status": status}
    if status == HTTPStatus.OK and _is_list(body):
        return _answer(Proof.ANSWERS, "listed", **words)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _answer(Proof.FAILS, "error", **words)
    if status in _OF_PROXIES:
        return _answer(Proof.SHADOWED, "proxy", **words)
    if status in _STRANGERS:
        return _answer(Proof.NOTHING, "stranger", **words)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _answer(Proof.NOTHING, "redirect", **words)
    return _answer(Proof.NOTHING, "other", **words)


def _is_list(body: bytes) -> bool:
    try:
        answer = json.loads(body)
    except ValueError:  # UnicodeDecodeError is one
        return False
    return isinstance(answer, dict) and isinstance(answer.get(_LIST), list)
