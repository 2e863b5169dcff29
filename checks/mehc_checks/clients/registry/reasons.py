"""What keeps an image from being pulled, as far as its registry shows.

The client fills ``host`` (the registry), ``repository``, ``image``, ``login`` and what it measured. Whoever asks adds
``source`` (what names the registry's address), ``path`` (what names the repository), ``account`` and ``namespace``.
"""

from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason, Status

_LOGIN = {"login": "the pull secret"}
_PATH = {"path": "the configured repository"}
_SOURCE = {"source": "the configured address"}


class RegistryReasons(NetworkReasons):
    """Roughly in the order in which a pull meets them."""

    NOT_A_REGISTRY = Reason(
        "NotARegistry",
        Status.FAIL,
        "What answers at the address is not an image registry: a web page, a login portal, another service.",
        message="{address} is not an image registry: {detail}",
        remedy="Correct the host and port in {source}; a registry answers GET /v2/.",
        defaults=_SOURCE,
    )
    TOKEN_SERVICE_UNREACHABLE = Reason(
        "TokenServiceUnreachable",
        Status.FAIL,
        "The registry sends its clients to a token service on another host, which cannot be reached.",
        message="token service: {detail} ({host} sends its clients there)",
        remedy="Open the path from the nodes to {service} and trust its certificate, or correct the realm that {host} "
        "is configured with.",
    )
    REDIRECT_NOT_FOLLOWED = Reason(
        "RedirectNotFollowed",
        Status.ERROR,
        "The registry sends its clients from HTTPS to plain HTTP, for tokens or for layers. Container runtimes follow; "
        "the operator does so only where its administrator allows that.",
        message="{host} redirects from HTTPS to plain HTTP at {target}, which the operator does not follow",
        remedy="Put TLS in front of {target}, or have an administrator add it to probes.insecureRegistries of the "
        "operator's chart.",
    )
    PULL_SECRET_MALFORMED = Reason(
        "PullSecretMalformed",
        Status.FAIL,
        "A pull secret of the inference ServiceAccount is malformed; the kubelet then fails every pull of the pod.",
        message="pull secret {secret} is malformed: {detail}; the kubelet fails every pull that uses it",
        remedy="Create Secret {secret} again: kubectl create secret docker-registry.",
    )
    PULL_SECRET_MISSING = Reason(
        "PullSecretMissing",
        Status.WARN,
        "A pull secret that the inference ServiceAccount or a pod names does not exist in its namespace.",
        message="{account} names pull secret {secret}, which does not exist in namespace {namespace}",
        remedy="Create Secret {secret} in namespace {namespace} (kubectl create secret docker-registry), or remove it "
        "from imagePullSecrets of {account}.",
    )
    NO_PULL_CREDENTIALS = Reason(
        "NoPullCredentials",
        Status.FAIL,
        "The registry requires credentials, and endpoint pods have none for it. Some registries return the same for "
        "a repository that does not exist.",
        message="{host} requires credentials for {repository}, and {offered}",
        remedy="Run kubectl create secret docker-registry NAME --docker-server={host} -n {namespace}, and add NAME to "
        "imagePullSecrets of {account}.",
        defaults={
            "account": "the inference ServiceAccount",
            "namespace": "ENDPOINT_NAMESPACE",
            "offered": "endpoint pods have none",
        },
    )
    PULL_SECRET_IGNORED = Reason(
        "PullSecretIgnored",
        Status.WARN,
        "A pull secret is of a type that the kubelet ignores.",
        message="pull secret {secret} is of a type that the kubelet ignores",
        remedy="Create Secret {secret} again with type kubernetes.io/dockerconfigjson.",
    )
    PULL_SECRET_EMPTY = Reason(
        "PullSecretWithoutPassword",
        Status.WARN,
        "A pull secret has no password: it is the configuration file of a Docker client that keeps passwords elsewhere "
        "(credsStore, credHelpers, identitytoken), which nodes cannot use.",
        message="pull secret {secret} has no password{detail}",
        remedy="Create Secret {secret} again: kubectl create secret docker-registry {secret} --docker-server=HOST "
        "--docker-username=USER --docker-password=PASSWORD -n {namespace}.",
        defaults={"detail": "", "namespace": "ENDPOINT_NAMESPACE"},
    )
    PULL_TOKEN_EXPIRED = Reason(
        "PullTokenExpired",
        Status.FAIL,
        "The password in the pull secret is a token that has expired; a token of ECR lasts 12 hours.",
        message="the token of {login} expired at {when}",
        remedy="Renew the token in Secret {secret} -n {namespace}, and let a CronJob renew it before it expires: one "
        "of ECR lasts 12 hours and is the output of aws ecr get-login-password.",
        defaults={"namespace": "ENDPOINT_NAMESPACE"},
    )
    PULL_TOKEN_EXPIRES_SOON = Reason(
        "PullTokenExpiresSoon",
        Status.WARN,
        "The password in the pull secret is a token that expires within the hour, and was not renewed.",
        message="the token of {login} expires at {when}",
        remedy="Check the CronJob that renews Secret {secret} -n {namespace}, or create one; for ECR the password is "
        "the output of aws ecr get-login-password.",
        defaults={"namespace": "ENDPOINT_NAMESPACE"},
    )
    PULL_CREDENTIALS_REJECTED = Reason(
        "PullCredentialsRejected",
        Status.FAIL,
        "The registry, or its token service, rejects the user name and password that endpoint pods have.",
        message="{service} rejects the user name and password of {login}",
        remedy="Renew the user name and password for {host} in {login}.",
        defaults=_LOGIN,
    )
    PULL_DENIED = Reason(
        "PullDenied",
        Status.FAIL,
        "The credentials are valid but not authorized for this repository.",
        message="{host} denies access to {repository} (HTTP {code}) to {login}",
        remedy="Grant {login} the right to pull {host}/{repository}; on ECR: ecr:BatchGetImage and "
        "ecr:GetDownloadUrlForLayer, and the repository's policy for other accounts.",
        defaults={"login": "anonymous clients"},
    )
    RATE_LIMITED = Reason(
        "RegistryRateLimited",
        Status.FAIL,
        "The registry returned 429, too many requests; pulls by the nodes meet the same limit.",
        message="{host} returned 429 (too many requests) for {repository}{after}",
        remedy="Pull {repository} with credentials, or mirror it to your own registry.",
        defaults={"after": ""},
    )
    SERVER_ERROR = Reason(
        "RegistryServerError",
        Status.FAIL,
        "The registry, or its token service, returned an internal error.",
        message="{service} returned HTTP {code} for {repository}",
        remedy="Check the log and the storage of {service}.",
    )
    REPOSITORY_MISSING = Reason(
        "RepositoryMissing",
        Status.FAIL,
        "The registry has no such repository; pods stay in ImagePullBackOff, and on ECR LLM creation returns 500.",
        message="{host} has no repository {repository}{detail}",
        remedy="Create the repository and push or mirror the image to it, or correct {path}.",
        defaults={**_PATH, "detail": ""},
    )
    TAG_MISSING = Reason(
        "TagMissing",
        Status.FAIL,
        "The repository has no such tag.",
        message="{host}/{repository}: tag {tag} does not exist{near}",
        remedy="Push {repository}:{tag}, or correct the tag in {tag_source}.",
        defaults={"near": "", "tag_source": "the request"},
    )
    SCHEMA_1 = Reason(
        "ManifestSchema1",
        Status.FAIL,
        "The image has a manifest of schema 1, which current container runtimes reject.",
        message="{image} has a manifest of the obsolete schema 1",
        remedy="Push {image} again with a current tool.",
    )
    MANIFEST_INVALID = Reason(
        "ManifestInvalid",
        Status.FAIL,
        "What the registry serves as the image is not an image manifest, or does not match its digest.",
        message="{image} is not a valid image: {detail}",
        remedy="Push {image} again; the tag may be taken by something that is not an image (a chart, a signature).",
    )
    IMAGE_PLATFORM_MISSING = Reason(
        "ImagePlatformMissing",
        Status.FAIL,
        "The image exists, but is not built for the architecture of the nodes.",
        message="{image} is not built for {architecture} ({detail})",
        remedy="Push {image} for {architecture}, mirror all of its platforms (skopeo copy --all), or select other "
        "nodes.",
    )
    INDEX_INCOMPLETE = Reason(
        "IndexIncomplete",
        Status.FAIL,
        "The image's index names a manifest for the nodes that the registry does not have: an incomplete mirror.",
        message="the manifest for {platform} ({digest}…) that the index of {image} names is missing",
        remedy="Mirror {image} again with all its variants (crane copy, skopeo copy --all).",
    )
    BLOBS_MISSING = Reason(
        "BlobsMissing",
        Status.FAIL,
        "The manifest exists but layers do not: an interrupted mirror, or a cleanup that deleted too much.",
        message="{missing} of {image} are missing, the first is {digest}…",
        remedy="Push or mirror {image} again.",
    )
    NODES_CANNOT_PULL = Reason(
        "NodesCannotPull",
        Status.WARN,
        "Nodes cannot pull the image although this process can.",
        message="pods using {image} are in {waiting}, but the registry serves the image to this operator",
        remedy="Compare the nodes' path to the registry: proxy, mirror, certificates, and the pull secrets of the pod. "
        "After a push or a fix, the kubelet tries again within 5 minutes.",
    )
    LAYER_STORE_UNREACHABLE = Reason(
        "LayerStoreUnreachable",
        Status.FAIL,
        "The registry redirects downloads of layers to another host, which cannot be reached.",
        message="layer store: {detail} ({host} redirects downloads there)",
        remedy="Open the path from the nodes to {store} (firewall, S3 gateway endpoint, private DNS) and trust its "
        "certificate.",
    )
    LAYER_STORE_ERROR = Reason(
        "LayerStoreError",
        Status.FAIL,
        "The registry redirects downloads of layers to another host, which rejects them.",
        message="layer store {store} returned HTTP {code} for {repository} ({host} redirects downloads there)",
        remedy="Allow downloads from {store}; for ECR, the policy of the S3 gateway endpoint must allow s3:GetObject "
        "on arn:aws:s3:::prod-REGION-starport-layer-bucket/*.",
    )
