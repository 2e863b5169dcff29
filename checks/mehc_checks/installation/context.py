"""What one pass over one installation has at hand: values, cluster, parameters, and shared facts."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from mehc_checks.clients.kubernetes.api import Cluster, NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.kubernetes.reader import Reader
from mehc_checks.clients.kubernetes.texts import Secret
from mehc_checks.clients.network import reach
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.core.clock import now
from mehc_checks.core.errors import CannotEvaluate, NotApplicable
from mehc_checks.core.once import Once
from mehc_checks.core.redact import Redactor, of_secret, sensitive
from mehc_checks.core.wire import Wire
from mehc_checks.installation.helm import Release, Stored
from mehc_checks.installation.installation import Installation
from mehc_checks.installation.inventory import Inventory, ListedInventory
from mehc_checks.installation.objects import ListedReleases, Releases, read_release
from mehc_checks.installation.proof import Proof, proof_of
from mehc_checks.installation.reasons import InstallationReasons as R
from mehc_checks.installation.sources import NOT_CREDENTIALS
from mehc_checks.modelengine import serviceconfig
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.misplaced import misplaced
from mehc_checks.modelengine.names import service_config_map
from mehc_checks.modelengine.values import Values
from mehc_checks.modelengine.versions import UNDETECTED, Platform

T = TypeVar("T")


class Context:
    """The pass. Gatherers take it and return facts; everything read through it is read once per pass.

    ``namespace`` is the one that the chart is installed in; "" when there is no cluster.
    ``timeout`` is the time that one check has. ``inventory`` knows nodes and pods, ``releases`` the revisions of
    Helm releases; without one, they are listed when first asked for. ``reader`` reads all other objects.
    ``installation`` is what discovery found, None where nobody looked; ``ignored_rules`` maps ids of configuration
    rules to why they do not hold here. ``inside`` is whether this process reaches and trusts what the cluster's pods
    do. ``redactor`` learns what is secret. ``given`` has what the request says in parameters, and all values, as one
    text.
    ``hold`` takes a connection to a server that has just answered, to be held between passes, or to be opened when the
    server is back. ``completed`` has the images that registries had whole, from one pass to the next.
    """

    def __init__(
        self,
        *,
        values: Values,
        cluster: Cluster | None = None,
        namespace: str = "",
        timeout: timedelta = timedelta(seconds=10),
        parameters: Mapping[type[Any], Any] | None = None,
        clock: Callable[[], datetime] = now,
        inventory: Inventory | None = None,
        installation: Installation | None = None,
        releases: Releases | None = None,
        reader: Reader | None = None,
        ignored_rules: Mapping[str, str] | None = None,
        inside: bool = True,
        redactor: Redactor | None = None,
        given: str = "",
        hold: Callable[[Wire], None] = lambda _: None,
        completed: Completed | None = None,
    ) -> None:
        self.values = values
        self.installation = installation
        self.ignored_rules = ignored_rules or {}
        self.cluster: Cluster = cluster or NoCluster()
        self.inventory: Inventory = inventory or ListedInventory(self.cluster)
        self.releases: Releases = releases or ListedReleases(self.cluster)
        self._own_reader = None if reader else Reader(self.cluster)
        self.reader: Reader = reader or cast("Reader", self._own_reader)
        self.namespace = namespace
        self.inside = inside
        self.given = given
        self.hold = hold
        self.completed = completed or Completed()
        self.timeout = timeout
        self.clock = clock
        self.redactor = redactor or Redactor()
        self.vouched: set[str] = set()
        for layer in installation.layers if installation else ():
            self.redactor.add(*sensitive(layer.values))  # also of what another layer hides
        self.redactor.add(*sensitive(values.tree))
        self.redactor.call(misplaced(values))
        self._parameters = parameters or {}
        self._shared = Once()

    @cached_property
    def configuration(self) -> Configuration:
        """What the chart and the platform make of ``values``."""
        return Configuration(self.values)

    @property
    def platform(self) -> Platform:
        """The version of the platform that is judged."""
        return self.installation.platform if self.installation else UNDETECTED

    @property
    def endpoint_namespace(self) -> str:
        """Where endpoint pods run: ``config.values.launch.endpoint_namespace``, else the chart's namespace."""
        return self.configuration.endpoint_namespace or self.namespace

    @property
    def network_timeout(self) -> float:
        """Seconds that one conversation with a dependency may take.

        Shorter than a check's timeout, so that a dependency that does not answer is found and named as
        such before the check itself runs out of time and knows nothing.
        """
        return self.timeout.total_seconds() * 0.8

    def parameters(self, kind: type[T]) -> T:
        """The parameters of the check that declared ``kind``; its defaults where none were given."""
        return cast("T", self._parameters[kind]) if kind in self._parameters else kind()

    async def gather(self, gatherer: Callable[["Context"], Awaitable[T]]) -> T:
        """The facts of ``gatherer``, gathered once per pass however many ask.

        One asker's cancellation does not disturb the others; ``close`` ends what is left.
        """
        return await self.shared(gatherer, lambda: gatherer(self))

    async def shared(self, key: Hashable, start: Callable[[], Awaitable[T]]) -> T:
        """The answer of ``start``, which is called once per pass for a ``key``; as ``gather``."""
        return cast("T", await self._shared.ask(key, start))

    @property
    def is_deputy(self) -> bool:
        """Whether the values may be of someone who has fewer rights than this process."""
        return not isinstance(self.cluster, NoCluster) and not reach.current().trusts(self.namespace)

    async def proof(self) -> Proof:
        """What the installation's live workloads name. Raises Forbidden."""
        name = self.configuration.fullname
        return cast(
            "Proof", await self._shared.ask("proof", lambda: proof_of(self.reader, self.namespace, name))
        )

    async def secret(
        self, name: str, *, namespace: str | None = None, named_by_live: bool = False
    ) -> Secret | None:
        """The Secret ``name`` of the installation's own namespace, or of the endpoint namespace.

        Where values may be anyone's, it must be ``named_by_live``: by a live object. What is made of it must be that
        object's alone, or ``installation.environment.may_send`` must be asked.

        Its values are secret from here on: whatever is reported is redacted. Raises ValueError for any other namespace,
        which no resource may name, CannotEvaluate (``NotVerified``; ``SecretTypeNotAllowed`` for a Secret that is
        Kubernetes' or Helm's own), and what ``prove_endpoint_namespace`` raises.
        """
        where = namespace or self.namespace
        if where not in (self.namespace, self.endpoint_namespace):
            raise ValueError(f"Secrets of namespace {where} are out of bounds")
        if where != self.namespace:
            await self.prove_endpoint_namespace()
        if self.is_deputy and not named_by_live:
            what = f"Secret {name} in namespace {where}"
            raise CannotEvaluate(R.NOT_VERIFIED, what=what, namespace=self.namespace)
        found = cast(
            "Secret | None",
            await self._shared.ask(("secret", where, name), lambda: self.cluster.secret(where, name)),
        )
        if found is not None:
            if found.type in NOT_CREDENTIALS:
                raise CannotEvaluate(R.SECRET_TYPE_NOT_ALLOWED, secret=name, namespace=where, type=found.type)
            self.redactor.add(*of_secret(found.data))
            self.vouch(*found.data.values())
        return found

    def vouch(self, *texts: str) -> None:
        """``texts`` are of secrets that live workloads use: what these name, the workloads name."""
        if self.is_deputy:
            self.vouched.update(unquote(text).lower() for text in texts if text)

    async def release(self, revision: Stored) -> Release | None:
        """A stored revision of a Helm release of the installation's own namespace, as ``read_release`` has it.

        What is sensitive in its values is secret from here on.
        """
        found = cast(
            "Release | None",
            await self._shared.ask(
                ("release", revision.secret), lambda: read_release(self.cluster, self.namespace, revision)
            ),
        )
        if found is not None:
            for layer in found.layers:
                self.redactor.add(*sensitive(layer.values))
        return found

    async def prove_endpoint_namespace(self) -> None:
        """Return if the endpoint namespace belongs to this installation.

        Values name it, and whoever may write the resource writes values; whoever runs this may read more than
        they. So the namespace itself must say whose it is: by the service ConfigMap that the chart puts there,
        which names the gateway's namespace. Raises CannotEvaluate (``EndpointNamespaceNotVerified``) if it does not.
        """
        await self._shared.ask("endpoint namespace", self._prove_endpoint_namespace)

    async def _prove_endpoint_namespace(self) -> None:
        where = self.endpoint_namespace
        if where == self.namespace:
            return
        name = service_config_map(self.values)
        found = await self.reader.get(object_path("configmaps", where, name))
        if found is None:
            raise _unproven(where, f"it has no ConfigMap {name}")
        owner = serviceconfig.owner(found.get("data") or {})
        if owner is None:
            raise _unproven(where, f"its ConfigMap {name} does not say whose it is (gateway_namespace)")
        if owner != self.namespace:
            raise _unproven(where, f"its ConfigMap {name} belongs to the installation in another namespace")

    async def close(self) -> None:
        """Cancel what still runs and wait until it has ended. A reader that was given is left to its owner."""
        await self._shared.close()
        if self._own_reader is not None:
            await self._own_reader.close()


def require_cluster(context: Context) -> None:
    """Raise NotApplicable where there is no cluster to look at."""
    if isinstance(context.cluster, NoCluster):
        raise NotApplicable("needs a cluster, and none was given")


def _unproven(namespace: str, why: str) -> CannotEvaluate:
    return CannotEvaluate(R.NAMESPACE_NOT_VERIFIED, namespace=namespace, detail=why)
