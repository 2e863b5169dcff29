"""What is wrong with the credentials of endpoint pods."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from mehc_checks.checks.image.facts import ImageFacts, Probed
from mehc_checks.checks.image.reasons import VllmImageReasons as R
from mehc_checks.clients.registry.logins import OF_LOGIN, OF_TOKEN, expiring, offered, token_words
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Finding, Status
from mehc_checks.installation.reasons import InstallationReasons

_SOON: Final = timedelta(hours=1)
_EXPLAIN: Final = tuple(
    f"VllmImagePullable/{reason.name}"
    for reason in (R.PULL_SECRET_MISSING, R.PULL_SECRET_IGNORED, R.PULL_SECRET_EMPTY)
)


def of_login(problem: Problem, probed: Probed, facts: ImageFacts, words: dict[str, Any]) -> Finding:
    """``problem`` of an image, by what is known of the login that was tried."""
    if problem.reason in OF_TOKEN and (expired := expiring(probed.offered, facts.now)):
        return R.PULL_TOKEN_EXPIRED(**{**words, **token_words(expired[0])})
    if problem.reason is R.NO_PULL_CREDENTIALS and facts.secrets.account:
        words = {
            **words,
            "offered": offered(facts.secrets.keyring, f"ServiceAccount {facts.secrets.account}"),
        }
    found = problem.finding(**words)
    explained = problem.reason in OF_LOGIN or _of_empty(problem, probed, facts)
    return replace(found, explained_by=_EXPLAIN) if explained else found


def of_tokens(probed: Probed, facts: ImageFacts) -> Iterator[Finding]:
    """Tokens that have expired although another login is accepted, or that are about to."""
    place: dict[str, Any] = {"namespace": facts.secrets.namespace}
    expired = expiring(probed.offered, facts.now)
    for login in expired:
        yield R.PULL_TOKEN_EXPIRED(status=Status.WARN, **token_words(login), **place)
    for login in expiring(probed.offered, facts.now + _SOON):
        if login not in expired:
            yield R.PULL_TOKEN_EXPIRES_SOON(**token_words(login), **place)


def of_secrets(facts: ImageFacts) -> Iterator[Finding]:
    """The pull secrets themselves: they fail the check where the image, or a pod's, is denied."""
    secrets, probed = facts.secrets, facts.probed[0]
    place: dict[str, Any] = {"account": secrets.account, "namespace": secrets.namespace}
    problem = probed.inspection.problem
    denied = problem is not None and (problem.reason in OF_LOGIN or _of_empty(problem, probed, facts))
    yield from _of_unknown(facts, denied)
    if secrets.account_missing:
        yield R.SERVICE_ACCOUNT_MISSING(**place)
    if secrets.malformed is not None:
        yield secrets.malformed.finding()
    keyring = secrets.keyring
    hurt: dict[str, Any] = {"status": Status.FAIL if denied or facts.nodes.denied else Status.WARN}
    for name in secrets.missing:
        named = {**place, "account": f"ServiceAccount {place['account']}"}
        yield R.PULL_SECRET_MISSING(secret=name, **named, **hurt)
    for name in keyring.ignored:
        yield R.PULL_SECRET_IGNORED(secret=name, **hurt)
    for name, instead in keyring.empty.items():
        detail = f": it has {instead}, which only a Docker client can use" if instead else ""
        yield R.PULL_SECRET_EMPTY(secret=name, detail=detail, namespace=secrets.namespace, **hurt)


def _of_empty(problem: Problem, probed: Probed, facts: ImageFacts) -> bool:
    """Whether a registry rejected a user name without a password, of a Secret that has none."""
    offered = {login.secret for login in probed.offered}
    return problem.reason is R.PULL_CREDENTIALS_REJECTED and bool(
        offered & facts.secrets.keyring.empty.keys()
    )


def _of_unknown(facts: ImageFacts, denied: bool) -> Iterator[Finding]:
    """Secrets that could not be read: the check is Unknown if the answer depends on them."""
    unknown = facts.secrets.unknown
    if unknown is not None and not denied and unknown.reason is InstallationReasons.NAMESPACE_NOT_VERIFIED:
        yield unknown.finding(status=Status.WARN)
