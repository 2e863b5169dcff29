"""The object store, asked with the identity of this process: buckets, their regions, and, where asked for, a write."""

import asyncio
import os
import secrets
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from mehc_checks.checks.object_store.azure import gather_azure
from mehc_checks.checks.object_store.facts import BucketFacts, StoreFacts, StoreParameters
from mehc_checks.checks.object_store.google import gather_google
from mehc_checks.checks.object_store.shared import not_named
from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.clients.network.connect import NetworkProblem, client_context, connect, handshake
from mehc_checks.clients.network.idle import wire
from mehc_checks.clients.network.reasons import is_away
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, UsageError
from mehc_checks.core.wire import Kind
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons as I
from mehc_checks.modelengine.stores import Bucket, store

RESERVED: Final = ".mehc-probe/"
"""The prefix under which objects are ours to make and to delete."""
_LEFTOVER: Final = timedelta(hours=1)
"""Age from which an object of ours was left by a check that did not live to delete it."""
_OF_CLOUDS: Final = {"azure": gather_azure, "gcp": gather_google}
_PORTS: Final = {"http": 80, "https": 443}


async def gather(context: Context) -> StoreFacts:
    """Raises NotApplicable where the values name no bucket, UsageError for authorities that cannot be read."""
    found, parameters = store(context.values), context.parameters(StoreParameters)
    if not found.buckets and not found.misplaced:
        raise NotApplicable("no bucket is configured")
    if found.cloud in _OF_CLOUDS:
        return await _OF_CLOUDS[found.cloud](
            context,
            found,
            write=parameters.write,
            reserved=RESERVED,
            leftover=_LEFTOVER.total_seconds(),
        )
    named: frozenset[str] | None = None
    if context.is_deputy:
        live = store((await context.proof()).configuration.values)
        named = frozenset(bucket.name for bucket in live.buckets)
        if found.endpoint != live.endpoint:
            what = f"endpoint {found.endpoint or 'of AWS'}"
            raise CannotEvaluate(I.NOT_VERIFIED, what=what, namespace=context.namespace)
    if found.endpoint:
        if (address := _address(found.endpoint)) is None:
            return StoreFacts(store=found, unreadable=True)
        host, port, tls = address
        held = wire(Kind.STORE, host, port, tls=tls)
        try:
            await _reach(*address, context.network_timeout / 3)
        except NetworkProblem as problem:
            if parameters.tripwire and is_away(problem):
                context.hold(replace(held, away=True))
            return StoreFacts(store=found, asked=found.endpoint, network=problem)
        if parameters.tripwire:
            context.hold(held)
    aws = Aws(
        region=found.region or "us-east-1",
        timeout=context.network_timeout / 2,
        endpoint=found.endpoint or None,
        ca=_authorities() if found.endpoint else None,
    )
    asked = (
        _bucket(aws, bucket, parameters.write)
        if named is None or bucket.name in named
        else not_named(bucket, context.namespace)
        for bucket in found.buckets
    )
    return StoreFacts(store=found, buckets=tuple(await asyncio.gather(*asked)))


def _authorities() -> str | None:
    """The file of certificates that this process trusts for a store of one's own, None for the system's.

    AWS_CA_BUNDLE, by which the platform's boto3 finds a private authority, before the file that all else trusts.
    """
    return os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")


@lru_cache(maxsize=8)
def _trust(authorities: str) -> ssl.SSLContext:
    """Raises UsageError."""
    try:
        return ssl.create_default_context(cafile=authorities)
    except OSError:  # ssl.SSLError is one
        raise UsageError(
            f"AWS_CA_BUNDLE of this process: {authorities} is not a file of certificates"
        ) from None


def _address(url: str) -> tuple[str, int, bool] | None:
    """Host, port and whether it is TLS; None for what boto3 rejects too."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port, parts.scheme == "https") if parts.hostname else None


async def _reach(host: str, port: int, tls: bool, timeout: float) -> None:
    """Raises NetworkProblem: boto says less of what is wrong with a connection."""
    if tls:
        named = _authorities()
        await handshake(host, port, _trust(named) if named else client_context(), timeout=timeout)
    else:
        await connect(host, port, timeout=timeout)


async def _bucket(aws: Aws, bucket: Bucket, write: bool) -> BucketFacts:
    facts = BucketFacts(bucket=bucket)
    if not bucket.is_valid("aws"):
        return facts
    try:
        answer = await aws.call("s3", "HeadBucket", Bucket=bucket.name)
        headers: dict[str, Any] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        facts = replace(facts, exists=True, region=str(headers.get("x-amz-bucket-region", "")))
        for prefix in bucket.prefixes:
            await aws.call("s3", "ListObjectsV2", Bucket=bucket.name, Prefix=prefix, MaxKeys=1)
    except AwsProblem as problem:
        if problem.reason is NOT_FOUND:
            return replace(facts, exists=False)
        return replace(facts, problem=problem)
    if not write:
        return facts
    try:
        await _write(aws, bucket.name)
    except AwsProblem as problem:
        return replace(facts, problem=problem, writing=True)
    return replace(facts, written=True)


async def _write(aws: Aws, bucket: str) -> None:
    """Put, get and delete an object of our own, and delete what an earlier check left."""
    key = f"{RESERVED}{secrets.token_hex(8)}"
    await aws.call("s3", "PutObject", Bucket=bucket, Key=key, Body=b"written by mehc; may be deleted")
    try:
        await aws.call("s3", "HeadObject", Bucket=bucket, Key=key)
    finally:
        await asyncio.shield(aws.call("s3", "DeleteObject", Bucket=bucket, Key=key))
    listed = await aws.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=RESERVED, MaxKeys=100)
    for item in listed.get("Contents", ()):
        if datetime.now(UTC) - item["LastModified"] > _LEFTOVER:
            await aws.call("s3", "DeleteObject", Bucket=bucket, Key=item["Key"])
