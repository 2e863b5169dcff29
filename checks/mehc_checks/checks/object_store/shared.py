"""What the stores of all clouds have in common: what is written to prove that it can be, and what is not asked for."""

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Protocol

from mehc_checks.checks.object_store.facts import BucketFacts
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.reasons import InstallationReasons as I
from mehc_checks.modelengine.stores import Bucket


class Objects(Protocol):
    """A bucket or container, as its cloud's client has it."""

    async def put(self, name: str, data: bytes, /) -> None: ...
    async def head(self, name: str, /) -> None: ...
    async def delete(self, name: str, /) -> None: ...
    async def listed(self, prefix: str, /, *, most: int) -> list[tuple[str, datetime]]: ...


async def write(objects: Objects, reserved: str, leftover: float) -> None:
    """Put, look at and delete an object of our own, and delete what an earlier check left."""
    name = f"{reserved}{secrets.token_hex(8)}"
    await objects.put(name, b"written by mehc; may be deleted")
    try:
        await objects.head(name)
    finally:
        await asyncio.shield(objects.delete(name))
    for left, written in await objects.listed(reserved, most=100):
        if left.startswith(reserved) and (datetime.now(UTC) - written).total_seconds() > leftover:
            await objects.delete(left)


async def not_named(bucket: Bucket, namespace: str) -> BucketFacts:
    """Of a bucket that the values name and the installation's live objects do not: it is not asked for."""
    what = f"bucket {bucket.name}"
    return BucketFacts(bucket=bucket, problem=CannotEvaluate(I.NOT_VERIFIED, what=what, namespace=namespace))
