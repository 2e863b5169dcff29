"""Prometheus as KEDA meets it, and KEDA itself."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from mehc_checks.checks.prometheus.facts import IstioSeries, PrometheusFacts, PrometheusParameters
from mehc_checks.checks.prometheus.istio import istio_series
from mehc_checks.clients.http.exchange import address as http_address
from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.network import names
from mehc_checks.clients.network.idle import wire
from mehc_checks.clients.network.reasons import is_away
from mehc_checks.clients.prometheus.answer import Answer
from mehc_checks.clients.prometheus.client import Prometheus
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, Problem
from mehc_checks.core.wire import Kind
from mehc_checks.installation.context import Context
from mehc_checks.installation.keda import KedaFacts, keda_facts, scaled_objects
from mehc_checks.installation.trust import trusted
from mehc_checks.modelengine import scaling
from mehc_checks.modelengine.scaling import AddressKind, ServerAddress, server_address

T = TypeVar("T")

NO_ENDPOINT: Final = f"{scaling.ENDPOINT_PREFIX}health-check"
"""Stands in the query's place of an endpoint where there is none yet; no endpoint has this id."""


async def gather(context: Context) -> PrometheusFacts:
    """Ask KEDA's question at KEDA's address, and look at KEDA. Raises UsageError for bad parameters."""
    parameters = context.parameters(PrometheusParameters)
    address = server_address(context.configuration)
    if _is_of_one_part(address):  # another server to each namespace, and KEDA asks from its own
        keda = await _keda(context, parameters.keda_namespace)
        with names.of_namespace(keda.operator.namespace if keda and keda.operator else ""):
            endpoint, answer, istio = await _ask(context, address, parameters)
    else:
        (endpoint, answer, istio), keda = await asyncio.gather(
            _ask(context, address, parameters), _keda(context, parameters.keda_namespace)
        )
    return PrometheusFacts(
        address=address,
        endpoint=endpoint,
        answer=answer,
        istio=istio,
        keda=keda,
    )


def _is_of_one_part(address: ServerAddress) -> bool:
    try:
        host = urlsplit(address.given).hostname if address.kind is AddressKind.URL else ""
    except ValueError:
        return False
    return bool(host) and "." not in str(host)


async def _keda(context: Context, namespace: str) -> KedaFacts | None:
    if isinstance(context.cluster, NoCluster):
        return None
    return await keda_facts(context, namespace=namespace)


async def _ask(
    context: Context, address: ServerAddress, parameters: PrometheusParameters
) -> tuple[str, Answer | Problem | None, IstioSeries | Problem | None]:
    """The name that was asked for, the answer, and what it rests on."""
    if address.kind is not AddressKind.URL:
        return "", None, None
    trust = trusted(context, ca_bundle=parameters.ca_bundle, ca_config_map=parameters.ca_config_map)
    tls, endpoint = await asyncio.gather(trust, _an_endpoint(context))
    server = Prometheus(address.given, tls=tls, timeout=context.network_timeout)
    query = server.query(scaling.concurrency_query(endpoint), context.clock())
    answer, istio = await asyncio.gather(_attempt(query), _attempt(istio_series(server, context.clock())))
    problem = answer if isinstance(answer, Problem) else None
    if parameters.tripwire and (problem is None or is_away(problem)):
        secure = urlsplit(address.given).scheme == "https"
        held = wire(Kind.PROMETHEUS, *http_address(address.given), tls=secure)
        context.hold(replace(held, away=problem is not None))
    return endpoint, answer, istio


async def _an_endpoint(context: Context) -> str:
    """An endpoint that KEDA asks for, so that our question costs what KEDA's costs."""
    try:
        scaled = await context.gather(scaled_objects)
    except (CannotEvaluate, NotApplicable):
        return NO_ENDPOINT
    return scaled[0].target if scaled else NO_ENDPOINT


async def _attempt(asked: Awaitable[T]) -> T | Problem:
    """The answer, or why there is none."""
    try:
        return await asked
    except Problem as problem:
        return problem
