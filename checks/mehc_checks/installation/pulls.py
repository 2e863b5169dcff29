"""Registries as pods of the installation pull from them: whom to trust, and by which credentials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mehc_checks.clients.aws import ecr
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.keyring import Keyring, Login
from mehc_checks.clients.registry.reference import Reference, ecr_registry
from mehc_checks.core.errors import Problem
from mehc_checks.installation.context import Context
from mehc_checks.installation.imageparameters import ImageParameters
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
    """The pull secrets ``names``; their passwords are redacted from here on. Raises what ``context.secret`` raises."""
    found = {name: await context.secret(name, namespace=namespace) for name in names}
    missing = tuple(name for name, secret in found.items() if secret is None)
    try:
        keyring = Keyring([secret for secret in found.values() if secret is not None])
    except Problem as problem:
        return PodSecrets(missing=missing, malformed=problem)
    for login in filter(lambda each: each.password, keyring.logins):
        context.redactor.add(login.password, f"{login.username}:{login.password}")
    return PodSecrets(missing=missing, keyring=keyring)


async def logins(context: Context, reference: Reference, keyring: Keyring) -> Sequence[Login | None]:
    """Those of ``keyring`` first, then an ECR token; None is anonymous, as runtimes take an entry without a login.

    Raises Problem where there is none, but should be.
    """
    own = [login if login.username or login.password else None for login in keyring.lookup(reference.name)]
    _, region = ecr_registry(reference.host)
    if not region:
        return own
    try:
        return [*own, await _token(context, region)]
    except Problem:
        if not own:
            raise
        return own


async def _token(context: Context, region: str) -> Login:
    """One for each region and probe run, however many images are there."""

    async def asked() -> Login:
        found = await ecr.token(region, timeout=context.network_timeout / 2)
        context.redactor.add(found.password)
        source = f"an ECR token of region {region}"
        return Login(username=found.username, password=found.password, source=source)

    return await context.shared(("ecr", region), asked)


def has_node_identity(reference: Reference) -> bool:
    """Whether kubelets of the registry's cloud get credentials from a provider of that cloud (ECR: by ours)."""
    return reference.host.endswith(_CLOUDS) or reference.host == "gcr.io"
