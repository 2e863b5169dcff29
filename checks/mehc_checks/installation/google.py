"""Google Cloud as an installation uses it, asked by this process's identity."""

from collections.abc import Mapping
from typing import Final

from mehc_checks.clients.google.client import Google
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import paths

_ACCOUNT: Final = "iam.gke.io/gcp-service-account"
"""The annotation by which GKE gives a ServiceAccount's pods an account of Google's."""


def google(context: Context, *, part: float = 0.5) -> Google:
    """By the identity of this process, which is the platform's where both have one account.

    ``part`` of the time is for one call, so that some is left for what the answer leads to.
    """
    annotations = context.configuration.raw(paths.ACCOUNT_ANNOTATIONS)
    account = annotations.get(_ACCOUNT) if isinstance(annotations, Mapping) else None
    return Google(
        timeout=context.network_timeout * part, platform=account if isinstance(account, str) else ""
    )
