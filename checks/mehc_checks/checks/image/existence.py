"""Whether the gateway finds the image that pods pull: its own search, repeated as far as this process can."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mehc_checks.checks.image.reasons import PREFIX
from mehc_checks.checks.image.reasons import VllmImageReasons as R
from mehc_checks.clients.network.connect import client_context
from mehc_checks.clients.registry.anonymous import hidden
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.inspect import inspect
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.reference import InvalidReference, Reference, parse
from mehc_checks.core.errors import Problem
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.images import Image
from mehc_checks.modelengine.paths import DOCKER_REGISTRY_TYPE
from mehc_checks.modelengine.registries import Api, Registries, Search, SearchFails

_AZURE = re.compile(r"[a-z0-9-]+\.azurecr\.(io|us|cn)")
_CA_VARIABLES: Final = frozenset({"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
"""By these the gateway's HTTP client is told to trust other authorities."""
_MISSING: Final = frozenset({R.REPOSITORY_MISSING, R.TAG_MISSING, R.NOT_A_REGISTRY})

Logins = Callable[[Reference], Awaitable[Sequence[Login | None]]]
"""Who may pull an image, as endpoint pods may. Raises Problem."""


async def existence(
    context: Context,
    image: Image,
    *,
    access: Access,
    logins: Logins,
    timeout: float,
    connections: Connections,
) -> Problem | None:
    """What keeps the gateway from finding the image; None where nothing does, or where that is not asked."""
    registries = Registries.of(context.configuration)
    try:
        search = registries.search(image.repository)
    except SearchFails as error:
        detail = f"it lacks project and repository ({error})"
        return _unusable(registries, detail, "LOCATION-docker.pkg.dev/PROJECT/REPOSITORY")
    if search is None or image.full_path or not image.repository:
        return None
    if search.api is Api.ACR:
        return _of_azure(registries)
    if search.api is Api.HTTP:
        return await _anonymous(context, registries, search, image.tag, access, timeout, connections)
    return await _elsewhere(
        search, image, access=access, logins=logins, timeout=timeout, connections=connections
    )


def _of_azure(registries: Registries) -> Problem | None:
    """ACR's own API answers at the registry's root, and at no other registry. What it has is what pods pull."""
    host, slash, _ = registries.prefix.partition("/")
    if not _AZURE.fullmatch(host):
        return _unusable(registries, f"{host} has no API of Azure Container Registry", "NAME.azurecr.io")
    if slash:
        return _unusable(registries, f"it asks https://{registries.prefix}, which is no registry", host)
    return None


async def _anonymous(
    context: Context,
    registries: Registries,
    search: Search,
    tag: str,
    access: Access,
    timeout: float,
    connections: Connections,
) -> Problem | None:
    """A registry of no known cloud: asked anonymously, with the authorities that the gateway trusts."""
    variables = {str(item.get("name")) for _, item in context.configuration.entries("extraEnvVars")}
    trusted = access if variables & _CA_VARIABLES else Access(tls=client_context())
    try:
        detail = await hidden(
            search.registry,
            search.repository,
            tag,
            access=trusted,
            timeout=timeout,
            connections=connections,
        )
    except Problem as problem:
        sought = f"{search.registry}/{search.repository}:{tag}"
        return Problem(R.GATEWAY_SEARCH_NOT_VERIFIED, detail=problem, image=sought, sought=sought)
    if not detail:
        return None
    named = context.configuration.read(DOCKER_REGISTRY_TYPE)
    known = not named or named == registries.gateway.value
    return Problem(
        R.REGISTRY_CLOSED_TO_GATEWAY,
        host=search.registry,
        repository=search.repository,
        tag=tag,
        detail=detail
        if known
        else f"{detail}; docker_registry_type {named!r} is unknown and taken as generic",
    )


async def _elsewhere(
    search: Search,
    image: Image,
    *,
    access: Access,
    logins: Logins,
    timeout: float,
    connections: Connections,
) -> Problem | None:
    """The registry of a cloud, which is asked by account or project: it may not be the one that pods pull from."""
    try:
        sought = parse(search.reference(image.tag))
        if sought == parse(image.reference):
            return None
    except InvalidReference:
        return None
    words = {"image": image.reference, "sought": str(sought)}
    try:
        found = await inspect(
            sought,
            await logins(sought),
            access=access,
            architectures=(),
            timeout=timeout,
            exists=True,
            connections=connections,
        )
        problem = found.problem
    except Problem as error:
        problem = error
    if problem is None:
        return None
    if problem.reason in _MISSING:
        return Problem(R.IMAGE_NOT_FOUND_BY_GATEWAY, **words)
    return Problem(R.GATEWAY_SEARCH_NOT_VERIFIED, detail=problem, **words)


def _unusable(registries: Registries, detail: str, form: str) -> Problem:
    return Problem(
        R.REGISTRY_PREFIX_INVALID,
        source=PREFIX,
        prefix=registries.prefix,
        kind=registries.gateway.value,
        detail=detail,
        form=form,
    )
