"""The versions of the platform that the rest of this package describes.

Its facts are those of model engine's chart 0.2.7: the keys and fields that are read, the migrations, the images that
the cacher names. What a newer platform does otherwise is known in part (``RedisEnvironment.of_newer_platform``).
"""

import re
from typing import Final

from mehc_checks.modelengine.names import CHART

NEWEST_CHART: Final = "0.2.7"
"""The newest chart whose facts are known."""
_VERSION: Final = re.compile(rf"{CHART}-v?(?P<version>\d{{1,9}}(?:\.\d{{1,9}}){{0,2}})(?:[-+].*)?")


def is_newer(chart: str) -> bool:
    """Whether ``chart``, name and version as Helm has them, is a model engine chart after ``NEWEST_CHART``.

    Of a chart that only contains model engine's, the version says nothing.
    """
    match = _VERSION.fullmatch(chart)
    return match is not None and _numbers(match["version"]) > _numbers(NEWEST_CHART)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
