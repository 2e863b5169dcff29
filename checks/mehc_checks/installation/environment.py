"""The environment that a process of the control plane has: of its live Deployment, else as the values would make it.

One variable that cannot be resolved is known by its name, and whoever reads it is told why; the others are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.clients.network.place import is_loopback
from mehc_checks.clients.network.reasons import NetworkReasons, ReachReasons
from mehc_checks.core.errors import CannotEvaluate, Forbidden, MehcError, Problem
from mehc_checks.installation.context import Context
from mehc_checks.installation.proof import has
from mehc_checks.installation.reasons import EnvironmentReasons as R
from mehc_checks.installation.resolver import Gap, Resolver, unread
from mehc_checks.modelengine.environment import Declared, by_values, completed, of_deployment, sidecars
from mehc_checks.modelengine.workloads import BUILDER, CACHER


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """Variables by name. ``sources`` says where each comes from: "key password of Secret pg", "extraEnvVars".

    ``unseen`` is why the live Deployment could not be read, so that this is by the values. ``component`` is whose it
    is: "gateway", "builder", "cacher"; ``workload`` its Deployment. ``is_live``: all of it is of a live object.
    """

    component: str = "gateway"
    workload: str = "model-engine"
    known: Mapping[str, str] = field(repr=False)
    sources: Mapping[str, str]
    unread: Mapping[str, MehcError]
    """Those that exist and could not be resolved, each with why."""
    gaps: tuple[Gap, ...] = ()
    mounts: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    """The containers that run beside this one, and share its localhost."""
    unseen: CannotEvaluate | None = None
    is_live: bool = False

    def get(self, name: str) -> str | None:
        """The variable, None where it is not set. Raises the MehcError that kept it from being resolved."""
        if name in self.unread:
            raise self.unread[name]
        if name not in self.known:
            for gap in self.gaps:
                if name.startswith(gap.prefix):
                    raise unread(self.component, name, gap)
        return self.known.get(name)

    def source(self, name: str) -> str:
        """Where ``name`` comes from, for a message; the name itself where it is not set."""
        return self.sources.get(name, name)


async def gateway_environment(context: Context) -> Environment:
    """Resolve it. Raises nothing for a variable that cannot be resolved: ``Environment.get`` does."""
    values, name = by_values(context.configuration), context.configuration.fullname
    try:
        deployment = await _deployment(context, name)
        declared = completed(of_deployment(deployment, "gateway"), values) if deployment else values
        if context.is_deputy and not declared.is_live:
            declared = await _whole(context) or declared
    except Forbidden as refused:  # the values are the second best
        return await _resolved(context, values, "gateway", name, refused)
    return await _resolved(context, declared, "gateway", name)


async def _whole(context: Context) -> Declared | None:
    """What a workload declares to which the chart gives the gateway's variables; the gateway may not be there."""
    declared = (of_deployment(each, each["metadata"]["name"]) for each in (await context.proof()).workloads)
    return next((each for each in declared if each.is_whole), None)


async def builder_environment(context: Context) -> Environment | None:
    """That of the builder; None where its Deployment is not there, or cannot be read."""
    return await _of_live(context, "builder", BUILDER)


async def cacher_environment(context: Context) -> Environment | None:
    """That of the cacher; None where its Deployment is not there, or cannot be read."""
    return await _of_live(context, "cacher", CACHER)


async def _of_live(context: Context, component: str, suffix: str) -> Environment | None:
    name = context.configuration.fullname + suffix
    try:
        deployment = await _deployment(context, name)
    except Forbidden:  # as the gateway's, which says so
        return None
    declared = of_deployment(deployment, component) if deployment else None
    if declared is None or not declared.is_whole:
        return None
    return await _resolved(context, declared, component, name)


async def is_named(context: Context, host: str) -> bool:
    """Whether live workloads of the installation name ``host``: in their templates, or in what their pods read.

    Raises what ``Context.proof`` raises.
    """
    wanted = host.lower().rstrip(".")
    if (await context.proof()).names(wanted) or any(has(text, wanted) for text in context.vouched):
        return True
    environments = [await context.gather(each) for each in ENVIRONMENTS]
    live = [each for each in environments if each is not None and each.is_live]
    return any(has(text.lower(), wanted) for each in live for text in each.known.values())


async def may_send(context: Context, password: str, host: str) -> bool:
    """Whether ``password`` may go to ``host``: not one of a secret of the installation to a host that only values name.

    Raises what ``Context.proof`` raises.
    """
    if not (context.is_deputy and password):
        return True
    kept = unquote(password).lower()
    is_secret = any(kept in text or text in kept for text in context.vouched)
    return not is_secret or await is_named(context, host)


ENVIRONMENTS: Final = (gateway_environment, builder_environment, cacher_environment)


async def _deployment(context: Context, name: str) -> Mapping[str, Any] | None:
    if isinstance(context.cluster, NoCluster):
        return None
    return await context.reader.get(object_path("deployments", context.namespace, name, group="apps"))


async def _resolved(
    context: Context, declared: Declared, component: str, workload: str, unseen: CannotEvaluate | None = None
) -> Environment:
    resolver = Resolver(context, declared, component)
    for item in declared.env_from:
        await resolver.add_all(item)
    for item in declared.env:
        await resolver.add(item)
    await resolver.add_links()
    return Environment(
        component=component,
        workload=workload,
        known=resolver.known,
        sources=resolver.sources,
        unread=resolver.unread,
        gaps=tuple(resolver.gaps),
        mounts=declared.mounts,
        sidecars=declared.sidecars,
        unseen=unseen,
        is_live=declared.is_live,
    )


async def placed(context: Context, problem: Problem, host: str, environment: Environment) -> Problem:
    """``problem`` of connecting to ``host``; where a sidecar of the pod may serve it, that only the pod can tell."""
    if not is_loopback(host) or problem.reason not in (*NetworkReasons.all(), *ReachReasons.all()):
        return problem
    sidecars = environment.sidecars or await _injected(context, environment)
    if not sidecars:
        if sidecars is None or problem.reason is not ReachReasons.ADDRESS_NOT_ALLOWED:
            return problem
        return Problem(
            R.NOTHING_ON_LOCALHOST, host=host, component=environment.component, workload=environment.workload
        )
    return CannotEvaluate(
        R.LOCAL_TO_POD,
        host=host,
        component=environment.component,
        sidecars=" or ".join(sidecars),
        sidecar=sidecars[0],
        workload=environment.workload,
        namespace=context.namespace,
    )


async def _injected(context: Context, environment: Environment) -> tuple[str, ...] | None:
    """The sidecars that the Deployment does not have and its pods do; None where pods are not seen."""
    if isinstance(context.cluster, NoCluster):
        return None
    try:
        found = await context.reader.all(
            object_path("pods", context.namespace), labels=f"app={environment.workload}"
        )
    except CannotEvaluate:
        return None
    for pod in found.items:
        names = [each["name"] for each in pod["spec"]["containers"]]
        own = environment.workload if environment.workload in names else names[0]
        if beside := sidecars(pod["spec"], own):
            return beside
    return ()
