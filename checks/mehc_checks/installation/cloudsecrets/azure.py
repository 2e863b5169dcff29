"""Secrets of Azure Key Vault. Source: ``db/base.py`` of model engine."""

import re
from typing import Final

from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import NOT_FOUND
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.errors import Problem
from mehc_checks.installation.azure import account, azure
from mehc_checks.installation.cloudsecrets.shared import is_named, not_verified, proven
from mehc_checks.installation.context import Context
from mehc_checks.modelengine import paths
from mehc_checks.modelengine.secrets import CloudSecret

SCOPE: Final = "https://vault.azure.net/.default"
_VERSION: Final = "7.4"
_ROLE: Final = "Key Vault Secrets User"
_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,127}")
_UNREADABLE: Final = {
    "SecretDisabled": "is disabled",
    "SecretNotYetValid": "is not valid yet",
    "SecretExpired": "has expired",
}
"""Codes of a secret that nobody can read, whatever the role."""


async def key_vault_secret(context: Context, name: str) -> CloudSecret:
    """The secret ``name`` in the installation's vault; on Azure that is text, and not JSON.

    Where values may be anyone's, it is read only if the installation's live objects name it, and in their vault.
    """
    place = paths.AZURE_KEYVAULT_NAME
    if context.is_deputy and not await is_named(context, name):
        return not_verified(context, name, "Azure Key Vault")
    vault = (await proven(context)).text(place) or ""
    if not account(vault):
        named = f"{vault!r} is no vault's name" if vault else "it is not set"
        return CloudSecret(name=name, trouble=f"cannot be read: {place}: {named}", place=place)
    if not _NAME.fullmatch(name):
        trouble = "cannot exist in Azure Key Vault, whose names have letters, digits and hyphens only"
        return CloudSecret(name=name, trouble=trouble, place=place)
    url = f"https://{vault}.vault.azure.net/secrets/{name}?api-version={_VERSION}"
    what = f"secret {name} of Key Vault {vault}"
    try:
        answer = await (await azure(context)).call(url, SCOPE, what=what, role=_ROLE)
    except AzureProblem as failure:
        if failure.reason is NOT_FOUND:
            return CloudSecret(name=name, trouble=f"does not exist in Azure Key Vault {vault}", place=place)
        code = str(failure.words.get("code", "")).strip(" ()")
        if code in _UNREADABLE:
            return CloudSecret(name=name, trouble=f"{_UNREADABLE[code]} in Key Vault {vault}", place=place)
        return CloudSecret(name=name, failure=failure)
    except NetworkProblem as failure:
        return CloudSecret(name=name, failure=Problem(failure.reason, **{**failure.words, "source": place}))
    content = answer.json()
    text = content.get("value") if isinstance(content, dict) else None
    if not isinstance(text, str):
        return CloudSecret(name=name, trouble="has no value", place=place)
    context.vouch(text)
    if "@" in text or text.lstrip().startswith("{"):
        context.redactor.add(text)  # more than an address: there may be a password in it
    return CloudSecret(name=name, text=text, place=place)
