"""The buckets of Google Cloud Storage, asked with the identity of this process."""

import asyncio
from dataclasses import replace
from typing import Final

from yarl import URL

from mehc_checks.checks.object_store import shared
from mehc_checks.checks.object_store.facts import BucketFacts, StoreFacts
from mehc_checks.clients.google.client import Google
from mehc_checks.clients.google.identity import GoogleProblem
from mehc_checks.clients.google.reasons import NOT_FOUND
from mehc_checks.clients.google.reasons import GoogleReasons as R
from mehc_checks.clients.google.storage import HOST, GoogleBucket
from mehc_checks.clients.http.proxy import proxy_of
from mehc_checks.clients.network.connect import NetworkProblem, client_context, handshake
from mehc_checks.installation.context import Context
from mehc_checks.installation.google import google
from mehc_checks.modelengine.stores import Bucket, Store, store

_HAS_NONE: Final = (R.NO_IDENTITY, R.CLIENT_MISSING)


async def gather_google(
    context: Context, found: Store, *, write: bool, reserved: str, leftover: float
) -> StoreFacts:
    """``reserved`` is the prefix of what is ours, ``leftover`` the age in seconds from which it is deleted.

    Where values may be anyone's, only buckets that the installation's live objects name are asked for.
    """
    facts = StoreFacts(store=found, asked=HOST)
    if proxy_of(URL(f"https://{HOST}")) is None:  # else the proxy gets there, and not this process
        try:
            await handshake(HOST, 443, client_context(), timeout=context.network_timeout / 2)
        except NetworkProblem as problem:
            return replace(facts, network=problem)
    own = found.buckets
    if context.is_deputy:
        own = store((await context.proof()).configuration.values).buckets
    named = {bucket.name for bucket in own}
    by_us = google(context)
    asked = (
        _asked(by_us, bucket, write=write, reserved=reserved, leftover=leftover)
        if bucket.name in named
        else shared.not_named(bucket, context.namespace)
        for bucket in found.buckets
    )
    answers = await asyncio.gather(*asked)
    if none := next(
        (each.problem for each in answers if each.problem and each.problem.reason in _HAS_NONE), None
    ):
        return replace(facts, untested=str(none))
    return replace(facts, buckets=tuple(answers))


async def _asked(by_us: Google, named: Bucket, *, write: bool, reserved: str, leftover: float) -> BucketFacts:
    facts, bucket = BucketFacts(bucket=named), GoogleBucket(by_us, named.name)
    if not named.is_valid("gcp"):
        return facts
    try:
        for prefix in named.prefixes:
            await bucket.listed(prefix)
        facts = replace(facts, exists=True)
        if write:
            await shared.write(bucket, reserved, leftover)
            facts = replace(facts, written=True)
    except GoogleProblem as problem:
        if problem.reason is NOT_FOUND and not facts.exists:
            return replace(facts, exists=False)
        return replace(facts, problem=problem)
    except NetworkProblem as problem:
        return replace(facts, problem=problem)
    return facts
