"""Run ``mehc check`` where the platform runs: in a ready pod of the operator, or else in a Job."""

import argparse
import asyncio
import secrets
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Final

from mehc_checks.clients.kubernetes.execute import STDOUT, execute
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.core.text import shortened
from mehc_checks.engine.check import catalogue
from mehc_checks.engine.request import Request, Sources, prepare
from mehc_checks.installation.context import Context
from mehc_checks.modelengine.values import Layer
from mehc_operator.cli.cluster import Asked, could_not_run, opened, resource_spec
from mehc_operator.cli.incluster.frames import SILENCE, Receiver
from mehc_operator.cli.incluster.manifests import FILES, KEPT, MOST, Plan, reading
from mehc_operator.cli.incluster.objects import Objects, run_by, sweep
from mehc_operator.cli.incluster.operators import CONTAINER, Operator, operator_of
from mehc_operator.cli.incluster.passing import bundle, check_words, relay_words
from mehc_operator.cli.incluster.pod import JobPod, too_old
from mehc_operator.cli.options import values_files
from mehc_operator.permissions import rules
from mehc_operator.request import request as request_of

_RUN: Final = 600
"""Seconds that a check may take at most, besides twice its own --timeout."""
_ACCOUNT: Final = ("serviceaccounts", "roles", "rolebindings")
"""Resources that a temporary ServiceAccount takes."""
_RBAC: Final = "rbac.authorization.k8s.io"


def in_cluster(options: argparse.Namespace, carried: Mapping[str, str]) -> int:
    """The exit status of the check in the cluster; ``carried`` has the texts of its values files.

    Raises UsageError, and KeyboardInterrupt at an interrupt or a request to end, with everything taken away.
    """
    try:
        return asyncio.run(_until_told_to_end(options, carried))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _until_told_to_end(options: argparse.Namespace, carried: Mapping[str, str]) -> int:
    _cancel_at_signals()
    async with opened(options) as at:
        try:
            return await _checked(options, at, carried)
        except Forbidden as problem:
            raise UsageError(
                f"{problem}. Ask for this permission; all of them: docs/in-cluster.md."
            ) from None
        except CannotEvaluate as problem:
            raise UsageError(f"{problem}. {problem.remediation}") from None
    raise AssertionError("unreachable")  # a context manager may swallow exceptions as far as mypy knows


def _cancel_at_signals() -> None:
    """SIGINT does so by itself."""
    task = asyncio.current_task()
    for name in ("SIGTERM", "SIGHUP"):
        if task and hasattr(signal, name):
            with suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), task.cancel)


async def _checked(options: argparse.Namespace, at: Asked, carried: Mapping[str, str]) -> int:
    alone = options.image and options.service_account
    operator = None if alone else await operator_of(at.cluster, at.namespace)
    words = list(check_words(options, at.namespace))
    receiver = Receiver(out=sys.stdout.write, err=sys.stderr.write)
    if operator and operator.ready and not (options.image or options.service_account):
        await _in_operator(at, operator, words, carried, receiver)
    else:
        await _in_job(options, at, operator, words, carried, receiver)
    if receiver.status is None:
        raise AssertionError("a check that sent no status has raised")
    if receiver.status == 2 and receiver.version != version("mehc"):
        print(f"mehc is {receiver.version} there, and {version('mehc')} here", file=sys.stderr)
    return receiver.status


async def _in_operator(
    at: Asked, operator: Operator, words: list[str], carried: Mapping[str, str], receiver: Receiver
) -> None:
    pod = operator.ready[0]
    where = f"pod {operator.namespace}/{pod}"
    print(f"checking from {where}", file=sys.stderr)
    command = ["mehc", *relay_words(words, context=at.context, files="-" if carried else "")]
    running = execute(
        at.api,
        operator.namespace,
        pod,
        container=CONTAINER,
        command=command,
        stdin=bundle(carried) if carried else b"",
        silence=SILENCE,
    )
    said = b""
    try:
        async with running as run:
            async for channel, data in run.output():
                if channel == STDOUT:
                    receiver.feed(data)
                else:
                    said += data
    except TimeoutError:
        raise UsageError(f"{where} stopped answering. Check the pod, then run the command again.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: the connection failed ({type(error).__name__}). Run it again.") from None
    if receiver.status is not None:
        return
    last = shortened((said.decode(errors="replace").strip().splitlines() or [receiver.foreign])[-1])
    if "'relay'" in last:
        raise too_old(where, last)
    if run.error or run.code:
        why = run.error or f"it exited with status {run.code}" + (f" ({last})" if last else "")
        raise UsageError(
            f"{where}: the check did not run: {shortened(why)}. Give --image to use a Job instead."
        )
    raise UsageError(f"{where}: the connection ended before the report did. Run the command again.")


async def _in_job(
    options: argparse.Namespace,
    at: Asked,
    operator: Operator | None,
    words: list[str],
    carried: Mapping[str, str],
    receiver: Receiver,
) -> None:
    plan = _plan(options, at, operator, words, carried)
    endpoints = "" if plan.account else await _endpoint_namespace(options, at, carried)
    await sweep(at.cluster, _swept(plan.namespace, endpoints))
    objects = Objects(at.cluster)
    try:
        await _make(objects, plan, endpoints)
        print(f"checking from Job {plan.namespace}/{plan.name}, image {plan.image}", file=sys.stderr)
        pod = JobPod(cluster=at.cluster, plan=plan, start_timeout=options.start_timeout)
        await pod.follow(await pod.started(), receiver)
    finally:
        await objects.delete()


def _plan(
    options: argparse.Namespace,
    at: Asked,
    operator: Operator | None,
    words: list[str],
    carried: Mapping[str, str],
) -> Plan:
    image = options.image or (operator.image if operator else "")
    if not image:
        raise UsageError(
            f"no operator watches namespace {at.namespace}, so its image is unknown. Give --image "
            f"REPOSITORY/mehc:{version('mehc')}, or install the operator."
        )
    files = bundle(carried) if carried else b""
    if len(files) > MOST:
        raise UsageError(
            f"the values files are larger than a Secret can be ({MOST // 1024} KiB). Give fewer values."
        )
    theirs = operator if operator and not options.service_account else None
    seconds = _RUN + int(options.start_timeout.total_seconds())
    seconds += 2 * int(options.timeout.total_seconds()) if options.timeout else 0
    return Plan(
        name=f"mehc-check-{secrets.token_hex(4)}",
        namespace=theirs.namespace if theirs else at.namespace,
        image=image,
        words=relay_words(words, context=at.context, files=FILES if files else ""),
        seconds=seconds,
        run_by=run_by(),
        until=int(time.time()) + seconds + KEPT,
        account=options.service_account
        or (theirs.template.get("serviceAccountName") or "default" if theirs else ""),
        operator=theirs,
        pull_secrets=tuple(options.image_pull_secret),
        files=files,
    )


async def _endpoint_namespace(options: argparse.Namespace, at: Asked, carried: Mapping[str, str]) -> str:
    """Where endpoints run, by what the user can read. Raises UsageError where there is nothing to check."""
    base = Request(namespace=at.namespace)
    if options.resource:
        base = request_of(await resource_spec(at, options.resource), at.namespace)
    layers = [Layer(source=file, values=read.values) for file, read in values_files(options.values, carried)]
    request = Request(
        namespace=at.namespace,
        release=options.release or base.release,
        references=base.references,
        layers=(*base.layers, *layers),
    )
    try:
        prepared = await prepare(request, Sources(cluster=at.cluster))
    except Forbidden:
        raise
    except CannotEvaluate as problem:
        raise await could_not_run(problem, at) from None
    return Context(values=prepared.values, namespace=at.namespace).endpoint_namespace


def _swept(namespace: str, endpoints: str) -> list[str]:
    """Where checks leave something; what a Job owns goes with it."""
    if not endpoints:
        return [object_path("jobs", namespace, group="batch")]
    roles = [
        object_path(kind, place, group=_RBAC)
        for place in dict.fromkeys((namespace, endpoints))
        for kind in ("rolebindings", "roles")
    ]
    cluster = [f"/apis/{_RBAC}/v1/{kind}" for kind in ("clusterrolebindings", "clusterroles")]
    return [object_path("jobs", namespace, group="batch"), *roles, *cluster]


async def _make(objects: Objects, plan: Plan, endpoints: str) -> None:
    """The Job comes first, since it owns the others, and its ServiceAccount last, without which it has no pod.

    So there is no moment at which a killed command leaves behind what does not end by itself, but for the Role in
    another namespace and the ClusterRole, which name a ServiceAccount that is gone: the next run sweeps them.
    """
    job = await objects.create(object_path("jobs", plan.namespace, group="batch"), plan.job())
    owned = plan.owned(job)
    if plan.files:
        await objects.create(object_path("secrets", plan.namespace), plan.secret(owned))
    if plan.account:
        return
    granted = rules(catalogue().values())
    own = reading([*granted["own"], *granted["helmReleases"]])
    theirs = reading(granted["endpoints"])
    same = endpoints == plan.namespace
    await _grant(objects, plan, plan.namespace, owned, [*own, *theirs] if same else own)
    if not same:
        await _grant(objects, plan, endpoints, plan.metadata, theirs)
    try:
        role, binding = plan.role(plan.metadata, reading(granted["cluster"]), kind="ClusterRole")
        await objects.create(f"/apis/{_RBAC}/v1/clusterroles", role)
        await objects.create(f"/apis/{_RBAC}/v1/clusterrolebindings", binding)
    except (Forbidden, UsageError) as problem:
        print(f"{problem}: checks that read nodes are Unknown", file=sys.stderr)
    await objects.create(object_path("serviceaccounts", plan.namespace), plan.service_account(owned))


async def _grant(
    objects: Objects,
    plan: Plan,
    namespace: str,
    metadata: dict[str, object],
    allowed: list[dict[str, object]],
) -> None:
    role, binding = plan.role(metadata, allowed)
    await objects.create(object_path("roles", namespace, group=_RBAC), role)
    await objects.create(object_path("rolebindings", namespace, group=_RBAC), binding)
