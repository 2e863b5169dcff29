"""The certificate authorities that a check trusts: the system's, and those that its parameters name."""

import os
import ssl
from functools import lru_cache

from mehc_checks.core.errors import UsageError
from mehc_checks.installation.context import Context


async def trusted(context: Context, *, ca_bundle: str, ca_config_map: str) -> ssl.SSLContext:
    """The system's authorities, those of ``parameters.caBundle`` (PEM), and of the ConfigMap ``parameters.caConfigMap``
    in the installation's namespace.

    Raises UsageError for bad parameters, and what reading the ConfigMap raises.
    """
    bundles = {"parameters.caBundle": ca_bundle}
    if ca_config_map:
        where = f"parameters.caConfigMap {ca_config_map}"
        data = await context.cluster.config_map(context.namespace, ca_config_map)
        if data is None or not data.get("ca.crt"):
            raise UsageError(f"{where}: no such ConfigMap with a key ca.crt in {context.namespace}")
        bundles[where] = data["ca.crt"]
    given = tuple((where, bundle) for where, bundle in bundles.items() if bundle)
    return _trust(os.environ.get("SSL_CERT_FILE"), given)


@lru_cache(maxsize=64)
def _trust(_system: str | None, bundles: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """Kept, because reading the system's takes 10 ms; ``_system`` is read by OpenSSL itself. Raises UsageError."""
    tls = ssl.create_default_context()
    for where, bundle in bundles:
        try:
            tls.load_verify_locations(cadata=bundle)
        except (ssl.SSLError, ValueError):
            raise UsageError(f"{where}: not certificates in PEM form") from None
    return tls
