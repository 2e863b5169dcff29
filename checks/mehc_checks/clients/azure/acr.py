"""What a registry of Azure takes as user name and password, for three hours. Source: Azure Container Registry,
"Authenticate with an Azure container registry", AAD integration.
"""

import re
from typing import Final
from urllib.parse import urlencode

from mehc_checks.clients.azure.client import Azure
from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import AzureReasons
from mehc_checks.clients.http.exchange import send

USER: Final = "00000000-0000-0000-0000-000000000000"
"""By which a registry knows that the password is a token of its own."""
SCOPE: Final = "https://containerregistry.azure.net/.default"
"""For registries alone: a token for all of Azure's management goes to none."""
ROLE: Final = "AcrPull"
_HOST: Final = re.compile(r"[a-z0-9-]{1,64}\.azurecr\.io")
"""With a domain name label, a registry's name ends in a hyphen and a hash."""


def is_registry(host: str) -> bool:
    """Whether ``host`` is a registry of Azure's public cloud."""
    return _HOST.fullmatch(host) is not None


async def refresh_token(azure: Azure, host: str, *, timeout: float) -> str:
    """The password for the registry at ``host``, within ``timeout`` seconds. Raises AzureProblem and NetworkProblem."""
    held = await azure.token(SCOPE)
    form = {"grant_type": "access_token", "service": host, "tenant": held.tenant, "access_token": held.text}
    answer = await send(
        "POST",
        f"https://{host}/oauth2/exchange",
        timeout=timeout,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        data=urlencode(form).encode(),
        proxied=True,
    )
    content = answer.json() if answer.ok else None
    found = content.get("refresh_token") if isinstance(content, dict) else None
    if not isinstance(found, str) or not found.isascii():
        what = f"a login at {host}"
        raise AzureProblem(
            AzureReasons.DENIED,
            what=what,
            role=ROLE,
            principal=held.principal,
            code=f" (HTTP {answer.status})",
        )
    return found
