"""Asks for what ConfigValid judges."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from mehc_checks.checks.config.clusterfacts import cluster_facts
from mehc_checks.checks.config.facts import ConfigFacts, Stale
from mehc_checks.checks.config.rules.evaluate import evaluate
from mehc_checks.clients.kubernetes.api import NoCluster
from mehc_checks.clients.kubernetes.paths import object_path
from mehc_checks.core.errors import CannotEvaluate, Forbidden, UsageError
from mehc_checks.installation import drift
from mehc_checks.installation.context import Context
from mehc_checks.installation.installation import Difference, Installation
from mehc_checks.modelengine import paths, workloads
from mehc_checks.modelengine.configuration import Configuration, printed
from mehc_checks.modelengine.images import FRAMEWORK_CONFIG_MAP
from mehc_checks.modelengine.values import Part, Values


async def gather(context: Context) -> ConfigFacts:
    """Raises UsageError for an ignored rule that does not exist."""
    installation = context.installation
    whole = frozenset[str](Part if isinstance(context.cluster, NoCluster) else ())
    facts = None
    stale = None
    frameworks: tuple[Difference, ...] = ()
    if installation is not None:
        whole = installation.whole
        facts, stale, frameworks = await asyncio.gather(
            cluster_facts(context), stale_pods(context, installation), framework_tags(context, installation)
        )
        facts = replace(facts, deployed=_is_deployed(installation))
    try:
        judged = evaluate(context.values, facts=facts, whole=whole, ignored=context.ignored_rules)
    except UsageError as error:
        raise UsageError(f"spec.ignoreRules: {error}") from None
    return ConfigFacts(
        values=context.values,
        installation=installation,
        judged=tuple(judged),
        stale=stale,
        frameworks=frameworks,
        now=context.clock(),
    )


def _is_deployed(installation: Installation) -> bool:
    """Whether the values as found were accepted by Helm and the API server."""
    release = installation.release
    return release is None or release.status in ("deployed", "superseded")


async def framework_tags(context: Context, installation: Installation) -> tuple[Difference, ...]:
    """Tags that the live ConfigMap has otherwise than the release; none where either could not be read."""
    if Part.CHART not in installation.whole:
        return ()
    try:
        live = await context.cluster.config_map(installation.namespace, FRAMEWORK_CONFIG_MAP)
    except CannotEvaluate:
        return ()
    given = Configuration(installation.under(())).table(paths.INFERENCE_FRAMEWORK)
    return tuple(
        Difference(
            path=f"{paths.INFERENCE_FRAMEWORK}.{key}",
            where=FRAMEWORK_CONFIG_MAP,
            live=live.get(key, ""),
            given=printed(tag),
        )
        for key, tag in given.items()
        if live is not None and not isinstance(tag, Mapping | list) and live.get(key, "") != printed(tag)
    )


async def stale_pods(context: Context, installation: Installation) -> Stale | None:
    """The control plane's pods that run with an older configuration than the ConfigMap has; None if there are none.

    Helm writes the ConfigMap again with each upgrade, also when nothing in it changes: where the release that a pod
    began with is still stored, its values tell.
    """
    config = installation.config
    if config is None or config.changed is None or config.values is None:
        return None
    name = installation.fullname
    try:
        found = await context.reader.all(
            object_path("pods", installation.namespace),
            labels=f"app in ({name},{name}{workloads.CACHER},{name}{workloads.BUILDER})",
        )
    except Forbidden:
        return None
    older = {}
    for pod in found.items:
        began = _began(pod)
        if began is not None and began < config.changed:
            older[pod["metadata"]["name"]] = began
    if not older:
        return None
    first = min(older.values())
    before = await _values_at(first, context, installation)
    paths: tuple[str, ...] = ()
    if before is not None:
        changes = drift.of_config_map(before, config.values, where="")
        if not changes:
            return None
        paths = tuple(change.path for change in changes)
    return Stale(pods=tuple(sorted(older)), began=first, changed=config.changed, paths=paths)


def _began(pod: Mapping[str, Any]) -> datetime | None:
    """When the process of the platform began: a container that was restarted has read its configuration again."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        started = ((status.get("state") or {}).get("running") or {}).get("startedAt")
        if started and status.get("name") == (pod["metadata"].get("labels") or {}).get("app"):
            return datetime.fromisoformat(started)
    return None


async def _values_at(when: datetime, context: Context, installation: Installation) -> Values | None:
    """The values of the release at that time; None where it is not stored, or is the present one."""
    release = installation.release
    if release is None:
        return None
    try:
        revisions = [
            one
            for one in await context.releases.revisions(installation.namespace)
            if one.name == release.name and one.revision < release.revision
            if one.created is not None and one.created <= when
        ]
        if not revisions:
            return None
        found = await context.release(max(revisions, key=lambda one: one.revision))
    except CannotEvaluate:
        return None
    return Values.merged(found.layers) if found else None
