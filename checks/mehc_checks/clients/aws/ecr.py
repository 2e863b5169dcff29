"""Tokens for Amazon ECR, as the nodes' credential provider gets them."""

import base64
from typing import Final, NamedTuple

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import AwsReasons

_OPERATION: Final = "GetAuthorizationToken"


class EcrToken(NamedTuple):
    """What a registry of ECR takes as user name and password, for 12 hours."""

    username: str
    password: str


async def token(region: str, *, timeout: float) -> EcrToken:
    """A token for the registries of ``region`` by the process's own AWS identity. Raises AwsProblem."""
    answer = await Aws(region=region, timeout=timeout).call("ecr", _OPERATION)
    try:
        encoded = answer["authorizationData"][0]["authorizationToken"]
        username, _, password = base64.b64decode(encoded).decode().partition(":")
    except (KeyError, IndexError, TypeError, ValueError):
        where = f" in region {region}"
        raise AwsProblem(
            AwsReasons.OTHER, service="ecr", operation=_OPERATION, where=where, code="an unusable token"
        ) from None
    return EcrToken(username, password)
