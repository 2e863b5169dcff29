"""The versions of the platform: which are known, and which one an installation's objects show.

The rest of this package describes chart 0.2.7 at commit a8236961: the keys and fields that are read, the migrations,
the images that the cacher names. What is known of others stands here; all else is taken to be as in 0.2.7.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.modelengine import schema
from mehc_checks.modelengine.environment import REDIS_TLS
from mehc_checks.modelengine.names import CHART
from mehc_checks.modelengine.workloads import container

NEWEST_CHART: Final = "0.2.7"
"""The newest chart whose facts are known."""
NEWEST: Final = f"chart {NEWEST_CHART}"
CHART_LABEL: Final = "helm.sh/chart"
"""Of a chart's own objects: name and version, a subchart's own where it is one."""
_VERSION: Final = re.compile(r"v?(?P<version>\d{1,9}(?:\.\d{1,9}){0,2})(?:[-+_].*)?")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")
_KNOWN_COMMIT: Final = "a8236961"
"""Images are tagged with the platform's commits; that of the known facts, shortened."""

_LEAST: Final = (("0.2.7", "c4d5e6f7a8b9"), ("0.2.5", "a1b2c3d4e5f6"))
"""By chart, newest first: the revision that migrations of this chart reach at least, images built later reach further.
Source: dates of the migrations, and of the commits that raise the chart's version (scaleapi/llm-engine#825 of 8 May
2026 and #832 of 20 May 2026)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """The version that an installation's objects show; without any, it is taken to be the known one.

    ``chart`` is a version ("0.2.7"), ``source`` the object that it is from; ``tag`` that of the gateway's image;
    ``tls_apart`` whether the gateway's Deployment sets REDIS_ENABLE_TLS: as of scaleapi/llm-engine#875, which raised no
    version, the platform configures Redis' TLS apart from authentication.
    """

    chart: str = ""
    source: str = ""
    tag: str = ""
    tls_apart: bool = False

    @property
    def is_newer(self) -> bool:
        """Whether its chart is newer than the known one: then what is known may not hold any more."""
        return self.tls_apart or _numbers(self.chart) > _numbers(NEWEST_CHART)

    @property
    def is_older(self) -> bool:
        """Whether its chart is older than the known one."""
        return bool(self.chart) and not self.is_newer and _numbers(self.chart) < _numbers(NEWEST_CHART)

    @property
    def has_known_images(self) -> bool:
        """Whether its images are those that the known facts are from, whatever the chart."""
        shared = min(len(self.tag), len(_KNOWN_COMMIT))
        return bool(_COMMIT.fullmatch(self.tag)) and self.tag[:shared] == _KNOWN_COMMIT[:shared]

    @property
    def least_revision(self) -> str:
        """The revision that its migrations reach at least, "" where that is not known."""
        if self.has_known_images or not self.is_older:
            return schema.HEAD
        chart = _numbers(self.chart)
        return next((revision for first, revision in _LEAST if chart >= _numbers(first)), "")

    def __str__(self) -> str:
        """ "chart 0.2.8", "a chart that sets REDIS_ENABLE_TLS", or "chart 0.2.7" where nothing is known."""
        if self.tls_apart and _numbers(self.chart) <= _numbers(NEWEST_CHART):
            return f"a chart that sets {REDIS_TLS}"
        return f"chart {self.chart}" if self.chart else NEWEST

    @property
    def detected(self) -> str:
        """What was found and where, for evidence: "chart 0.2.7 (label helm.sh/chart of Deployment x), image tag y"."""
        found = [f"chart {self.chart} ({self.source})"] if self.chart else []
        found += [f"image tag {self.tag}"] if self.tag else []
        found += [REDIS_TLS] if self.tls_apart else []
        return ", ".join(found) or f"not detected; judged as {NEWEST}"


UNDETECTED: Final = Platform()
"""That of which nothing is known: judged as the known one."""


def detect(gateway: Mapping[str, Any] | None, release: str = "", *, alias: str = "") -> Platform:
    """The version that the gateway's live Deployment shows, else ``release``, a Helm release's chart: name and version.

    ``alias`` is the name that a chart which contains model engine gives it. The version of such a chart, or of one that
    its templates were copied into, says nothing.
    """
    names = {CHART, alias}
    chart, source = chart_version(release, {CHART}), "Helm release"
    if gateway is None:
        return Platform(chart=chart, source=source)
    metadata, process = gateway["metadata"], container(gateway)
    labels = metadata.get("labels") or {}
    if shown := chart_version(str(labels.get(CHART_LABEL, "")), names):
        chart, source = shown, f"label {CHART_LABEL} of Deployment {metadata['name']}"
    variables = {item.get("name") for item in process.get("env") or ()}
    return Platform(
        chart=chart,
        source=source,
        tag=_tag(str(process.get("image", ""))),
        tls_apart=REDIS_TLS in variables,
    )


def chart_version(chart: str, names: Collection[str] = (CHART,)) -> str:
    """The version in ``chart``, name and version as Helm has them, "" where its name is none of ``names``."""
    for name in filter(None, names):
        if chart.startswith(f"{name}-") and (match := _VERSION.fullmatch(chart[len(name) + 1 :])):
            return match["version"]
    return ""


def _tag(image: str) -> str:
    _, found, tag = image.partition("@")[0].rpartition(":")
    return tag if found and "/" not in tag else ""


def _numbers(version: str) -> list[int]:
    """Of "", less than of any version."""
    return [int(number) for number in version.split(".") if number]
