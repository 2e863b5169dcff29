"""VllmImagePullable: endpoint pods can pull the vLLM image, by the name that model engine gives it."""

from collections.abc import Iterator

from mehc_checks.checks.image.gather import ImageFacts, ImageParameters, NodeView, Probed, image_facts
from mehc_checks.checks.image.pullprobe import NodePull, NodePullState
from mehc_checks.clients.registry.trouble import Trouble
from mehc_checks.core.outcome import Evidence, Finding, Outcome, Reason, ReasonSet, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.engine.check import check
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.images import RegistryClass, Role, is_placeholder, is_vendor

TASK_LIMIT_MINUTES = 30
"""Model engine's hard time limit of an endpoint-building task."""


class VllmImageReasons(ReasonSet):
    """Reasons of VllmImagePullable."""

    PULLABLE = Reason(
        "Pullable", Status.PASS, "The registry has the image, complete, and lets endpoint pods have it."
    )
    INVALID_REFERENCE = Reason(
        "InvalidImageReference",
        Status.FAIL,
        "Prefix, repository and tag together are no image reference; pods get InvalidImageName.",
        "Set config.values.infra.docker_repo_prefix to host[:port][/path] without scheme and trailing slash, and "
        "{path} to a path in lower case.",
    )
    PLACEHOLDER_REGISTRY = Reason(
        "PlaceholderRegistry",
        Status.FAIL,
        "The reference points at an example of the documentation (account 000000000000, for one).",
        "Set config.values.infra.docker_repo_prefix to your own registry.",
    )
    VENDOR_REGISTRY = Reason(
        "VendorRegistry",
        Status.FAIL,
        "The reference points at the platform vendor's private registry, which does not let you in.",
        "Mirror the image to your own registry and set config.values.infra.docker_repo_prefix to it.",
    )
    FULL_PATH_REPOSITORY = Reason(
        "FullPathRepository",
        Status.FAIL,
        "vllm_repository is a full path: pods would pull it, but model engine looks for the image by the same text "
        "below its own registry first, and LLM creation ends with 404 or 500.",
        "Set {path} to the part after the registry, and config.values.infra.docker_repo_prefix to the registry.",
    )
    DOUBLE_PREFIX = Reason(
        "DoubleRegistryPrefix",
        Status.FAIL,
        "vllm_repository is a full path and the registry is Google's Artifact Registry, for which model engine "
        "prepends the prefix always: it stands there twice.",
        "Set {path} to the part after config.values.infra.docker_repo_prefix.",
    )
    FRAMEWORK_TAG_UNKNOWN = Reason(
        "FrameworkTagUnknown",
        Status.WARN,
        "The ConfigMap that turns the tag 'latest' into a version is not there under the name the gateway asks for.",
        "Install the chart with no fullnameOverride or serviceIdentifier, or create ConfigMap "
        "model-engine-inference-framework-latest-config; until then name a tag in every request.",
    )
    UNRESOLVABLE = Reason(
        "RegistryUnresolvable",
        Status.FAIL,
        "The registry's name does not resolve.",
        "Correct the host in config.values.infra.docker_repo_prefix, or mend the DNS of cluster and nodes.",
    )
    REFUSED = Reason(
        "RegistryRefused",
        Status.FAIL,
        "Nothing listens at the registry's address.",
        "Start the registry, or correct the port in config.values.infra.docker_repo_prefix.",
    )
    UNREACHABLE = Reason(
        "RegistryUnreachable",
        Status.FAIL,
        "There is no way to the registry: no route, a proxy that refuses, or a connection cut off.",
        "Open the way from the nodes to the registry (routes, proxy, firewall).",
    )
    NO_ANSWER = Reason(
        "RegistryTimeout",
        Status.FAIL,
        "The registry, or its token service, does not answer in time; typically a firewall drops the packets.",
        "Let the nodes' network reach the registry (security group, network policy, private endpoint).",
    )
    PLAIN_HTTP = Reason(
        "RegistryPlainHttp",
        Status.FAIL,
        "The registry speaks HTTP only, or redirects to HTTP; container runtimes insist on HTTPS.",
        "Put TLS before the registry, or configure it as insecure on every node and list it in "
        "parameters.insecureRegistries.",
    )
    TLS_UNTRUSTED = Reason(
        "RegistryTlsUntrusted",
        Status.FAIL,
        "The registry's certificate is of an authority that is not trusted.",
        "Install the authority on every node and give it in parameters.caBundle or caConfigMap.",
    )
    TLS_EXPIRED = Reason(
        "RegistryTlsExpired",
        Status.FAIL,
        "The registry's certificate has expired.",
        "Renew the registry's certificate.",
    )
    TLS_WRONG_HOST = Reason(
        "RegistryTlsWrongHost",
        Status.FAIL,
        "The registry's certificate is for another name.",
        "Use the name that the certificate is for, or issue one for this name.",
    )
    TLS_OTHER = Reason(
        "RegistryTlsFailed",
        Status.FAIL,
        "The TLS handshake with the registry fails: versions, ciphers, or a client certificate is asked for.",
        "Make the registry accept TLS 1.2 or newer without a client certificate.",
    )
    NOT_A_REGISTRY = Reason(
        "NotARegistry",
        Status.FAIL,
        "What answers at the address is no image registry: a web page, a login portal, another service.",
        "Correct host and port in config.values.infra.docker_repo_prefix; a registry answers at /v2/.",
    )
    UNAUTHENTICATED = Reason(
        "NoPullCredentials",
        Status.FAIL,
        "The registry wants credentials, and endpoint pods have none for it.",
        "Add a kubernetes.io/dockerconfigjson Secret for {host} to the endpoint namespace and name it in "
        "imagePullSecrets of ServiceAccount {account}. Some registries answer so for what does not exist, too.",
    )
    NODE_IDENTITY = Reason(
        "NodeIdentityNeeded",
        Status.WARN,
        "Only an identity of the nodes themselves could pull here (Azure, Google), and that cannot be tried from "
        "outside a node; no recent pull proves it either.",
        "Grant the nodes' identity the right to pull (AcrPull, Artifact Registry Reader) from {host}, or add a pull "
        "secret to ServiceAccount {account}.",
    )
    CREDENTIALS_REJECTED = Reason(
        "PullCredentialsRejected",
        Status.FAIL,
        "The registry, or its token service, rejects the user name and password that endpoint pods have.",
        "Renew the credentials in the pull secret of ServiceAccount {account} for {host}.",
    )
    DENIED = Reason(
        "PullDenied",
        Status.FAIL,
        "The registry knows who asks, and denies this repository.",
        "Grant the right to pull {image} (on ECR: ecr:BatchGetImage and ecr:GetDownloadUrlForLayer, and the "
        "repository's policy for other accounts).",
    )
    RATE_LIMITED = Reason(
        "RegistryRateLimited",
        Status.FAIL,
        "The registry answers 429: too many requests, which the nodes' pulls meet as well.",
        "Pull with credentials, or mirror the image to a registry of your own.",
    )
    SERVER_ERROR = Reason(
        "RegistryServerError",
        Status.FAIL,
        "The registry answers 5xx.",
        "Look at the registry's own log and storage.",
    )
    REPOSITORY_MISSING = Reason(
        "RepositoryMissing",
        Status.FAIL,
        "The registry has no such repository; pods stay in ImagePullBackOff, and on ECR LLM creation ends with 500.",
        "Create and fill the repository (mirror the image), or correct {path}.",
    )
    TAG_MISSING = Reason(
        "TagMissing",
        Status.FAIL,
        "The repository has no such tag.",
        "Push the tag, or correct it in ConfigMap model-engine-inference-framework-latest-config.",
    )
    SCHEMA_1 = Reason(
        "ManifestSchema1",
        Status.FAIL,
        "The image has a manifest of schema 1, which current container runtimes refuse.",
        "Push the image again with a current tool.",
    )
    MANIFEST_INVALID = Reason(
        "ManifestInvalid",
        Status.FAIL,
        "What the registry serves as the image is no image manifest, or not the one that its digest means.",
        "Push the image again; something that is no image (a chart, a signature) may have the tag.",
    )
    NO_VARIANT = Reason(
        "NoVariantForNodes",
        Status.FAIL,
        "The image has no variant for the architecture of the GPU nodes.",
        "Push the image for that architecture, or mirror all variants (crane copy, skopeo copy --all).",
    )
    CHILD_MISSING = Reason(
        "IndexIncomplete",
        Status.FAIL,
        "The image's index names a manifest for the nodes that the registry does not have: an incomplete mirror.",
        "Mirror the image again with all its variants (crane copy, skopeo copy --all).",
    )
    BLOBS_MISSING = Reason(
        "BlobsMissing",
        Status.FAIL,
        "The manifest is there, but layers are not: an interrupted mirror, or a clean-up that went too far.",
        "Push or mirror the image again.",
    )
    AWS_NO_CREDENTIALS = Reason(
        "AwsCredentialsMissing",
        Status.ERROR,
        "There is no AWS identity to get an ECR token with, so the registry cannot be asked.",
        "Give the operator's ServiceAccount an IAM role with ecr:GetAuthorizationToken and read access.",
    )
    AWS_DENIED = Reason(
        "EcrTokenDenied",
        Status.ERROR,
        "AWS refuses an ECR token to the identity that runs this check.",
        "Allow ecr:GetAuthorizationToken, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and ecr:ListImages to it.",
    )
    AWS_UNREACHABLE = Reason(
        "EcrApiUnreachable",
        Status.ERROR,
        "The ECR API gives no answer.",
        "Let this check, and the nodes, reach api.ecr (NAT gateway, or an interface endpoint in the VPC).",
    )
    ACCOUNT_MISSING = Reason(
        "InferenceServiceAccountMissing",
        Status.FAIL,
        "The ServiceAccount of endpoint pods does not exist, so no endpoint pod can be created, let alone pull.",
        "Create ServiceAccount {account} in the endpoint namespace (serviceTemplate.createServiceAccount needs "
        "annotations, too).",
    )
    SECRET_UNREADABLE = Reason(
        "PullSecretMalformed",
        Status.FAIL,
        "A pull secret of the inference ServiceAccount cannot be read; the kubelet then refuses every pull of the pod.",
        "Write the Secret again: kubectl create secret docker-registry.",
    )
    SECRET_MISSING = Reason(
        "PullSecretMissing",
        Status.WARN,
        "The inference ServiceAccount names a pull secret that does not exist in the endpoint namespace.",
        "Create the Secret in the endpoint namespace, or take it out of imagePullSecrets of {account}.",
    )
    SECRET_IGNORED = Reason(
        "PullSecretIgnored",
        Status.WARN,
        "A pull secret is of a type that the kubelet does not look at.",
        "Create it with type kubernetes.io/dockerconfigjson.",
    )
    CREDENTIALS_UNKNOWN = Reason(
        "PullCredentialsUnknown",
        Status.ERROR,
        "The pull secrets could not be read, and without credentials the registry says nothing.",
        "{remediation}",
    )
    NAMESPACE_UNPROVEN = Reason(
        "EndpointNamespaceUnproven",
        Status.WARN,
        "The endpoint namespace that the values name does not say that it belongs to this installation, so nothing "
        "is read there: no pull secrets, no pods.",
        "{remediation}",
    )
    PULLED_OTHERWISE = Reason(
        "NodesPullOtherwise",
        Status.WARN,
        "Nodes have just pulled the image although the registry cannot be asked from here: they go by an identity, "
        "a proxy or a mirror of their own.",
        "Nothing to mend for endpoints; give the operator the same way to the registry to have it watched.",
    )
    NODES_CANNOT_PULL = Reason(
        "NodesCannotPull",
        Status.WARN,
        "Pods wait for the image although the registry gives it to whoever asks from here.",
        "Compare the nodes' way to the registry: proxy, mirror, certificates, pull secrets of the pod itself.",
    )
    PULL_PROBE_NOT_RUN = Reason(
        "PullProbeNotRun",
        Status.WARN,
        "A pull by a GPU node was asked for (pullFrom: node), and none was made; the message says why.",
        "Free or label a GPU node, allow the pod, or grant the permission (chart value pullProbe.enabled); or take "
        "pullFrom out of the parameters.",
    )
    IMAGE_CACHE_STUCK = Reason(
        "ImageCacheStuck",
        Status.WARN,
        "Pods of the image cache wait for an image that cannot be pulled, so nothing is fetched ahead.",
        "Mirror the image that the message names, or take the device out of imageCache.devices.",
    )
    SLOW_PULL = Reason(
        "PullTooSlow",
        Status.WARN,
        "At the stated bandwidth the download alone takes longer than model engine's limit of a task.",
        "Use a registry nearer to the nodes, a smaller image, or the image cache.",
    )
    OTHER_FULL_PATH = Reason(
        "OtherRepositoryFullPath",
        Status.WARN,
        "Another LLM repository is a full path, which breaks the creation of endpoints with that framework.",
        "Set {path} to the part after the registry.",
    )
    BATCH_DOUBLE_PREFIX = Reason(
        "BatchRepositoryDoublePrefix",
        Status.WARN,
        "The repository of batch jobs is a full path, and model engine prepends the prefix to it always.",
        "Set {path} to the part after config.values.infra.docker_repo_prefix.",
    )
    OTHER_NOT_PULLABLE = Reason(
        "OtherImageNotPullable",
        Status.WARN,
        "An image other than vLLM's cannot be pulled; the message says why, as above.",
        "{remedy}",
    )


_REASONS = {trouble: getattr(VllmImageReasons, trouble.name) for trouble in Trouble}
_OF_THE_WAY = frozenset(
    {
        Trouble.UNRESOLVABLE,
        Trouble.REFUSED,
        Trouble.UNREACHABLE,
        Trouble.NO_ANSWER,
        Trouble.PLAIN_HTTP,
        Trouble.TLS_UNTRUSTED,
        Trouble.TLS_EXPIRED,
        Trouble.TLS_WRONG_HOST,
        Trouble.TLS_OTHER,
        Trouble.UNAUTHENTICATED,
        Trouble.CREDENTIALS_REJECTED,
        Trouble.DENIED,
        Trouble.RATE_LIMITED,
        Trouble.AWS_NO_CREDENTIALS,
        Trouble.AWS_DENIED,
        Trouble.AWS_UNREACHABLE,
    }
)
"""Troubles of who asks and from where: a node may fare better."""
_OF_LOGIN = frozenset({Trouble.UNAUTHENTICATED, Trouble.DENIED, Trouble.REPOSITORY_MISSING})
"""What a registry answers to somebody without credentials."""
_OF_THE_REGISTRY = _OF_THE_WAY | {Trouble.INVALID_REFERENCE, Trouble.NOT_A_REGISTRY, Trouble.SERVER_ERROR}
"""Troubles that all images of one registry share: told once."""
_VENDOR_LOCKED = frozenset(
    {Trouble.UNAUTHENTICATED, Trouble.CREDENTIALS_REJECTED, Trouble.DENIED, Trouble.REPOSITORY_MISSING}
    | {Trouble.AWS_NO_CREDENTIALS, Trouble.AWS_DENIED}
)


_UNSEEN = "VllmImagePullable does not see what happened to pulls of pods"


@check(
    "VllmImagePullable",
    title="endpoint pods can pull the vLLM image",
    severity=Severity.HIGH,
    gather=image_facts,
    reasons=VllmImageReasons,
    parameters=ImageParameters,
    permissions=(
        Permission(resource="configmaps", scope="own"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="serviceaccounts", scope="endpoints"),
        Permission(resource="secrets", scope="endpoints"),
        Permission(resource="pods", verbs=("list",), scope="endpoints", lost=_UNSEEN),
        Permission(resource="events", verbs=("list",), scope="endpoints", lost=_UNSEEN),
        Permission(
            resource="nodes",
            verbs=("list", "watch"),
            scope="cluster",
            lost="VllmImagePullable takes the GPU nodes for amd64",
        ),
        Permission(resource="pods", verbs=("get", "create", "delete"), scope="endpoints", switch="pullProbe"),
    ),
)
def vllm_image_pullable(facts: ImageFacts) -> Outcome:
    """The vLLM image decides; what else the configuration names only warns."""
    decisive, others = facts.probed[0], facts.probed[1:]
    findings = [
        *_of_configuration(decisive, facts),
        *_of_image(decisive, facts),
        *_of_secrets(facts),
        *_of_nodes(decisive, facts.nodes),
        *_of_pull(facts.node_pull),
    ]
    for other in others:
        findings += _of_other(other, decisive, facts)
    return Outcome.of(findings, evidence=_evidence(decisive, facts))


def _of_configuration(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    image, reasons = probed.image, VllmImageReasons
    if image.doubled:
        yield reasons.DOUBLE_PREFIX.finding(
            f"{image.path} is {image.repository!r}, and pods would be told to pull {image.reference}",
            path=image.path,
        )
    elif image.full_path and facts.registry is not RegistryClass.ONPREM:
        yield reasons.FULL_PATH_REPOSITORY.finding(
            f"{image.path} is the full path {image.repository!r}; model engine looks for it below its own registry",
            path=image.path,
        )
    if facts.framework_map_missing and not facts.parameters.tag:
        yield reasons.FRAMEWORK_TAG_UNKNOWN.finding(
            "ConfigMap model-engine-inference-framework-latest-config does not exist, so requests for 'latest' fail"
        )


def _of_image(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    inspection, reasons = probed.inspection, VllmImageReasons
    trouble = inspection.trouble
    if trouble is None:
        yield reasons.PULLABLE.finding(f"{inspection.reference} can be pulled{_as_whom(probed)}")
        minutes = _minutes(probed, facts)
        if minutes > TASK_LIMIT_MINUTES:
            yield reasons.SLOW_PULL.finding(
                f"{inspection.reference} has {_bytes(inspection.size)}: {minutes:.0f} minutes at "
                f"{facts.parameters.bandwidth_mbit} Mbit/s, against a limit of {TASK_LIMIT_MINUTES}"
            )
    elif is_placeholder(inspection.reference):
        yield reasons.PLACEHOLDER_REGISTRY.finding(
            f"{inspection.reference} is an example, not a registry of yours"
        )
    elif trouble in _OF_THE_WAY and probed.image.reference in facts.nodes.pulled:
        yield reasons.PULLED_OTHERWISE.finding(
            f"nodes have pulled {probed.image.reference} lately, but from here: {inspection.detail}"
        )
    elif is_vendor(inspection.reference) and trouble in _VENDOR_LOCKED:
        yield reasons.VENDOR_REGISTRY.finding(f"{inspection.reference} is in the vendor's private registry")
    elif facts.secrets.unknown is not None and trouble in _OF_LOGIN:
        yield reasons.CREDENTIALS_UNKNOWN.finding(
            f"{facts.secrets.unknown}; without credentials, {inspection.detail}",
            remediation=facts.secrets.unknown.remediation,
        )
    elif probed.node_identity and trouble in _OF_LOGIN:
        yield reasons.NODE_IDENTITY.finding(
            f"{inspection.detail}; nodes may have an identity that lets them in", **_words(probed, facts)
        )
    else:
        yield _REASONS[trouble].finding(_told(probed), **_words(probed, facts))


def _of_secrets(facts: ImageFacts) -> Iterator[Finding]:
    secrets, reasons = facts.secrets, VllmImageReasons
    account = secrets.account
    if secrets.unknown is not None and secrets.unknown.reason is InstallationReasons.NAMESPACE_NOT_VERIFIED:
        yield reasons.NAMESPACE_UNPROVEN.finding(
            str(secrets.unknown), remediation=secrets.unknown.remediation
        )
    if secrets.account_missing:
        yield reasons.ACCOUNT_MISSING.finding(f"ServiceAccount {account} does not exist", account=account)
    if secrets.unreadable:
        yield reasons.SECRET_UNREADABLE.finding(
            f"{secrets.unreadable}; kubelets then pull nothing for the pod"
        )
    for name in secrets.missing:
        yield reasons.SECRET_MISSING.finding(
            f"ServiceAccount {account} names pull secret {name}, which does not exist", account=account
        )
    for name in secrets.ignored:
        yield reasons.SECRET_IGNORED.finding(f"pull secret {name} is of a type that kubelets ignore")


def _of_nodes(probed: Probed, nodes: NodeView) -> Iterator[Finding]:
    reasons, image = VllmImageReasons, probed.image.reference
    if probed.inspection.trouble is None and image in nodes.stuck:
        yield reasons.NODES_CANNOT_PULL.finding(
            f"pods that use {image} are in {nodes.stuck[image]}, although the registry gives it away"
        )
    for owner, missing in nodes.cache_stuck.items():
        yield reasons.IMAGE_CACHE_STUCK.finding(
            f"DaemonSet {owner} waits for {missing}", subject="image cache"
        )


def _of_pull(pull: NodePull | None) -> Iterator[Finding]:
    if pull is not None and pull.state is NodePullState.NOT_RUN:
        yield VllmImageReasons.PULL_PROBE_NOT_RUN.finding(
            f"no node was made to pull: {pull.detail}", subject="pull probe"
        )


def _of_other(probed: Probed, decisive: Probed, facts: ImageFacts) -> Iterator[Finding]:
    image, inspection, reasons = probed.image, probed.inspection, VllmImageReasons
    subject = image.path.rpartition(".")[2]
    if image.doubled and image.role is Role.BATCH:
        yield reasons.BATCH_DOUBLE_PREFIX.finding(
            f"{image.path} is {image.repository!r}, and batch jobs would pull {image.reference}",
            subject=subject,
            path=image.path,
        )
    elif image.role is Role.LLM and image.full_path and facts.registry is not RegistryClass.ONPREM:
        yield reasons.OTHER_FULL_PATH.finding(
            f"{image.path} is the full path {image.repository!r}", subject=subject, path=image.path
        )
    trouble = inspection.trouble
    if trouble is None or image.doubled or image.reference in facts.nodes.pulled:
        return
    if trouble in _OF_LOGIN and (probed.node_identity or facts.secrets.unknown):
        return
    if (
        trouble in _OF_THE_REGISTRY
        and trouble is decisive.inspection.trouble
        and _host(probed) == _host(decisive)
    ):
        return
    remedy = _REASONS[trouble].remedy.format(**_words(probed, facts))
    yield reasons.OTHER_NOT_PULLABLE.finding(f"{subject}: {_told(probed)}", subject=subject, remedy=remedy)


def _host(probed: Probed) -> str:
    return probed.inspection.reference.partition("/")[0]


def _told(probed: Probed) -> str:
    reference, detail = probed.inspection.reference, probed.inspection.detail
    return detail if reference in detail else f"{detail} (image {reference})"


def _words(probed: Probed, facts: ImageFacts) -> dict[str, str]:
    """What remedies name."""
    return {
        "path": probed.image.path,
        "image": probed.inspection.reference,
        "host": _host(probed),
        "account": facts.secrets.account or "of the endpoints",
    }


def _as_whom(probed: Probed) -> str:
    return f" with {probed.inspection.login}" if probed.inspection.login else " by anybody"


def _minutes(probed: Probed, facts: ImageFacts) -> float:
    return probed.inspection.size * 8 / 1e6 / facts.parameters.bandwidth_mbit / 60


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _evidence(probed: Probed, facts: ImageFacts) -> Evidence:
    image, inspection = probed.image, probed.inspection
    evidence: dict[str, str | int | float | bool | None] = {
        "image": image.reference,
        "repository": image.repository,
        "registryClass": facts.registry.value,
        "tagSource": image.tag_source,
        "architectures": ", ".join(facts.architectures),
        "credentials": inspection.login or "none",
    }
    if inspection.digest:
        evidence |= {"digest": inspection.digest, "platforms": ", ".join(inspection.platforms)}
    if inspection.size:
        evidence |= {
            "sizeBytes": inspection.size,
            "pullMinutes": round(_minutes(probed, facts), 2),
            "bandwidthMbit": facts.parameters.bandwidth_mbit,
            "taskLimitMinutes": TASK_LIMIT_MINUTES,
        }
    if inspection.created:
        evidence |= {
            "created": inspection.created.isoformat(),
            "ageDays": (facts.now - inspection.created).days,
        }
    if image.reference in facts.nodes.pulled:
        evidence["pulledByNodes"] = True
    if facts.node_pull is not None:
        evidence["pullProbe"] = facts.node_pull.state.value
        evidence["pullProbeNode"] = facts.node_pull.node or None
    if image.reference in facts.nodes.stuck:
        evidence["podsWaiting"] = facts.nodes.stuck[image.reference]
    if inspection.near_tags:
        evidence["nearTags"] = ", ".join(inspection.near_tags)
    for key, unknown in (("secretsUnknown", facts.secrets.unknown), ("nodesUnknown", facts.nodes.unknown)):
        if unknown is not None:
            evidence[key] = str(unknown)
    return evidence
