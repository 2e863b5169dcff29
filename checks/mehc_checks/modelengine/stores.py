"""The buckets that the configuration names, and where they are. Source: ``common/config.py``, ``s3_utils.py`` and the
``*_file_*`` repositories of model engine."""

import re
from dataclasses import dataclass
from typing import Final

from mehc_checks.modelengine.redis import INFRA, LAUNCH, cloud_provider
from mehc_checks.modelengine.values import Values

S3_SCHEME: Final = "s3"
SCHEMES: Final = {"aws": "s3", "onprem": "s3", "azure": "azure", "gcp": "gs"}
"""By cloud, that of the addresses of files."""
_FILES: Final = ("cloud_file_llm_fine_tune_repository", "hf_user_fine_tuned_weights_prefix")
_CONTAINER: Final = "azure.abs_container_name"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""An S3 bucket's name. Source: Amazon S3 user guide, bucket naming rules."""
_GOOGLE_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,220}[a-z0-9])?")
"""Source: Cloud Storage, about buckets: 222 characters at most, where they have dots. Those that are too short are not
found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A bucket and the values that name it. ``prefix`` is where in it they write, "" for anywhere."""

    name: str
    sources: tuple[str, ...]
    prefixes: tuple[str, ...] = ("",)

    def is_valid(self, cloud: str) -> bool:
        """Whether the store of ``cloud`` could have a bucket of this name."""
        return (_GOOGLE_NAME if cloud == "gcp" else _NAME).fullmatch(self.name) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The object store of an installation. ``endpoint`` is the URL of an S3-compatible one, "" for the cloud's own.

    ``misplaced`` are values whose address has another scheme than the cloud's, each with that scheme.
    """

    cloud: str
    region: str
    endpoint: str
    buckets: tuple[Bucket, ...]
    misplaced: tuple[tuple[str, str], ...] = ()


def containers(values: Values) -> tuple[Bucket, ...]:
    """The containers of the storage account on Azure. Source: ``abs_*`` of model engine's gateways."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    if plain := values.text(_CONTAINER):
        found[plain] = ([_CONTAINER], [""])
    for field in _FILES:
        path = f"{LAUNCH}.{field}"
        scheme, _, rest = (values.text(path) or "").partition("://")
        name, _, prefix = rest.partition("/")
        if scheme == "azure" and name:
            sources, prefixes = found.setdefault(name, ([], []))
            sources.append(path)
            prefixes.append(prefix.strip("/"))
    return tuple(
        Bucket(name=name, sources=tuple(sources), prefixes=tuple(dict.fromkeys(prefixes)))
        for name, (sources, prefixes) in found.items()
    )


def store(values: Values) -> Store:
    """The store that ``values`` name."""
    cloud = cloud_provider(values)
    wanted = SCHEMES.get(cloud, S3_SCHEME)
    found: dict[str, tuple[list[str], list[str]]] = {}
    misplaced = []
    if plain := values.text(f"{INFRA}.s3_bucket"):
        found[plain] = ([f"{INFRA}.s3_bucket"], [""])
    for field in _FILES:
        path = f"{LAUNCH}.{field}"
        if not (address := values.text(path)):
            continue
        scheme, divided, rest = address.partition(
            "://"
        )  # no URL: a placeholder has brackets, a key has # and ?
        if not divided or (scheme != wanted and not (cloud == "azure" and scheme == "https")):
            misplaced.append((path, scheme if divided else "none"))
            continue
        name, _, prefix = rest.partition("/")
        sources, prefixes = found.setdefault(name, ([], []))
        sources.append(path)
        prefixes.append(prefix.strip("/"))
    return Store(
        cloud=cloud,
        region=values.text(f"{INFRA}.default_region") or "",
        endpoint=values.text("s3EndpointUrl") or "",
        buckets=tuple(
            Bucket(name=name, sources=tuple(sources), prefixes=tuple(dict.fromkeys(prefixes)))
            for name, (sources, prefixes) in found.items()
        ),
        misplaced=tuple(misplaced),
    )
