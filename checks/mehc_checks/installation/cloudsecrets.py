"""Secrets of AWS Secrets Manager, read as the platform reads them. Source: ``core/aws/secrets.py`` of model engine."""

from typing import Final

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.brokerredis import broker_secret
from mehc_checks.modelengine.database import default_secret
from mehc_checks.modelengine.kedaredis import KEDA_AUTHENTICATION, keda_secret
from mehc_checks.modelengine.redis import INFRA, cache_secret, cloud_provider
from mehc_checks.modelengine.secrets import CloudSecret

_PUBLIC: Final = frozenset(
    {
        *("clusterHost", "clusterHostRo", "dbname", "engine", "host", "port", "username"),
        *("query_params", "scheme"),
        "cache-url",  # who takes it apart makes its password a secret, as that of any URL
    }
)
"""Fields that findings must show; all others are secret."""


async def aws_secret(context: Context, name: str) -> CloudSecret:
    """The secret ``name`` in the installation's region.

    What it holds is secret from here on: whatever the pass reports is redacted. Where values may be anyone's, it is
    read only if the installation's live objects name it.
    """
    if context.is_deputy and not await _is_named(context, name):
        what = f"secret {name} of AWS Secrets Manager"
        return CloudSecret(
            name=name, failure=CannotEvaluate(R.NOT_VERIFIED, what=what, namespace=context.namespace)
        )
    values = (await context.proof()).configuration.values if context.is_deputy else context.values
    region = values.text(f"{INFRA}.default_region") or "us-east-1"
    aws = Aws(region=region, timeout=context.network_timeout / 2)
    try:
        text = (await aws.call("secretsmanager", "GetSecretValue", SecretId=name)).get("SecretString")
    except AwsProblem as failure:
        if failure.reason is NOT_FOUND:
            return CloudSecret(name=name, trouble=f"does not exist in AWS Secrets Manager of {region}")
        return CloudSecret(name=name, failure=failure)
    if text is None:
        return CloudSecret(name=name, trouble="is binary and has no text")
    context.redactor.add(text)
    context.vouch(text)
    kept = CloudSecret.of(name, text)
    context.redactor.add(*(value for key, value in (kept.fields or {}).items() if key not in _PUBLIC))
    return kept


async def _is_named(context: Context, name: str) -> bool:
    """Whether the live configuration leads to the secret ``name``, or KEDA's TriggerAuthentication names it."""
    live = (await context.proof()).configuration
    cloud, database = cloud_provider(live.values), live.text(paths.CLOUD_DATABASE_SECRET)
    named = {cache_secret(live), broker_secret(live), database}
    if not database and live.text(paths.CONTEXT):
        named.add(default_secret(cloud, live.text(paths.CONTEXT)))
    return name in named or (name == keda_secret(context.configuration) and await is_of_keda(context, name))


async def is_of_keda(context: Context, name: str) -> bool:
    """Whether KEDA's TriggerAuthentication in the endpoint namespace names the secret ``name``. False where that cannot
    be read.
    """
    path = object_path(
        "triggerauthentications",
        context.endpoint_namespace,
        KEDA_AUTHENTICATION,
        group="keda.sh",
        version="v1alpha1",
    )
    try:
        await context.prove_endpoint_namespace()
        found = await context.reader.get(path)
    except CannotEvaluate:
        return False
    given = (found or {}).get("spec", {}).get("awsSecretManager", {}).get("secrets") or []
    return any(item.get("name") == name for item in given)
