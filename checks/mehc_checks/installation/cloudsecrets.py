"""Secrets of AWS Secrets Manager, read as the platform reads them. Source: ``core/aws/secrets.py`` of model engine."""

from typing import Final

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.redis import INFRA
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

    What it holds is secret from here on: whatever the pass reports is redacted.
    """
    region = context.values.text(f"{INFRA}.default_region") or "us-east-1"
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
    kept = CloudSecret.of(name, text)
    context.redactor.add(*(value for key, value in (kept.fields or {}).items() if key not in _PUBLIC))
    return kept
