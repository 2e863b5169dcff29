"""What VllmImagePullable can find besides what registries and AWS answer."""

from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.registry.reasons import RegistryReasons
from mehc_checks.core.outcome import Reason, Status

PREFIX = "config.values.infra.docker_repo_prefix"


class VllmImageReasons(RegistryReasons, AwsReasons):
    """Reasons of VllmImagePullable."""

    PULLABLE = Reason(
        "Pullable",
        Status.PASS,
        "The image is complete in its registry, and endpoint pods are allowed to pull it.",
        message="{image} can be pulled {how}",
    )
    INVALID_REFERENCE = Reason(
        "InvalidImageReference",
        Status.FAIL,
        "Prefix, repository and tag together are not an image reference; pods are in InvalidImageName.",
        message="{image!r} is not an image reference: {detail}",
        remedy=f"Set {PREFIX} to host[:port][/path] without a scheme or trailing slash, and "
        "{path} to a path in lower case.",
    )
    PLACEHOLDER_REGISTRY = Reason(
        "PlaceholderRegistry",
        Status.FAIL,
        "The image is in an example registry of the documentation (account 000000000000, for one).",
        message="{image} is in an example registry of the documentation",
        remedy=f"Set {PREFIX} to your own registry.",
    )
    VENDOR_REGISTRY = Reason(
        "VendorRegistry",
        Status.FAIL,
        "The image is in the platform vendor's private registry, which denies access to other accounts.",
        message="{image} is in the platform vendor's private registry",
        remedy="Mirror {image} to your own registry and set " + PREFIX + " to it.",
    )
    FULL_PATH_REPOSITORY = Reason(
        "FullPathRepository",
        Status.FAIL,
        "The repository is a full path: pods would pull it, but model engine first looks for the image by the same "
        "text below its own registry, and LLM creation returns 404 or 500.",
        message="{path} is the full path {repository!r}; model engine looks for it below its own registry",
        remedy="Set {path} to the part after the registry, and " + PREFIX + " to the registry.",
    )
    DOUBLE_PREFIX = Reason(
        "DoubleRegistryPrefix",
        Status.WARN,
        "The batch repository is a full path, and model engine always prepends the prefix to it: the image name "
        "contains the registry twice.",
        message="{path} is the full path {repository!r}, and batch jobs would pull {image}",
        remedy="Set {path} to the part after " + PREFIX + ".",
    )
    REGISTRY_PREFIX_INVALID = Reason(
        "RegistryPrefixInvalid",
        Status.FAIL,
        "Before it creates an LLM endpoint, the gateway looks for the image in a way that the type of the registry "
        "determines; it cannot do that with this prefix, and LLM creation returns 404 or 500.",
        message="{source} is {prefix!r}, which the gateway cannot use for registry type {kind}: {detail}",
        remedy="Set {source} to {form} and the rest of the path in config.values.launch.vllm_repository, or set "
        "config.values.infra.docker_registry_type to the registry's type (onprem skips the gateway's search).",
    )
    IMAGE_NOT_FOUND_BY_GATEWAY = Reason(
        "ImageNotFoundByGateway",
        Status.FAIL,
        "Pods can pull the image, but the gateway looks for it elsewhere (ECR: by ml_account_id and default_region, "
        "without the prefix's path; Artifact Registry: directly in the repository): LLM creation returns 404 or 500.",
        message="the gateway looks for {sought}, which does not exist; pods pull {image}",
        remedy="Push the image to {sought} too, or move the path of " + PREFIX + " into "
        "config.values.launch.vllm_repository and correct ml_account_id and default_region.",
    )
    GATEWAY_SEARCH_NOT_VERIFIED = Reason(
        "GatewaySearchNotVerified",
        Status.WARN,
        "The gateway looks for the image elsewhere than pods pull it; whether it is there could not be asked.",
        message="the gateway looks for {sought}, pods pull {image}; whether the former exists is not known: {detail}",
        remedy="Make sure that {sought} exists, or move the path of " + PREFIX + " into "
        "config.values.launch.vllm_repository and correct ml_account_id and default_region.",
    )
    REGISTRY_CLOSED_TO_GATEWAY = Reason(
        "RegistryClosedToGateway",
        Status.FAIL,
        "The gateway asks a registry of type generic anonymously, trusts public authorities only and follows no "
        "redirect. Pods can pull the image, but the gateway does not see it, so LLM creation returns 404.",
        message="pods can pull, but the gateway asks {host} for {repository}:{tag} anonymously: {detail}",
        remedy="Set config.values.infra.docker_registry_type to onprem, which skips the gateway's search, or let "
        "anonymous clients read {repository}; for a private authority set REQUESTS_CA_BUNDLE in extraEnvVars.",
    )
    FRAMEWORK_TAG_UNKNOWN = Reason(
        "FrameworkTagUnknown",
        Status.WARN,
        "The ConfigMap that turns the tag 'latest' into a version does not exist under the name the gateway reads.",
        message="ConfigMap {config_map} does not exist, so requests for the tag 'latest' fail",
        remedy="Install the chart without fullnameOverride and serviceIdentifier, or create ConfigMap {config_map} in "
        "the chart's namespace; until then, name a tag in every request.",
        defaults={"config_map": "model-engine-inference-framework-latest-config"},
    )
    NODE_IDENTITY = Reason(
        "NodeIdentityNeeded",
        Status.WARN,
        "Only an identity of the nodes could pull here (Azure, Google), which cannot be tested from outside a node; no "
        "recent pull proves it, and the operator has no identity that may pull.",
        message="{host} requires credentials for {repository}; whether the nodes' own identity is enough is not "
        "known{denied}",
        remedy="Grant the nodes' identity the right to pull from {host} (AcrPull, roles/artifactregistry.reader), or "
        "add a pull secret to {account}. To have it tested, grant the role to the operator's identity, or set "
        "parameters.pullFrom: node.",
        defaults={"account": "the inference ServiceAccount", "denied": ""},
    )
    SERVICE_ACCOUNT_MISSING = Reason(
        "InferenceServiceAccountMissing",
        Status.FAIL,
        "The ServiceAccount of endpoint pods does not exist, so no endpoint pod can be created.",
        message="ServiceAccount {account} does not exist in namespace {namespace}",
        remedy="Create it: kubectl create serviceaccount {account} -n {namespace}; "
        "serviceTemplate.createServiceAccount has no effect without serviceTemplate.serviceAccountAnnotations.",
    )
    REGISTRY_UNREACHABLE_FROM_OPERATOR = Reason(
        "RegistryUnreachableFromOperator",
        Status.WARN,
        "Nodes have recently pulled the image, but this process cannot: nodes have an identity, a proxy or a mirror "
        "that it lacks.",
        message="nodes have recently pulled {image}, but from here: {detail}",
        remedy="Endpoints are fine. To let mehc verify the image, give the operator the registry access that the nodes "
        "have (proxy, mirror, identity).",
    )
    PULL_PROBE_NOT_RUN = Reason(
        "PullProbeNotRun",
        Status.WARN,
        "A pull by a GPU node was requested (pullFrom: node), and none was made; the message says why.",
        message="no node was made to pull: {detail}",
        remedy="Free or label a GPU node, admit the pod, or grant the permission (chart value pullProbe.enabled); or "
        "remove pullFrom from the parameters.",
    )
    IMAGE_CACHE_STUCK = Reason(
        "ImageCacheStuck",
        Status.WARN,
        "Pods of the image cache wait for an image that cannot be pulled, so it is not pre-pulled.",
        message="{owners} wait for {image}",
        remedy="Mirror {image}; until then the first endpoint on each node waits for its pull.",
    )
    PREFETCH_UNAVAILABLE = Reason(
        "PrefetchImagesUnavailable",
        Status.PASS,
        "The image cache cannot pull images of old versions that the cacher names whatever the values say (vLLM 0.2.7 "
        "and 0.3.2, TGI 1.1.0, Istio's proxy 1.15.0). Harmless: its other containers pull independently, and its "
        "DaemonSets stay not ready. To end it, mirror the images that the message names.",
        message="harmless: the image cache cannot pull {images}, which the cacher names whatever the values say",
    )
    SLOW_PULL = Reason(
        "PullTooSlow",
        Status.WARN,
        "At the stated bandwidth the download alone takes longer than model engine's limit of a task.",
        message="{image} has {size}: {minutes} minutes at {bandwidth} Mbit/s, and the limit is {limit} minutes",
        remedy="Use a registry closer to the nodes, a smaller image, or the image cache.",
    )
