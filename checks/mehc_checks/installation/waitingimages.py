"""Registries, asked for the images that pods wait for, each with the pull secrets of its pod."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from yarl import URL

from mehc_checks.clients.network.place import only_inside
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import Access, is_link_local
from mehc_checks.clients.registry.inspect import inspect
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.logins import OF_TOKEN, expiring, offered, token_words
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.reference import InvalidReference, ecr_registry, parse
from mehc_checks.core.errors import MehcError, Problem
from mehc_checks.core.outcome import Status
from mehc_checks.installation.context import Context
from mehc_checks.installation.pulls import (
    PodSecrets,
    access,
    has_node_identity,
    logins,
    pod_secrets,
)
from mehc_checks.workload.objects import PULLING, Pod
from mehc_checks.workload.registry import Answer

_MOST: Final = 8
"""Images that are asked for in one probe run."""
_PART: Final = 0.3
"""Of the check's time, what all registries together may take at most."""
_WITHOUT_LOGIN: Final = frozenset({R.NO_PULL_CREDENTIALS, R.PULL_DENIED, R.PULL_CREDENTIALS_REJECTED})
"""What a registry answers to a client that has no password, or not that of this repository."""


def _nothing(_: Pod, __: str) -> None:
    return None


async def answers(
    context: Context, pods: Iterable[Pod], namespace: str, *, seconds: float
) -> Callable[[Pod, str], Answer | None]:
    """What registries answered of the images that ``pods`` of ``namespace`` wait for; None for what was not asked.

    One question for an image and the pull secrets it is pulled with, however many pods wait, and all of them end within
    ``seconds``: a registry that is slow, or that mehc cannot reach, leaves the node's own words as they are.
    """
    waiting: dict[tuple[str, tuple[str, ...]], Pod] = {}
    for pod in pods:
        for container in pod.containers:
            if container.waiting in PULLING and not pod.deleting and not pod.has_ended:
                waiting.setdefault((container.image, pod.pull_secrets), pod)
    if not waiting:
        return _nothing
    most = min(seconds, context.timeout.total_seconds() * _PART)
    async with Connections(timeout=most) as connections:
        asker = _Asker(context, namespace, most, connections)
        tasks = {
            key: asyncio.ensure_future(asker.ask(key[0], waiting[key])) for key in sorted(waiting)[:_MOST]
        }
        try:
            await asyncio.wait(tasks.values(), timeout=most)
        finally:
            for task in tasks.values():
                task.cancel()
            done = await asyncio.gather(*tasks.values(), return_exceptions=True)
    found = {key: each for key, each in zip(tasks, done, strict=True) if isinstance(each, Answer)}
    return lambda pod, image: found.get((image, pod.pull_secrets))


class _Asker:
    def __init__(self, context: Context, namespace: str, seconds: float, connections: Connections) -> None:
        self._context, self._namespace = context, namespace
        self._seconds, self._connections = seconds, connections

    async def ask(self, image: str, pod: Pod) -> Answer | None:
        """None where mehc cannot ask as the node does: Secrets that it may not read, what may be another registry."""
        context = self._context
        try:
            reference = parse(image)
            trusted = await context.gather(access)
            if is_link_local(reference.host) or not self._is_the_nodes(reference.host, trusted):
                return None
            secrets = await pod_secrets(context, pod.pull_secrets, self._namespace)
            if secrets.malformed:
                return Answer(image=image, problem=secrets.malformed)
            offered_logins = await logins(context, reference, secrets.keyring, named_by_live=True)
        except (MehcError, InvalidReference):
            return None
        found = await inspect(
            reference,
            offered_logins,
            access=trusted,
            architectures=(),
            timeout=self._seconds,
            exists=True,
            connections=self._connections,
        )
        if found.problem is not None and found.problem.reason.status is Status.ERROR:
            return None  # of this process, and not of the node
        own = secrets.keyring.lookup(reference.name)
        return Answer(
            image=image,
            problem=found.problem and self._known(found.problem, pod, secrets, own),
            login=found.login,
            by_node=not own and (has_node_identity(reference) or ecr_registry(reference.host) != ("", "")),
        )

    def _is_the_nodes(self, host: str, trusted: Access) -> bool:
        """Whether who answers at ``host`` can only be the registry that the node asks.

        From outside the cluster a private address may be another server's, whom no password may reach: where a
        certificate is required, it is the proof.
        """
        private = only_inside(URL(f"//{host}").host or "")
        return self._context.inside or not private or not trusted.plain_allowed(host)

    def _known(self, problem: Problem, pod: Pod, secrets: PodSecrets, own: Sequence[Login]) -> Problem:
        """``problem`` of credentials, by what is known of those that ``pod`` pulls with."""
        keyring, place = secrets.keyring, {"namespace": self._namespace}
        if problem.reason in OF_TOKEN and (expired := expiring(own, self._context.clock())):
            return Problem(R.PULL_TOKEN_EXPIRED, **token_words(expired[0]), **place)
        empty = [login.secret for login in own if login.secret in keyring.empty]
        if problem.reason is R.PULL_CREDENTIALS_REJECTED and not empty:
            return problem
        if problem.reason not in _WITHOUT_LOGIN:
            return problem
        if secrets.missing:
            return Problem(
                R.PULL_SECRET_MISSING, secret=", ".join(secrets.missing), account="the pod", **place
            )
        if keyring.ignored:
            return Problem(R.PULL_SECRET_IGNORED, secret=keyring.ignored[0])
        for name in empty or keyring.empty:
            instead = keyring.empty[name]
            detail = f": it has {instead}, which only a Docker client can use" if instead else ""
            return Problem(R.PULL_SECRET_EMPTY, secret=name, detail=detail, **place)
        if problem.reason is not R.NO_PULL_CREDENTIALS:
            return problem
        account = f"ServiceAccount {pod.account}"
        has = offered(keyring, "the pod")
        return Problem(
            R.NO_PULL_CREDENTIALS, **{**problem.words, **place, "account": account, "offered": has}
        )
