"""The buckets that the configuration names, and where they are. Source: ``common/config.py``, ``s3_utils.py`` and the
``*_file_*`` repositories of model engine."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mehc_checks.platform.redis import INFRA, LAUNCH, cloud_provider
from mehc_checks.values import Values

S3_SCHEME: Final = "s3"
SCHEMES: Final = {"aws": "s3", "onprem": "s3", "azure": "azure", "gcp": "gs"}
"""By cloud, that of the addresses of files."""
_FILES: Final = ("cloud_file_llm_fine_tune_repository", "hf_user_fine_tuned_weights_prefix")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""An S3 bucket's name. Source: Amazon S3 user guide, bucket naming rules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A bucket and the values that name it. ``prefix`` is where in it they write, "" for anywhere."""

    name: str
    sources: tuple[str, ...]
    prefixes: tuple[str, ...] = ("",)

    @property
    def is_valid(self) -> bool:
        """Whether S3 could have a bucket of this name."""
        return _NAME.fullmatch(self.name) is not None


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


def store(values: Values) -> Store:
    """The store that ``values`` name."""
    cloud = cloud_provider(values)
    wanted = SCHEMES.get(cloud, S3_SCHEME)
    found: dict[str, tuple[list[str], list[str]]] = {}
    misplaced = []
    if plain := values.text(f"{INFRA}.s3_bucket"):
        found[plain] = ([f"{INFRA}.s3_bucket"], [""])
    for name in _FILES:
        path = f"{LAUNCH}.{name}"
        address = urlsplit(values.text(path) or "")
        if not address.scheme and not address.path:
            continue
        if address.scheme != wanted and not (cloud == "azure" and address.scheme == "https"):
            misplaced.append((path, address.scheme or "none"))
            continue
        sources, prefixes = found.setdefault(address.netloc, ([], []))
        sources.append(path)
        prefixes.append(address.path.strip("/"))
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
