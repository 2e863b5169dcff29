"""The secret that the gateway's database URL is made from, by the cloud that has it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from mehc_checks.installation.cloudsecrets.aws import aws_secret
from mehc_checks.installation.cloudsecrets.azure import key_vault_secret
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.database import SourceKind
from mehc_checks.modelengine.secrets import CloudSecret

READERS: Final[Mapping[SourceKind, Callable[[Context, str], Awaitable[CloudSecret]]]] = {
    SourceKind.AWS_SECRET: aws_secret,
    SourceKind.KEY_VAULT: key_vault_secret,
}
"""Who reads a secret of which store."""
