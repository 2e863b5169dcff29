"""What Artifact Registry takes as user name and password. Source: its documentation, "Configure authentication to
Artifact Registry for Docker", access tokens.
"""

import re
from typing import Final

USER: Final = "oauth2accesstoken"
"""By which a registry knows that the password is an access token."""
ROLE: Final = "roles/artifactregistry.reader"
_HOST: Final = re.compile(r"[a-z0-9-]{1,40}-docker\.pkg\.dev|([a-z]{1,20}\.)?gcr\.io")


def is_registry(host: str) -> bool:
    """Whether ``host`` is a registry of Google's: of Artifact Registry, or one that serves a gcr.io name."""
    return _HOST.fullmatch(host) is not None
