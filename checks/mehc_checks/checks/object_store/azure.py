"""The containers of Azure Blob Storage, asked with the identity of this process."""

import asyncio
from dataclasses import replace
from typing import Final

from yarl import URL

from mehc_checks.checks.object_store import shared
from mehc_checks.checks.object_store.facts import BucketFacts, StoreFacts
from mehc_checks.checks.object_store.reasons import StoreReasons as R
from mehc_checks.clients.azure.blobs import Container
from mehc_checks.clients.azure.client import Azure
from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import NOT_FOUND
from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.network.connect import NetworkProblem, client_context, handshake
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.azure import account, azure
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons as I
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.stores import Bucket, Store, containers

_HAS_NONE: Final = (R.NO_IDENTITY, R.CLIENT_MISSING)


async def gather_azure(
    context: Context, found: Store, *, write: bool, reserved: str, leftover: float
) -> StoreFacts:
    """``reserved`` is the prefix of what is ours, ``leftover`` the age in seconds from which it is deleted."""
    named = context.values.text(paths.AZURE_ABS_ACCOUNT) or ""
    host = f"{named}.blob.core.windows.net"
    facts = StoreFacts(store=found, asked=host)
    if proxy_of(URL(f"https://{host}")) is None:  # else the proxy gets there, and not this process
        try:
            await handshake(host, 443, client_context(), timeout=context.network_timeout / 2)
        except NetworkProblem as problem:
            return replace(facts, network=problem)
    wanted = containers(context.values)
    if context.is_deputy:
        live = (await context.proof()).configuration.values
        own = {each.name for each in containers(live)}
        if named != live.text(paths.AZURE_ABS_ACCOUNT) or any(each.name not in own for each in wanted):
            names = ", ".join(each.name for each in wanted)
            what = f"container {names} of storage account {named}"
            raise CannotEvaluate(I.NOT_VERIFIED, what=what, namespace=context.namespace)
    if not account(named) or not wanted:
        return replace(facts, untested="no container is named")
    asked = await azure(context)
    answers = await asyncio.gather(
        *(_asked(asked, named, each, write=write, reserved=reserved, leftover=leftover) for each in wanted)
    )
    if any(each.problem and each.problem.reason in _HAS_NONE for each in answers):
        return replace(facts, untested=str(next(each.problem for each in answers if each.problem)))
    return replace(facts, buckets=tuple(answers))


async def _asked(
    azure: Azure, named: str, bucket: Bucket, *, write: bool, reserved: str, leftover: float
) -> BucketFacts:
    facts, container = BucketFacts(bucket=bucket), Container(azure, named, bucket.name)
    try:
        for prefix in bucket.prefixes:
            await container.listed(prefix)
        facts = replace(facts, exists=True)
    except AzureProblem as problem:
        if problem.reason is NOT_FOUND:
            return replace(facts, exists=False)
        return replace(facts, problem=problem)
    except NetworkProblem as problem:
        return replace(facts, problem=problem)
    if not write:
        return facts
    try:
        await shared.write(container, reserved, leftover)
    except (AzureProblem, NetworkProblem) as problem:
        return replace(facts, problem=problem)
    return replace(facts, written=True)
