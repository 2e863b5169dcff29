"""What the secrets of all clouds have in common: who may have one read, and what becomes secret by it."""

from typing import Final

from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.brokerredis import broker_secret
from mehc_checks.modelengine.database import default_secret
from mehc_checks.modelengine.redis import cache_secret, cloud_provider
from mehc_checks.modelengine.secrets import CloudSecret
from mehc_checks.modelengine.values import Values

_PUBLIC: Final = frozenset(
    {
        *("clusterHost", "clusterHostRo", "dbname", "engine", "host", "port", "username"),
        *("query_params", "scheme"),
        "cache-url",  # who takes it apart makes its password a secret, as that of any URL
    }
)
"""Fields that findings must show; all others are secret."""


def not_verified(context: Context, name: str, store: str) -> CloudSecret:
    """The secret ``name`` of ``store`` ("AWS Secrets Manager"): only the resource names it, so it is not read."""
    what = f"secret {name} of {store}"
    return CloudSecret(
        name=name, failure=CannotEvaluate(R.NOT_VERIFIED, what=what, namespace=context.namespace)
    )


async def is_named(context: Context, name: str) -> bool:
    """Whether the live configuration leads to the secret ``name``."""
    live = (await context.proof()).configuration
    cloud, database = cloud_provider(live.values), live.text(paths.CLOUD_DATABASE_SECRET)
    named = {cache_secret(live), broker_secret(live), database}
    if not database and live.text(paths.CONTEXT):
        named.add(default_secret(cloud, live.text(paths.CONTEXT)))
    return name in named


async def proven(context: Context) -> Values:
    """The values that say where secrets are: the live ones where those of the resource may be anyone's."""
    return (await context.proof()).configuration.values if context.is_deputy else context.values


def kept(context: Context, secret: CloudSecret) -> CloudSecret:
    """``secret``; what it holds is secret from here on: whatever the probe run reports is redacted."""
    text = secret.text or ""
    context.redactor.add(text)
    context.vouch(text)
    context.redactor.add(*(value for key, value in (secret.fields or {}).items() if key not in _PUBLIC))
    return secret
