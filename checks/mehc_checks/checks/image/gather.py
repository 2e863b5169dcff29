"""The images of an installation, as its registries and its nodes show them."""

import asyncio
import functools
import os
import ssl
from collections.abc import Mapping, Sequence

from mehc_checks.checks.image.existence import existence
from mehc_checks.checks.image.facts import (
    ImageFacts,
    ImageParameters,
    NodePull,
    NodePullState,
    Probed,
    PullSecrets,
)
from mehc_checks.checks.image.nodes import gpu_architectures, node_view
from mehc_checks.checks.image.pullprobe import pull_on_node
from mehc_checks.checks.image.pullsecrets import pull_secrets
from mehc_checks.checks.image.reasons import VllmImageReasons as R
from mehc_checks.clients.aws import ecr
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.inspect import inspect
from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reference import InvalidReference, Reference, ecr_registry, parse
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, Problem, UsageError
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.images import FRAMEWORK_CONFIG_MAP, Image, images, prefetched
from mehc_checks.modelengine.registries import Registries


async def gather(context: Context) -> ImageFacts:
    """Ask the registries of all images at once, as endpoint pods would. Raises UsageError for bad parameters."""
    parameters = context.parameters(ImageParameters)
    access, frameworks, secrets, nodes, architectures = await asyncio.gather(
        _access(context, parameters),
        _frameworks(context),
        pull_secrets(context),
        node_view(context),
        _architectures(context, parameters),
    )
    prober = _Prober(context, access, secrets, architectures)
    wanted = list(images(context.configuration, tag=parameters.tag, frameworks=frameworks))
    async with asyncio.TaskGroup() as group:  # unlike gather, it waits for a cancelled pull to delete its pod
        search = group.create_task(prober.existence(wanted[0]))
        pull = group.create_task(_node_pull(context, parameters, wanted[0].reference, secrets.account))
        probes = [group.create_task(prober.probe(image)) for image in wanted]
    node_pull = pull.result()
    return ImageFacts(
        probed=tuple(probe.result() for probe in probes),
        registries=Registries.of(context.configuration),
        secrets=secrets,
        nodes=nodes.after(wanted[0].reference, node_pull),
        architectures=architectures,
        parameters=parameters,
        framework_map_missing=frameworks is None,
        now=context.clock(),
        existence=search.result(),
        prefetched=tuple(prefetched(context.configuration)),
        node_pull=node_pull,
    )


async def _architectures(context: Context, parameters: ImageParameters) -> tuple[str, ...]:
    return parameters.architectures or await gpu_architectures(context)


async def _node_pull(
    context: Context, parameters: ImageParameters, image: str, account: str
) -> NodePull | None:
    if not parameters.pull_from:
        return None
    try:
        return await pull_on_node(context, image, account)
    except CannotEvaluate as problem:
        return NodePull(state=NodePullState.NOT_RUN, detail=str(problem))


class _Prober:
    """Asks for images, with one ECR token for each region however many images are there."""

    def __init__(
        self, context: Context, access: Access, secrets: PullSecrets, architectures: Sequence[str]
    ) -> None:
        self._architectures = architectures
        self._context = context
        self._access = access
        self._secrets = secrets
        self._tokens: dict[str, asyncio.Task[Login]] = {}

    async def probe(self, image: Image) -> Probed:
        try:
            reference = parse(image.reference)
        except InvalidReference as error:
            problem = Problem(R.INVALID_REFERENCE, image=image.reference, detail=error)
            return Probed(image=image, inspection=Inspection(reference=image.reference, problem=problem))
        clock = asyncio.get_running_loop().time
        began = clock()
        own = tuple(self._secrets.keyring.lookup(reference.name))
        identity = not own and _has_node_identity(reference)
        try:
            logins = await self._logins(reference)
        except Problem as problem:
            inspection = Inspection(reference=str(reference), problem=problem)
            return Probed(image=image, inspection=inspection, offered=own, node_identity=identity)
        left = self._context.network_timeout - (clock() - began)
        inspection = await inspect(
            reference, logins, access=self._access, architectures=self._architectures, timeout=max(left, 1)
        )
        return Probed(image=image, inspection=inspection, offered=own, node_identity=identity)

    async def existence(self, image: Image) -> Problem | None:
        """What keeps the gateway from finding ``image``."""
        return await existence(
            self._context,
            image,
            access=self._access,
            logins=self._logins,
            timeout=self._context.network_timeout,
        )

    async def _logins(self, reference: Reference) -> Sequence[Login | None]:
        """The pull secrets' first, then an ECR token; None is anonymous, as runtimes take an entry without a login.

        Raises Problem where there is none, but should be.
        """
        found = self._secrets.keyring.lookup(reference.name)
        logins = [login if login.username or login.password else None for login in found]
        _, region = ecr_registry(reference.host)
        if not region:
            return logins
        try:
            return [*logins, await self._token(region)]
        except Problem:
            if not logins:
                raise
            return logins

    async def _token(self, region: str) -> Login:
        if region not in self._tokens:
            self._tokens[region] = asyncio.ensure_future(self._login(region))
        return await self._tokens[region]

    async def _login(self, region: str) -> Login:
        found = await ecr.token(region, timeout=self._context.network_timeout / 2)
        self._context.redactor.add(found.password)
        source = f"an ECR token of region {region}"
        return Login(username=found.username, password=found.password, source=source)


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
    tls = _trust(trusted, os.environ.get("SSL_CERT_FILE"))
    return Access(tls=tls, insecure=frozenset(parameters.insecure_registries))


@functools.lru_cache(maxsize=32)
def _trust(bundles: tuple[tuple[str, str], ...], _: str | None) -> ssl.SSLContext:
    """The system's authorities, which OpenSSL reads from the file in the last argument where there is one, and those of
    ``bundles``; kept, because reading the system's takes 10 ms."""
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
