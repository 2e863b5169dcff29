"""Links to the documentation."""

import os
from importlib.metadata import version
from typing import Final

REPOSITORY: Final = "https://github.com/scaleapi/model-engine-health-check/blob/v"
"""The pages of a released version are at its tag."""
DOCS_URL: Final = f"{REPOSITORY}{version('mehc')}"
VARIABLE: Final = "MEHC_DOCS_URL"
"""Where else the repository's files are: set by the image's build argument DOCS_URL, or by the chart's docsUrl."""


def docs_url(page: str) -> str:
    """The URL of ``page``, a path relative to the repository's root with or without an anchor; "" for ""."""
    base = os.environ.get(VARIABLE) or DOCS_URL
    return f"{base.rstrip('/')}/{page}" if page else ""
