"""VllmImagePullable: endpoint pods can pull the vLLM image, by the name that model engine gives it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from mehc_checks.checks.image.credentials import of_login, of_secrets, of_tokens
from mehc_checks.checks.image.evidence import TASK_LIMIT_MINUTES, evidence_of, pull_minutes
from mehc_checks.checks.image.facts import (
    ImageFacts,
    NodePull,
    NodePullState,
    Probed,
)
from mehc_checks.checks.image.reasons import PREFIX, VllmImageReasons
from mehc_checks.clients.aws.reasons import AwsReasons
from mehc_checks.clients.network.reasons import NetworkReasons, ReachReasons
from mehc_checks.clients.registry.logins import OF_LOGIN
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Finding, Outcome, Severity, Status
from mehc_checks.core.permission import Permission
from mehc_checks.core.text import byte_count
from mehc_checks.core.wire import Kind
from mehc_checks.engine.check import check
from mehc_checks.installation.imageparameters import ImageParameters
from mehc_checks.modelengine.images import Role, is_placeholder, is_vendor
from mehc_checks.modelengine.registries import RegistryClass

R = VllmImageReasons

_OF_THE_PATH: Final = frozenset(
    {
        *NetworkReasons.all(),
        *ReachReasons.all(),
        *AwsReasons.all(),
        R.TOKEN_SERVICE_UNREACHABLE,
        R.REDIRECT_NOT_FOLLOWED,
        R.LAYER_STORE_UNREACHABLE,
        R.LAYER_STORE_ERROR,
        R.NO_PULL_CREDENTIALS,
        R.PULL_CREDENTIALS_REJECTED,
        R.PULL_DENIED,
        R.RATE_LIMITED,
    }
)
"""Problems of who asks and from where: nodes may have none."""
_OF_THE_REGISTRY: Final = _OF_THE_PATH | {R.INVALID_REFERENCE, R.NOT_A_REGISTRY, R.SERVER_ERROR}
"""Problems that all images of one registry share: reported once."""
_VENDOR_LOCKED: Final = frozenset({*OF_LOGIN, R.PULL_CREDENTIALS_REJECTED, *AwsReasons.all()})
_WORDS: Final = {
    "source": PREFIX,
    "disable_tls": "Put TLS in front of the registry, or configure it as insecure on every node and list it in "
    "probes.insecureRegistries of the operator's chart.",
    "trust": "Install the authority's certificate on every node, and give it to this check in parameters.caBundle or "
    "parameters.caConfigMap.",
}
_UNSEEN = "VllmImagePullable does not see what happened to pulls of pods"


@check(
    "VllmImagePullable",
    title="endpoint pods can pull the vLLM image",
    severity=Severity.HIGH,
    reasons=VllmImageReasons,
    parameters=ImageParameters,
    asks=[Kind.REGISTRY],
    permissions=(
        Permission(resource="configmaps", scope="own"),
        Permission(resource="configmaps", scope="endpoints"),
        Permission(resource="serviceaccounts", scope="endpoints", followed=True),
        Permission(resource="secrets", scope="endpoints"),
        Permission(resource="pods", verbs=("list",), scope="endpoints", lost=_UNSEEN),
        Permission(resource="events", verbs=("list",), scope="endpoints", lost=_UNSEEN),
        Permission(
            resource="nodes",
            verbs=("list", "watch"),
            scope="cluster",
            lost="VllmImagePullable takes the GPU nodes for amd64",
        ),
        Permission(resource="pods", verbs=("get", "create", "delete"), scope="endpoints", switch="pullProbe"),
    ),
)
def vllm_image_pullable(facts: ImageFacts) -> Outcome:
    """The vLLM image decides; what else the configuration names only warns."""
    decisive, others = facts.probed[0], facts.probed[1:]
    findings = [
        *of_secrets(facts),
        *_of_configuration(decisive, facts),
        *_of_gateway(decisive, facts),
        *_of_image(decisive, facts),
        *_of_nodes(decisive, facts),
        *_of_pull(facts.node_pull),
    ]
    for other in others:
        findings += _of_other(other, decisive, facts)
    return Outcome.of(findings, evidence=evidence_of(decisive, facts))


def _of_configuration(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    yield from _of_path(probed, facts)
    if facts.framework_map_missing and not facts.parameters.tag:
        yield R.FRAMEWORK_TAG_UNKNOWN()


def _of_path(probed: Probed, facts: ImageFacts, **where: Any) -> Iterator[Finding]:
    """Of a repository that is a full path; ``where`` is its subject and status, if it is not vLLM's."""
    image = probed.image
    words = {"path": image.path, "repository": image.repository, "image": image.reference, **where}
    if image.doubled:
        yield R.DOUBLE_PREFIX(**words)
    elif image.role is Role.LLM and image.full_path and facts.registries.gateway is not RegistryClass.ONPREM:
        yield R.FULL_PATH_REPOSITORY(**words)


def _of_gateway(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    """Of the search that precedes every creation: what a pull says already is not said twice."""
    search, problem = facts.existence, probed.inspection.problem
    if search is None or (problem is not None and problem.reason is R.INVALID_REFERENCE):
        return
    pulls = problem is None or (probed.node_identity and problem.reason in OF_LOGIN)
    if pulls or search.reason is R.REGISTRY_PREFIX_INVALID:
        yield search.finding(subject="gateway")


def _of_image(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    inspection, problem, unknown = probed.inspection, probed.inspection.problem, facts.secrets.unknown
    image = inspection.reference
    if problem is None:
        how = f"with {inspection.login}" if inspection.login else "anonymously"
        yield R.PULLABLE(image=image, how=how)
        yield from of_tokens(probed, facts)
        yield from _of_size(probed, facts)
    elif is_placeholder(image):
        yield R.PLACEHOLDER_REGISTRY(image=image)
    elif problem.reason in _OF_THE_PATH and probed.image.reference in facts.nodes.pulled:
        yield R.REGISTRY_UNREACHABLE_FROM_OPERATOR(image=probed.image.reference, detail=problem)
    elif is_vendor(image) and problem.reason in _VENDOR_LOCKED:
        yield R.VENDOR_REGISTRY(image=image)
    elif unknown is not None and problem.reason in OF_LOGIN:
        yield unknown.finding()
    elif probed.node_identity and problem.reason in OF_LOGIN:
        denied = f"; {probed.denied}, is denied" if probed.denied else ""
        yield R.NODE_IDENTITY(**{**problem.words, **_words(probed, facts), "denied": denied})
    else:
        yield of_login(problem, probed, facts, _words(probed, facts))


def _of_size(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    minutes = pull_minutes(probed, facts)
    if minutes > TASK_LIMIT_MINUTES:
        yield R.SLOW_PULL(
            image=probed.inspection.reference,
            size=byte_count(probed.inspection.size),
            minutes=f"{minutes:.0f}",
            bandwidth=facts.parameters.bandwidth_mbit,
            limit=TASK_LIMIT_MINUTES,
        )


def _of_nodes(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    image, nodes = probed.image.reference, facts.nodes
    if probed.inspection.problem is None and image in nodes.stuck:
        yield R.NODES_CANNOT_PULL(image=image, waiting=nodes.stuck[image])
    old = sorted(nodes.cache_stuck.keys() & set(facts.prefetched))
    if old:
        yield R.PREFETCH_UNAVAILABLE(images=", ".join(old), subject="image cache", severity=Severity.INFO)
    for missing in sorted(nodes.cache_stuck.keys() - set(old)):
        owners = ", ".join(f"DaemonSet {owner}" for owner in sorted(nodes.cache_stuck[missing]))
        yield R.IMAGE_CACHE_STUCK(owners=owners, image=missing, subject="image cache")


def _of_pull(pull: NodePull | None) -> Iterator[Finding]:
    if pull is not None and pull.state is NodePullState.NOT_RUN:
        yield R.PULL_PROBE_NOT_RUN(detail=pull.detail, subject="pull probe")


def _of_other(probed: Probed, decisive: Probed, facts: ImageFacts) -> Iterator[Finding]:
    image, problem = probed.image, probed.inspection.problem
    subject = image.path.rpartition(".")[2]
    yield from _of_path(probed, facts, subject=subject, status=Status.WARN)
    if problem is None or image.doubled or image.reference in facts.nodes.pulled:
        return
    if problem.reason in OF_LOGIN and (probed.node_identity or facts.secrets.unknown):
        return
    if not _shared(problem, probed, decisive):
        found = of_login(problem, probed, facts, _words(probed, facts))
        yield replace(found, subject=subject, status=Status.WARN)


def _shared(problem: Problem, probed: Probed, decisive: Probed) -> bool:
    """Whether vLLM's image has the same problem already, because it is one of their registry."""
    first = decisive.inspection.problem
    same = first is not None and problem.reason is first.reason and probed.host == decisive.host
    return same and problem.reason in _OF_THE_REGISTRY


def _words(probed: Probed, facts: ImageFacts) -> dict[str, Any]:
    """What only this check knows of a problem."""
    words: dict[str, Any] = {**_WORDS, "path": probed.image.path, "tag_source": probed.image.tag_source}
    if facts.secrets.account:
        words |= {
            "account": f"ServiceAccount {facts.secrets.account}",
            "namespace": facts.secrets.namespace,
        }
    return words
