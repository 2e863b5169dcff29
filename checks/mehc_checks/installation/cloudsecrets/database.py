"""The secret that the gateway's database URL is made from, by the cloud that has it."""

from mehc_checks.installation.cloudsecrets.aws import aws_secret
from mehc_checks.installation.cloudsecrets.azure import key_vault_secret
from mehc_checks.installation.cloudsecrets.google import google_secret
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import Environment
from mehc_checks.modelengine.database import SourceKind
from mehc_checks.modelengine.secrets import CloudSecret


async def database_secret(
    context: Context, kind: SourceKind, name: str, environment: Environment
) -> CloudSecret:
    """The secret ``name`` of the store ``kind``, as a process with ``environment`` would read it."""
    if kind is SourceKind.GCP_SECRET:
        return await google_secret(context, name, environment)
    return await (key_vault_secret if kind is SourceKind.KEY_VAULT else aws_secret)(context, name)
