"""The images of an installation, as its registries and its nodes show them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mehc_checks.checks.image.existence import existence
from mehc_checks.checks.image.facts import (
    ImageFacts,
    NodePull,
    NodePullState,
    Probed,
    PullSecrets,
)
from mehc_checks.checks.image.nodes import gpu_architectures, node_view
from mehc_checks.checks.image.pullprobe import pull_on_node
from mehc_checks.checks.image.pullsecrets import pull_secrets
from mehc_checks.checks.image.reasons import VllmImageReasons as R
from mehc_checks.clients.network.reasons import is_away
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.idle import wires
from mehc_checks.clients.registry.inspect import inspect
from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.logins import OF_TOKEN
from mehc_checks.clients.registry.reference import InvalidReference, Reference, parse
from mehc_checks.core.errors import CannotEvaluate, NotApplicable, Problem
from mehc_checks.installation.context import Context
from mehc_checks.installation.imageparameters import ImageParameters
from mehc_checks.installation.pulls import access, cloud_login, has_node_identity, logins
from mehc_checks.installation.reasons import InstallationReasons
from mehc_checks.modelengine.images import FRAMEWORK_CONFIG_MAP, Image, images, prefetched
from mehc_checks.modelengine.registries import Registries


async def gather(context: Context) -> ImageFacts:
    """Ask the registries of all images at once, as endpoint pods would. Raises UsageError for bad parameters."""
    parameters = context.parameters(ImageParameters)
    trusted, frameworks, secrets, nodes, architectures = await asyncio.gather(
        access(context),
        _frameworks(context),
        pull_secrets(context),
        node_view(context),
        _architectures(context, parameters),
    )
    wanted = list(images(context.configuration, tag=parameters.tag, frameworks=frameworks))
    async with (
        Connections(timeout=context.network_timeout) as connections,
        asyncio.TaskGroup() as group,  # unlike gather, it waits for a cancelled pull to delete its pod
    ):
        prober = _Prober(context, trusted, secrets, architectures, connections)
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
        await _require_pullable(context, image, account)
        return await pull_on_node(context, image, account)
    except (CannotEvaluate, InvalidReference) as problem:
        return NodePull(state=NodePullState.NOT_RUN, detail=str(problem))


async def _require_pullable(context: Context, image: str, account: str) -> None:
    """Raises CannotEvaluate where not the installation's live objects name the repository and the ServiceAccount: a pod
    of ours pulls with the rights of nodes, and of that account.
    """
    if not context.is_deputy:
        return
    proof = await context.proof()
    own = [parse(each.reference).name for each in images(proof.configuration, tag="latest", frameworks={})]
    what = ""
    if not proof.is_live or parse(image).name not in own:
        what = f"image {image}"
    elif account not in ("", "default") and not proof.uses(account):
        what = f"ServiceAccount {account}"
    if what:
        raise CannotEvaluate(InstallationReasons.NOT_VERIFIED, what=what, namespace=context.namespace)


_DENIED: Final = OF_TOKEN | {R.NO_PULL_CREDENTIALS}


class _Prober:
    """Asks for images, with the pull secrets of endpoint pods."""

    def __init__(
        self,
        context: Context,
        trusted: Access,
        secrets: PullSecrets,
        architectures: Sequence[str],
        connections: Connections,
    ) -> None:
        self._connections = connections
        self._architectures = architectures
        self._context = context
        self._access = trusted
        self._secrets = secrets

    async def probe(self, image: Image) -> Probed:
        try:
            reference = parse(image.reference)
        except InvalidReference as error:
            problem = Problem(R.INVALID_REFERENCE, image=image.reference, detail=error)
            return Probed(image=image, inspection=Inspection(reference=image.reference, problem=problem))
        clock = asyncio.get_running_loop().time
        began = clock()
        own = tuple(self._secrets.keyring.lookup(reference.name))
        identity = not own and has_node_identity(reference)
        try:
            offered = await self._logins(reference)
        except Problem as problem:
            inspection = Inspection(reference=str(reference), problem=problem)
            return Probed(image=image, inspection=inspection, offered=own, node_identity=identity)
        ours = await cloud_login(self._context, reference) if identity else None

        async def pulled(tried: Sequence[Login | None]) -> Inspection:
            left = max(self._context.network_timeout - (clock() - began), 1)
            return await inspect(
                reference,
                tried,
                access=self._access,
                architectures=self._architectures,
                timeout=left,
                connections=self._connections,
                completed=self._context.completed,
            )

        inspection = await pulled([ours] if ours else offered)
        denied = ""
        if ours and inspection.problem and inspection.problem.reason in _DENIED:
            inspection = await pulled(offered)  # what is denied to our identity is not denied to nodes
            denied = ours.source
        elif ours:
            identity = False  # it got in: what is missing is missing for nodes, too
        away = is_away(inspection.problem)
        if (inspection.problem is None or away) and self._context.parameters(ImageParameters).tripwire:
            for held in wires(reference.host, self._access):
                self._context.hold(replace(held, away=away))
        return Probed(image=image, inspection=inspection, offered=own, node_identity=identity, denied=denied)

    async def existence(self, image: Image) -> Problem | None:
        """What keeps the gateway from finding ``image``."""
        return await existence(
            self._context,
            image,
            access=self._access,
            logins=self._logins,
            timeout=self._context.network_timeout,
            connections=self._connections,
        )

    async def _logins(self, reference: Reference) -> Sequence[Login | None]:
        return await logins(self._context, reference, self._secrets.keyring)


async def _frameworks(context: Context) -> Mapping[str, str] | None:
    """The tags that replace ``latest``; None where there is no such ConfigMap, empty without a cluster.

    Raises CannotEvaluate: a tag that is not the one that endpoints pull would be judged.
    """
    try:
        return await context.cluster.config_map(context.namespace, FRAMEWORK_CONFIG_MAP)
    except NotApplicable:
        return {}
