"""Secrets of AWS Secrets Manager. Source: ``core/aws/secrets.py`` of model engine."""

from mehc_checks.clients.aws.client import Aws, AwsProblem
from mehc_checks.clients.aws.reasons import NOT_FOUND
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate
from mehc_checks.installation.cloudsecrets.shared import is_named, kept, not_verified, proven
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.kedaredis import KEDA_AUTHENTICATION, keda_secret
from mehc_checks.modelengine.redis import INFRA
from mehc_checks.modelengine.secrets import CloudSecret


async def aws_secret(context: Context, name: str) -> CloudSecret:
    """The secret ``name`` in the installation's region.

    Where values may be anyone's, it is read only if the installation's live objects name it.
    """
    if context.is_deputy and not (await is_named(context, name) or await _is_kedas(context, name)):
        return not_verified(context, name, "AWS Secrets Manager")
    region = (await proven(context)).text(f"{INFRA}.default_region") or "us-east-1"
    aws = Aws(region=region, timeout=context.network_timeout / 2)
    try:
        text = (await aws.call("secretsmanager", "GetSecretValue", SecretId=name)).get("SecretString")
    except AwsProblem as failure:
        if failure.reason is NOT_FOUND:
            return CloudSecret(name=name, trouble=f"does not exist in AWS Secrets Manager of {region}")
        return CloudSecret(name=name, failure=failure)
    if text is None:
        return CloudSecret(name=name, trouble="is binary and has no text")
    return kept(context, CloudSecret.of(name, text))


async def _is_kedas(context: Context, name: str) -> bool:
    """Whether the values name the secret ``name`` for KEDA, and its TriggerAuthentication does too."""
    return name == keda_secret(context.configuration) and await is_of_keda(context, name)


async def is_of_keda(context: Context, name: str) -> bool:
    """Whether KEDA's TriggerAuthentication in the endpoint namespace names the secret ``name``. False where that cannot
    be read.
    """
    path = object_path(
        "triggerauthentications",
        context.endpoint_namespace,
        KEDA_AUTHENTICATION,
        group="keda.sh",
        version="v1alpha1",
    )
    try:
        await context.prove_endpoint_namespace()
        found = await context.reader.get(path)
    except CannotEvaluate:
        return False
    given = (found or {}).get("spec", {}).get("awsSecretManager", {}).get("secrets") or []
    return any(item.get("name") == name for item in given)
