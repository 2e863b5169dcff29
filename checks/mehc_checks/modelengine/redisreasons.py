"""What is wrong with a connection to Redis before anything is asked: found in the values and the secrets they name.

Words of a message: ``source`` names the value that the address is from, ``cloud`` is cloud_provider, ``secret`` a
secret of AWS Secrets Manager; ``concerning`` is the connection with its colon ("cache: ").
"""

from typing import Final

from mehc_checks.core.outcome import Reason, ReasonSet, Status

_CONCERNING: Final = {"concerning": ""}


class RedisConnectionReasons(ReasonSet):
    """The connection cannot be made as configured, or not as this process could test it."""

    NO_SOURCE = Reason(
        "NoRedisConfigured",
        Status.FAIL,
        "No value names an address for this cloud; the gateway crashes at startup (AssertionError), Celery asks for a "
        "host named None.",
        message="{concerning}no Redis address is configured for cloud {cloud}",
        remedy="Set {wanted}.",
        defaults=_CONCERNING,
    )
    WRONG_CLOUD = Reason(
        "RedisSourceOfAnotherCloud",
        Status.FAIL,
        "A value for another cloud is set; the gateway crashes at startup (AssertionError).",
        message="{concerning}{source} is set, but cloud_provider is {cloud}: the gateway crashes at startup",
        remedy="{fix}",
        defaults={
            "concerning": "",
            "fix": "Set the address that belongs to another cloud to null, and set the one of this cloud.",
        },
    )
    URL_INVALID = Reason(
        "RedisURLInvalid",
        Status.FAIL,
        "The client cannot read the URL, or connects to its own pod because the URL names no host.",
        message="{concerning}{source} is not a valid Redis URL: {detail}",
        remedy="Correct {source}: {form}.",
        defaults={
            "concerning": "",
            "form": "redis://host:6379/0, or rediss:// for TLS; percent-encode special characters of the password",
        },
    )
    TOKEN_NOT_FOUND = Reason(
        "RedisTokenNotFound",
        Status.FAIL,
        "The Secret of redis.authSecretName does not exist, or lacks the key that the chart reads; pods stay in "
        "CreateContainerConfigError.",
        message="{concerning}Secret {secret} in namespace {namespace} {wrong}: pods stay in "
        "CreateContainerConfigError",
        remedy="Set redis.authSecretName and redis.authSecretKey (default auth_token) to an existing Secret and key, "
        "or create them (kubectl create secret generic {secret} -n {namespace} --from-literal={key}=TOKEN).",
        defaults=_CONCERNING,
    )
    AZURE_TOKEN_NOT_EVALUATED = Reason(
        "AzureTokenNotEvaluated",
        Status.ERROR,
        "Name, network and certificate are correct. Only the platform's identity can test whether Azure accepts its "
        "token, and the operator has another identity, or none.",
        message="{concerning}{address} is reachable; authentication was not tested: {detail}",
        remedy="If the gateway logs AUTH errors, assign the platform's managed identity the access policy Data "
        "Contributor on the Azure cache. To have it tested, run the operator with that identity (azure.client_id in "
        "its annotation azure.workload.identity/client-id).",
        defaults={**_CONCERNING, "detail": "mehc has no Azure identity"},
    )
    AZURE_LOGIN_REJECTED = Reason(
        "AzureCacheLoginRejected",
        Status.FAIL,
        "The cache rejects a token of the platform's own identity: azure.object_id is not that identity's, it has no "
        "access policy, or Microsoft Entra authentication is off.",
        message="{concerning}{address} rejected the Microsoft Entra token of {principal} for user {user}",
        remedy="Set azure.object_id to the object ID of the identity (for its client ID: az ad sp show --id {client} "
        "--query id), enable Microsoft Entra authentication on the cache, and assign it the access policy Data "
        "Contributor.",
        defaults={**_CONCERNING, "client": "CLIENT_ID"},
    )
    AZURE_POLICY_DENIES = Reason(
        "AzureAccessPolicyDenies",
        Status.FAIL,
        "The access policy of the platform's identity on the Azure cache lacks a command, or keys, that the platform "
        "uses.",
        message="{concerning}{address} denies user {user} {denied}{consequence}",
        remedy="Assign the access policy Data Contributor to object {user} on the Azure cache, or add {grant} to its "
        "own policy.",
        defaults={**_CONCERNING, "consequence": ""},
    )
    KEDA_ADDRESS_INVALID = Reason(
        "KedaAddressInvalid",
        Status.FAIL,
        "What the platform cuts out of the cache URL for KEDA is not host:port, so KEDA cannot connect.",
        message="{concerning}KEDA is given {shown} as address, which is not host:port",
        remedy="Write {source} as redis://host:6379/0, or with a password as rediss://: up to chart 0.2.7, the "
        "password of a redis:// URL stays in KEDA's address.",
        defaults=_CONCERNING,
        explained_by=("RedisReachable/cache/TLSRequired",),
    )
    KEDA_AUTH_UNAVAILABLE = Reason(
        "KedaAuthUnavailable",
        Status.FAIL,
        "redis.enableAuth reads a secret of AWS Secrets Manager, and this is not AWS: KEDA gets no password.",
        message="{concerning}redis.enableAuth is true, but TriggerAuthentication {authentication} works on AWS only "
        "and cloud_provider is {cloud}",
        remedy="Set redis.enableAuth: false, and allow the default user LLEN and EVAL on launch-endpoint-autoscaling:* "
        "without a password.",
        defaults=_CONCERNING,
    )
    KEDA_LOGIN_NOT_EVALUATED = Reason(
        "KedaLoginNotEvaluated",
        Status.WARN,
        "The platform is newer than chart 0.2.7, and mehc does not know how it gives KEDA the password that Redis "
        "requires.",
        message="{concerning}{address} requires a password; how a platform newer than chart 0.2.7 gives it to KEDA was "
        "not evaluated",
        remedy="Check that ScaledObjects of endpoints with min_workers 0 are Ready (kubectl get scaledobjects -A). If "
        "not, allow the default user LLEN and EVAL on launch-endpoint-autoscaling:* without a password.",
        defaults=_CONCERNING,
    )
    KEDA_SECRET_UNNAMED = Reason(
        "KedaSecretUnnamed",
        Status.FAIL,
        "redis.enableAuth is on and redis.kedaSecretName is empty: the TriggerAuthentication names no secret.",
        message="{concerning}redis.enableAuth is true, but redis.kedaSecretName is empty",
        remedy="Set redis.kedaSecretName to the secret of AWS Secrets Manager that holds the password.",
        defaults=_CONCERNING,
    )
    KEDA_SECRET_IS_JSON = Reason(
        "KedaSecretIsJSON",
        Status.FAIL,
        "The secret of redis.kedaSecretName is a JSON object; KEDA sends all of it as the password, and the server "
        "rejects it.",
        message="{concerning}{address} rejected the text of secret {secret}, which is JSON and not the bare password",
        remedy="Write the bare password as the text of secret {secret}: the TriggerAuthentication names no key in it.",
        defaults=_CONCERNING,
    )
    KEDA_SECRET_NOT_VERIFIED = Reason(
        "KedaSecretNotVerified",
        Status.ERROR,
        "The cluster does not show that KEDA is given the secret that the values name, so it was not sent to the "
        "address that they name.",
        message="{concerning}{address} is reachable; the password was not tested: {detail}",
        remedy="Run helm upgrade, so that TriggerAuthentication {authentication} in namespace {namespace} names "
        "{secret}, or correct redis.kedaSecretName.",
        defaults=_CONCERNING,
    )
    KEDA_WITHOUT_PASSWORD = Reason(
        "KedaWithoutPassword",
        Status.WARN,
        "KEDA finds no password in the secret of redis.kedaSecretName and connects without; the server accepts it.",
        message="{concerning}secret {secret} {wrong}; {address} accepts KEDA without a password",
        remedy="Write the bare password as the text of secret {secret}, or set redis.enableAuth: false.",
        defaults=_CONCERNING,
    )
