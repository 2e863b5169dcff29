"""Tokens for Amazon ECR, as the nodes' credential provider gets them."""

import base64
import re
from collections.abc import Mapping
from typing import Final

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.trouble import RegistryFailure, Trouble
from mehc_checks.core.outcome import Reason

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_TROUBLES: Final[Mapping[Reason, Trouble]] = {
    AwsReasons.NO_CREDENTIALS: Trouble.AWS_NO_CREDENTIALS,
    AwsReasons.NO_PROFILE: Trouble.AWS_NO_CREDENTIALS,
    AwsReasons.UNREACHABLE: Trouble.AWS_UNREACHABLE,
    AwsReasons.UNTRUSTED: Trouble.AWS_UNREACHABLE,
    AwsReasons.REGION: Trouble.AWS_UNREACHABLE,
}


def region_of(host: str) -> str:
    """The region of a private ECR registry, or "" for any other host."""
    found = _HOST.fullmatch(host)
    return found["region"] if found else ""


def account_of(host: str) -> str:
    """The AWS account of a private ECR registry, or ""."""
    found = _HOST.fullmatch(host)
    return found["account"] if found else ""


async def login(region: str, *, timeout: float) -> Login:
    """A token for the registries of ``region`` by the process's own AWS identity. Raises RegistryFailure."""
    try:
        answer = await Aws(region=region, timeout=timeout).call("ecr", "GetAuthorizationToken")
        token = answer["authorizationData"][0]["authorizationToken"]
        username, _, password = base64.b64decode(token).decode().partition(":")
    except AwsProblem as failure:
        trouble = _TROUBLES.get(failure.reason, Trouble.AWS_DENIED)
        raise RegistryFailure(trouble, f"there is no ECR token for {region}: {failure}") from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise RegistryFailure(Trouble.AWS_DENIED, f"AWS gives an unusable ECR token for {region}") from None
    return Login(username=username, password=password, source=f"an ECR token of region {region}")
