"""What endpoint pods are given to pull with."""

from mehc_checks.checks.image.facts import PullSecrets
from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.context import Context
from mehc_checks.installation.pulls import pod_secrets


async def pull_secrets(context: Context) -> PullSecrets:
    """As admission adds them to a pod that names none."""
    if isinstance(context.cluster, NoCluster):
        return PullSecrets()
    where = context.endpoint_namespace
    account = context.values.text("serviceTemplate.serviceAccountName") or "default"
    try:
        await context.prove_endpoint_namespace()
        manifest = await context.reader.get(object_path("serviceaccounts", where, account))
        if manifest is None:
            return PullSecrets(account=account, namespace=where, account_missing=True)
        names = [str(entry.get("name") or "") for entry in manifest.get("imagePullSecrets") or []]
        found = await pod_secrets(context, filter(None, names), where)
    except CannotEvaluate as problem:
        return PullSecrets(account=account, namespace=where, unknown=problem)
    return PullSecrets(
        account=account,
        namespace=where,
        missing=found.missing,
        keyring=found.keyring,
        malformed=found.malformed,
    )
