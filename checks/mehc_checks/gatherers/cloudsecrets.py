"""Secrets of AWS Secrets Manager, read as the platform reads them. Source: ``core/aws/secrets.py`` of model engine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mehc_checks.aws.client import Aws, AwsFailure, Trouble
from mehc_checks.context import Context
from mehc_checks.platform.redis import INFRA, cloud_provider

_PUBLIC: Final = frozenset(
    {"clusterHost", "clusterHostRo", "dbname", "engine", "host", "port", "scheme", "username"}
)
"""Fields that findings must show; all others are secret."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudSecret:
    """A secret: its ``fields``, or what is wrong with it (``trouble``), or why it could not be read (``failure``).

    The platform fails by a trouble; a failure is only of the identity that asks here.
    """

    name: str
    fields: Mapping[str, str] | None = None
    trouble: str = ""
    failure: AwsFailure | None = None

    def lacks(self, *names: str) -> list[str]:
        """Those of ``names`` that are not among the fields, or are empty."""
        return [name for name in names if not (self.fields or {}).get(name)]


async def cloud_secret(context: Context, name: str) -> CloudSecret | None:
    """The secret ``name`` in the installation's region; None on clouds whose secrets cannot be read here.

    Its values are secret from here on: whatever the pass reports is redacted.
    """
    if cloud_provider(context.values) != "aws":
        return None
    region = context.values.text(f"{INFRA}.default_region") or "us-east-1"
    aws = Aws(region=region, timeout=context.network_timeout / 2)
    try:
        text = (await aws.call("secretsmanager", "GetSecretValue", SecretId=name)).get("SecretString")
    except AwsFailure as failure:
        if failure.trouble is Trouble.NOT_FOUND:
            return CloudSecret(name=name, trouble=f"does not exist in AWS Secrets Manager of {region}")
        return CloudSecret(name=name, failure=failure)
    context.redactor.add(text)
    try:
        document = json.loads(text or "")
    except ValueError:
        return CloudSecret(name=name, trouble="is not JSON")
    if not isinstance(document, dict):
        return CloudSecret(name=name, trouble="is not a JSON object")
    fields = {str(key): str(value) for key, value in document.items() if value is not None}
    context.redactor.add(
        *(value for key, value in fields.items() if key not in ("host", "clusterHost", "port"))
    )
    return CloudSecret(name=name, fields=fields)
