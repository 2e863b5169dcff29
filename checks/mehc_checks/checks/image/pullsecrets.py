"""What endpoint pods are given to pull with."""

from mehc_checks.checks.image.facts import PullSecrets
from mehc_checks.clients.kubernetes.api import NoCluster, Secret
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.registry.keyring import Keyring
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.installation.context import Context


async def pull_secrets(context: Context) -> PullSecrets:
    """As admission adds them to a pod that names none."""
    if isinstance(context.cluster, NoCluster):
        return PullSecrets()
    where = context.endpoint_namespace
    account = context.values.text("serviceTemplate.serviceAccountName") or "default"
    found: dict[str, Secret | None] = {}
    try:
        await context.prove_endpoint_namespace()
        manifest = await context.reader.get(object_path("serviceaccounts", where, account))
        if manifest is None:
            return PullSecrets(account=account, namespace=where, account_missing=True)
        names = [str(entry.get("name") or "") for entry in manifest.get("imagePullSecrets") or []]
        for name in filter(None, names):
            found[name] = await context.secret(name, namespace=where)
    except CannotEvaluate as problem:
        return PullSecrets(account=account, namespace=where, unknown=problem)
    missing = tuple(name for name, secret in found.items() if secret is None)
    try:
        keyring = Keyring([secret for secret in found.values() if secret is not None])
    except Problem as problem:
        return PullSecrets(account=account, namespace=where, missing=missing, malformed=problem)
    for login in filter(lambda each: each.password, keyring.logins):
        context.redactor.add(login.password, f"{login.username}:{login.password}")
    return PullSecrets(account=account, namespace=where, missing=missing, keyring=keyring)
