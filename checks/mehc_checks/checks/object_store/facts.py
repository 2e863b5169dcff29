"""What ObjectStoreReachable judges, and its parameters."""

from dataclasses import dataclass

from pydantic import Field

from mehc_checks.core.errors import Problem
from mehc_checks.core.parameters import TripwireParameters
from mehc_checks.modelengine.stores import Bucket, Store


class StoreParameters(TripwireParameters):
    """Parameters of ObjectStoreReachable."""

    write: bool = Field(
        default=False,
        description="Put, get and delete a small object under .mehc-probe/ in each bucket.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketFacts:
    """``region`` is where the bucket is, "" if not told. ``problem`` is what went wrong first; ``writing``: in a
    write."""

    bucket: Bucket
    exists: bool | None = None
    region: str = ""
    problem: Problem | None = None
    writing: bool = False
    written: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFacts:
    """``network`` is why the store itself cannot be reached; ``asked`` the address of one of another cloud than
    AWS, ``untested`` why only its network was tested. ``unreadable``: s3EndpointUrl is not a URL."""

    store: Store
    buckets: tuple[BucketFacts, ...] = ()
    asked: str = ""
    untested: str = ""
    unreadable: bool = False
    network: Problem | None = None
