"""Registries as pods of the installation pull from them: whom to trust, and by which credentials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mehc_checks.clients.aws import ecr
from mehc_checks.clients.azure import acr
from mehc_checks.clients.google import gar
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.keyring import Keyring, Login
from mehc_checks.clients.registry.reference import Reference, ecr_registry
from mehc_checks.core.errors import CannotEvaluate, Problem
from mehc_checks.installation.azure import azure
from mehc_checks.installation.context import Context
from mehc_checks.installation.google import google
from mehc_checks.installation.imageparameters import ImageParameters
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.installation.trust import trusted

_CLOUDS: Final = (".azurecr.io", "-docker.pkg.dev", ".gcr.io")


async def access(context: Context) -> Access:
    """Whom to trust. Raises what ``trusted`` raises."""
    parameters = context.parameters(ImageParameters)
    tls = await trusted(context, ca_bundle=parameters.ca_bundle, ca_config_map=parameters.ca_config_map)
    return Access(tls=tls, insecure=frozenset(parameters.insecure_registries))


@dataclass(frozen=True, kw_only=True, slots=True)
class PodSecrets:
    """Pull secrets by their names. ``malformed`` is what fails every pull of a pod that names them."""

    keyring: Keyring = field(default_factory=lambda: Keyring(()))
    missing: tuple[str, ...] = ()
    malformed: Problem | None = None


async def pod_secrets(context: Context, names: Iterable[str], namespace: str) -> PodSecrets:
    """The pull secrets ``names``, of a live ServiceAccount or pod; their passwords are redacted from here on.

    Raises what ``context.secret`` raises.
    """
    found = {name: await context.secret(name, namespace=namespace, named_by_live=True) for name in names}
    missing = tuple(name for name, secret in found.items() if secret is None)
    try:
        keyring = Keyring([secret for secret in found.values() if secret is not None])
    except Problem as problem:
        return PodSecrets(missing=missing, malformed=problem)
    for login in filter(lambda each: each.password, keyring.logins):
        context.redactor.add(login.password, f"{login.username}:{login.password}")
    return PodSecrets(missing=missing, keyring=keyring)


async def logins(
    context: Context, reference: Reference, keyring: Keyring, *, named_by_live: bool = False
) -> Sequence[Login | None]:
    """Those of ``keyring`` first, then an ECR token; None is anonymous, as runtimes take an entry without a login.

    ``named_by_live``: a live pod has the image. Else the token, which is our own identity's, is for repositories that
    the installation's live workloads name. Raises Problem where there is none, but should be.
    """
    own = [login if login.username or login.password else None for login in keyring.lookup(reference.name)]
    _, region = ecr_registry(reference.host)
    if not region:
        return own
    try:
        if not named_by_live and not await _is_named(context, reference):
            what = f"image repository {reference.name}"
            raise CannotEvaluate(R.NOT_VERIFIED, what=what, namespace=context.namespace)
        return [*own, await _token(context, region)]
    except Problem:
        if not own:
            raise
        return own


async def _is_named(context: Context, reference: Reference) -> bool:
    """Whether this process's own identity may ask for the image: where values may be anyone's, live objects name it."""
    return not context.is_deputy or (await context.proof()).names_image(reference.host, reference.path)


async def _token(context: Context, region: str) -> Login:
    """One for each region and probe run, however many images are there."""

    async def asked() -> Login:
        found = await ecr.token(region, timeout=context.network_timeout / 2)
        context.redactor.add(found.password)
        source = f"an ECR token of region {region}"
        return Login(username=found.username, password=found.password, source=source)

    return await context.shared(("ecr", region), asked)


async def cloud_login(context: Context, reference: Reference) -> Login | None:
    """A login at a registry of Azure or Google by this process's own identity; None where that has none there.

    It is one of no pod: what it is denied says nothing of pods. As an ECR token, it is for repositories that
    the installation's live workloads name.
    """
    host = reference.host
    if not (acr.is_registry(host) or gar.is_registry(host)) or not await _is_named(context, reference):
        return None
    return await (_acr_login if acr.is_registry(host) else _google_login)(context, host)


async def _acr_login(context: Context, host: str) -> Login | None:
    async def asked() -> Login | None:
        try:
            found = await acr.refresh_token(await azure(context), host, timeout=context.network_timeout / 4)
        except Problem:
            return None
        context.redactor.add(found)
        return Login(username=acr.USER, password=found, source="a token of the operator's Azure identity")

    return await context.shared(("acr", host), asked)


async def _google_login(context: Context, _: str) -> Login | None:
    try:
        held = await google(context, part=0.25).token()
    except Problem:
        return None
    context.redactor.add(held.text, f"{gar.USER}:{held.text}")
    source = f"a token of the operator's Google identity, {held.principal}"
    return Login(username=gar.USER, password=held.text, source=source)


def has_node_identity(reference: Reference) -> bool:
    """Whether kubelets of the registry's cloud get credentials from a provider of that cloud (ECR: by ours)."""
    return reference.host.endswith(_CLOUDS) or reference.host == "gcr.io"
