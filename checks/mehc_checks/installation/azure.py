"""Azure as an installation uses it: the services that its values name, asked by this process's identity."""

import re
from collections.abc import Iterable
from typing import Final

from mehc_checks.clients.azure.client import Azure
from mehc_checks.clients.azure.identity import AzureProblem, Token
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.installation.cloudsecrets.shared import proven
from mehc_checks.installation.context import Context

_PART: Final = 0.5
"""Part of the time, so that some is left for what the answer leads to."""
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,63}")
DATABASE_SCOPE: Final = "https://ossrdbms-aad.database.windows.net/.default"
REDIS_SCOPE: Final = "https://redis.azure.com/.default"
_OF_AZURE: Final = {
    DATABASE_SCOPE: (".postgres.database.azure.com",),
    REDIS_SCOPE: (".redis.cache.windows.net", ".redis.azure.net", ".redisenterprise.cache.azure.net"),
}
"""Names of servers that are Azure's own, by what their tokens are for."""


async def azure(context: Context) -> Azure:
    """By the identity of this process, which is the platform's where both have one client ID."""
    platform = (await proven(context)).text("azure.client_id") or ""
    return Azure(timeout=context.network_timeout * _PART, platform=platform)


def account(text: str) -> str:
    """``text`` as the first label of a host of Azure; "" for what cannot be one."""
    return text if _NAME.fullmatch(text) else ""


async def login_token(context: Context, scope: str, hosts: Iterable[str]) -> tuple[Token, bool]:
    """A token by which to log in at ``hosts``, and whether it is of the platform's own identity.

    A token for one server of Azure opens every other that admits this process. So where values may be anyone's, it goes
    to none but Azure's own servers, which show it to no one. Raises AzureProblem.
    """
    for host in hosts:
        if context.is_deputy and not host.lower().rstrip(".").endswith(_OF_AZURE[scope]):
            raise AzureProblem(AzureReasons.TOKEN_WITHHELD, host=host, domain=_OF_AZURE[scope][0][1:])
    asked = await azure(context)
    held = await asked.token(scope)
    context.redactor.add(held.text)
    return held, asked.is_platform(held)
