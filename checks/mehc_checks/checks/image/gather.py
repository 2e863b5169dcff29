"""The images of an installation, as its registries and its nodes show them."""

import asyncio
import functools
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from mehc_checks.checks.image.pullprobe import PULL_TROUBLES, NodePull, NodePullState, pull_on_node
from mehc_checks.clients.kubernetes.api import NoCluster, Secret, object_path
from mehc_checks.clients.kubernetes.reader import Manifest
from mehc_checks.clients.registry import ecr
from mehc_checks.clients.registry.client import Access
from mehc_checks.clients.registry.inspect import Inspection, inspect
from mehc_checks.clients.registry.keyring import Keyring, Login, UnreadableSecret
from mehc_checks.clients.registry.reference import InvalidReference, Reference, parse
from mehc_checks.clients.registry.trouble import RegistryFailure, Trouble
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, UsageError
from mehc_checks.core.parameters import Parameters
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.gpu import ACCELERATOR_LABEL
from mehc_checks.modelengine.images import FRAMEWORK_CONFIG_MAP, Image, RegistryClass, images, registry_class

ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
DEFAULT_ARCHITECTURE: Final = "amd64"
IMAGE_CACHE_PREFIX: Final = "launch-image-cache-"


class ImageParameters(Parameters):
    """Parameters of VllmImagePullable."""

    tag: str | None = Field(None, description="The vLLM tag to look for; by default the one a request gets.")
    architectures: tuple[str, ...] = Field(
        (), description="Architectures that must be there; by default those of the GPU nodes, else amd64."
    )
    ca_bundle: str = Field("", description="PEM certificates to trust besides the system's, as the nodes do.")
    ca_config_map: str = Field(
        "", description="A ConfigMap in the installation's namespace with such certificates, key ca.crt."
    )
    insecure_registries: tuple[str, ...] = Field(
        (), description="host[:port] of registries that the nodes ask over plain HTTP."
    )
    bandwidth_mbit: int = Field(
        1000, ge=1, description="Mbit/s at which nodes download, for the estimated time of a pull."
    )
    pull_from: Literal["", "node"] = Field(
        "", description='"node" has a GPU node pull the vLLM image too, by a pod that is deleted again.'
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PullSecrets:
    """What the inference ServiceAccount gives a pod to pull with. ``unknown`` says why that could not be read."""

    account: str = ""
    account_missing: bool = False
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    unreadable: str = ""
    keyring: Keyring = field(default_factory=lambda: Keyring(()))
    unknown: CannotEvaluate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeView:
    """What the cluster says about pulls. Images are as pods name them."""

    pulled: frozenset[str] = frozenset()
    stuck: Mapping[str, str] = field(default_factory=dict)
    """Image → the waiting reason of a container in an endpoint pod."""
    cache_stuck: Mapping[str, str] = field(default_factory=dict)
    """Image-cache pod → the image that it waits for."""
    unknown: CannotEvaluate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """One repository and what its registry shows of it."""

    image: Image
    inspection: Inspection
    node_identity: bool = False
    """Nodes of this cloud may pull by an identity of their own that nobody else can show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """Everything that the check judges; vLLM's image is the first of ``probed``."""

    probed: tuple[Probed, ...]
    registry: RegistryClass
    secrets: PullSecrets
    nodes: NodeView
    architectures: tuple[str, ...]
    parameters: ImageParameters
    framework_map_missing: bool
    now: datetime
    node_pull: NodePull | None = None
    """How a node fared that was asked to pull vLLM's image; None where none was asked."""


async def image_facts(context: Context) -> ImageFacts:
    """Ask the registries of all images at once, as endpoint pods would. Raises UsageError for bad parameters."""
    parameters = context.parameters(ImageParameters)
    access, frameworks, secrets, nodes, architectures = await asyncio.gather(
        _access(context, parameters),
        _frameworks(context),
        _pull_secrets(context),
        _nodes(context),
        _architectures(context, parameters),
    )
    tokens = _Tokens(context)
    wanted = list(images(context.values, tag=parameters.tag, frameworks=frameworks))
    node_pull, probed = await asyncio.gather(
        _node_pull(context, parameters, wanted[0].reference, secrets.account),
        asyncio.gather(
            *(
                _probe(
                    image,
                    context,
                    access=access,
                    secrets=secrets,
                    architectures=architectures,
                    tokens=tokens,
                )
                for image in wanted
            )
        ),
    )
    return ImageFacts(
        probed=tuple(probed),
        registry=registry_class(context.values),
        secrets=secrets,
        nodes=_with_pull(nodes, wanted[0].reference, node_pull),
        architectures=architectures,
        parameters=parameters,
        framework_map_missing=frameworks is None,
        now=context.clock(),
        node_pull=node_pull,
    )


async def _node_pull(
    context: Context, parameters: ImageParameters, image: str, account: str
) -> NodePull | None:
    if not parameters.pull_from:
        return None
    try:
        return await pull_on_node(context, image, account)
    except CannotEvaluate as error:
        return NodePull(state=NodePullState.NOT_RUN, detail=str(error))


class _Tokens:
    """ECR tokens, one request for each region however many images are there."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tasks: dict[str, asyncio.Task[Login]] = {}

    async def of(self, region: str) -> Login:
        if region not in self._tasks:
            timeout = self._context.network_timeout / 2
            self._tasks[region] = asyncio.ensure_future(ecr.login(region, timeout=timeout))
        login = await self._tasks[region]
        self._context.redactor.add(login.password)
        return login


async def _probe(
    image: Image,
    context: Context,
    *,
    access: Access,
    secrets: PullSecrets,
    architectures: Sequence[str],
    tokens: _Tokens,
) -> Probed:
    try:
        reference = parse(image.reference)
    except InvalidReference as error:
        trouble = Inspection(
            reference=image.reference,
            trouble=Trouble.INVALID_REFERENCE,
            detail=f"{image.reference!r} is no image reference: {error}",
        )
        return Probed(image=image, inspection=trouble)
    clock = asyncio.get_running_loop().time
    began = clock()
    logins = secrets.keyring.lookup(reference.name)
    failed: RegistryFailure | None = None
    region = ecr.region_of(reference.host)
    if region:
        try:
            logins = [*logins, await tokens.of(region)]
        except RegistryFailure as failure:
            failed = failure
    if failed is not None and not logins:
        inspection = Inspection(reference=str(reference), trouble=failed.trouble, detail=str(failed))
    else:
        left = context.network_timeout - (clock() - began)
        inspection = await inspect(
            reference, logins, access=access, architectures=architectures, timeout=max(left, 1)
        )
    return Probed(
        image=image, inspection=inspection, node_identity=not logins and _has_node_identity(reference)
    )


def _has_node_identity(reference: Reference) -> bool:
    """Whether kubelets of the registry's cloud get credentials from a provider of that cloud (ECR: by ours)."""
    host = reference.host
    return host.endswith((".azurecr.io", "-docker.pkg.dev", ".gcr.io")) or host == "gcr.io"


async def _access(context: Context, parameters: ImageParameters) -> Access:
    bundles = {"parameters.caBundle": parameters.ca_bundle}
    if parameters.ca_config_map:
        where = f"parameters.caConfigMap {parameters.ca_config_map}"
        data = await context.cluster.config_map(context.namespace, parameters.ca_config_map)
        if data is None or not data.get("ca.crt"):
            raise UsageError(f"{where}: no such ConfigMap with a key ca.crt in {context.namespace}")
        bundles[where] = data["ca.crt"]
    trusted = tuple((where, bundle) for where, bundle in bundles.items() if bundle)
    return Access(tls=_trust(trusted), insecure=frozenset(parameters.insecure_registries))


@functools.lru_cache(maxsize=32)
def _trust(bundles: tuple[tuple[str, str], ...]) -> ssl.SSLContext:
    """The system's authorities and those of ``bundles``; kept, because reading the system's takes 10 ms."""
    tls = ssl.create_default_context()
    for where, bundle in bundles:
        try:
            tls.load_verify_locations(cadata=bundle)
        except (ssl.SSLError, ValueError):
            raise UsageError(f"{where}: not certificates in PEM form") from None
    return tls


async def _frameworks(context: Context) -> Mapping[str, str] | None:
    """The tags that replace ``latest``; None where there is no such ConfigMap, empty without a cluster.

    Raises CannotEvaluate: a tag that is not the one that endpoints pull would be judged.
    """
    try:
        return await context.cluster.config_map(context.namespace, FRAMEWORK_CONFIG_MAP)
    except NotApplicable:
        return {}


async def _pull_secrets(context: Context) -> PullSecrets:
    """The pull secrets of the inference ServiceAccount, as admission adds them to a pod that names none."""
    if isinstance(context.cluster, NoCluster):
        return PullSecrets()
    where = context.endpoint_namespace
    account = context.values.text("serviceTemplate.serviceAccountName") or "default"
    found: dict[str, Secret | None] = {}
    try:
        await context.prove_endpoint_namespace()
        manifest = await context.reader.get(object_path("serviceaccounts", where, account))
        if manifest is None:
            return PullSecrets(account=account, account_missing=True)
        names = [str(entry.get("name") or "") for entry in manifest.get("imagePullSecrets") or []]
        for name in filter(None, names):
            found[name] = await context.secret(name, namespace=where)
    except CannotEvaluate as error:
        return PullSecrets(account=account, unknown=error)
    missing = tuple(name for name, secret in found.items() if secret is None)
    try:
        keyring = Keyring([secret for secret in found.values() if secret is not None])
    except UnreadableSecret as error:
        return PullSecrets(account=account, missing=missing, unreadable=str(error))
    for login in keyring.logins:
        context.redactor.add(login.password, f"{login.username}:{login.password}")
    return PullSecrets(account=account, missing=missing, ignored=tuple(keyring.ignored), keyring=keyring)


async def _architectures(context: Context, parameters: ImageParameters) -> tuple[str, ...]:
    if parameters.architectures:
        return parameters.architectures
    if isinstance(context.cluster, NoCluster):
        return (DEFAULT_ARCHITECTURE,)
    try:
        nodes = await context.inventory.nodes()
    except CannotEvaluate:
        return (DEFAULT_ARCHITECTURE,)
    pools = nodes.pools(frozenset({ACCELERATOR_LABEL, ARCHITECTURE_LABEL}))
    found = {p.node.label(ARCHITECTURE_LABEL) for p in pools if p.node.label(ACCELERATOR_LABEL)}
    return tuple(sorted(filter(None, found))) or (DEFAULT_ARCHITECTURE,)


async def _nodes(context: Context) -> NodeView:
    if isinstance(context.cluster, NoCluster):
        return NodeView()
    where = context.endpoint_namespace
    try:
        await context.prove_endpoint_namespace()
        pods, events = await asyncio.gather(
            context.reader.each(object_path("pods", where), _waiting_pod),
            context.reader.each(
                object_path("events", where), _pulled, fields="involvedObject.kind=Pod,reason=Pulled"
            ),
        )
    except CannotEvaluate as error:
        return NodeView(unknown=error)
    stuck, cache_stuck = {}, {}
    for owner, waiting in pods.items:
        for image, reason in waiting:
            if owner:
                cache_stuck[owner] = image
            else:
                stuck[image] = reason
    return NodeView(
        pulled=frozenset(events.items), stuck=stuck, cache_stuck=cache_stuck, unknown=pods.cut or events.cut
    )


def _waiting_pod(pod: Manifest) -> tuple[str, list[tuple[str, str]]] | None:
    """The image-cache DaemonSet that owns the pod, or "", and what its containers wait for; None if for nothing."""
    waiting = _waiting(pod)
    return (_image_cache(pod), waiting) if waiting else None


def _with_pull(nodes: NodeView, image: str, pull: NodePull | None) -> NodeView:
    """What a node shows when asked counts as what nodes showed of themselves, and is newer."""
    if pull is None or pull.state not in (NodePullState.PULLED, NodePullState.FAILED):
        return nodes
    stuck = {name: reason for name, reason in nodes.stuck.items() if name != image}
    if pull.state is NodePullState.PULLED:
        return replace(nodes, pulled=nodes.pulled | {image}, stuck=stuck)
    return replace(nodes, pulled=nodes.pulled - {image}, stuck={**stuck, image: pull.detail})


def _waiting(pod: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Image and reason of each container that waits for its image."""
    status, spec = pod.get("status", {}), pod.get("spec", {})
    named = {
        container["name"]: container.get("image", "")
        for kind in ("initContainers", "containers")
        for container in spec.get(kind) or []
    }
    return [
        (named.get(container["name"], ""), reason)
        for kind in ("initContainerStatuses", "containerStatuses")
        for container in status.get(kind) or []
        if (reason := container.get("state", {}).get("waiting", {}).get("reason")) in PULL_TROUBLES
    ]


def _image_cache(pod: Mapping[str, Any]) -> str:
    """The image-cache DaemonSet that owns the pod, or ""."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("kind") == "DaemonSet" and str(owner.get("name")).startswith(IMAGE_CACHE_PREFIX):
            return str(owner["name"])
    return ""


def _pulled(event: Manifest) -> str | None:
    """The image of an Event of a pull over the network; "already present on machine" proves nothing today."""
    words = str(event.get("message", "")).split('"')
    return words[1] if words[0] == "Successfully pulled image " and len(words) > 2 else None
