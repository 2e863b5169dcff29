"""What a registry itself says of an image that a pod waits for, where that is more than the node's runtime says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason
from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import EXPLAINED_BY_IMAGE, OF_POD
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Of the registry of ``image``, asked with a pod's pull secrets. ``problem`` is None where it serves the image.

    ``login`` is whose credentials were accepted, "" for anonymous ones. ``by_node``: nodes may have an identity of
    their own, which mehc has not, so that what is denied to mehc says nothing.
    """

    image: str
    problem: Problem | None = None
    login: str = ""
    by_node: bool = False


_MISSING: Final = frozenset({R.TAG_MISSING, R.REPOSITORY_MISSING})
_OF_LOGIN: Final = frozenset(
    {
        R.NO_PULL_CREDENTIALS,
        R.PULL_DENIED,
        R.PULL_CREDENTIALS_REJECTED,
        R.PULL_TOKEN_EXPIRED,
        R.PULL_SECRET_MISSING,
        R.PULL_SECRET_IGNORED,
        R.PULL_SECRET_EMPTY,
    }
)


PROVED: Final = frozenset({*_MISSING, *_OF_LOGIN, R.PULL_SECRET_MALFORMED, R.NODES_CANNOT_PULL})
"""What a registry's answer, or a pod's own pull secrets, may prove."""


def confirmed(trouble: Trouble, answer: Answer | None) -> tuple[Trouble, tuple[str, ...]]:
    """``trouble`` of a pull, or the cause that ``answer`` proves; and the line that says what was answered.

    The node may pull from elsewhere (a mirror), trust others and have other credentials. So what mehc meets on its own
    way to the registry counts for nothing, a denial only where the node is denied, too, and what the registry has only
    where the node has reached a registry.
    """
    if answer is None or not _counts(answer):
        return trouble, ()
    problem = answer.problem
    who = f"with {answer.login}" if answer.login else "anonymously"
    said = str(problem) if problem else f"the registry serves {answer.image}"
    line = f"asked by mehc {who}: {said}" if problem is None or problem.reason in _MISSING else ""
    lines = (shortened(line, 300),) if line else ()
    if problem is None:
        if trouble.reason is not R.IMAGE_NOT_FOUND:
            return trouble, lines
        words = {"image": answer.image, "waiting": "ImagePullBackOff"}
        return _of_registry(R.NODES_CANNOT_PULL, words), lines
    return _of_registry(problem.reason, problem.words) if _proves(trouble, problem) else trouble, lines


def _counts(answer: Answer) -> bool:
    problem = answer.problem
    if problem is None or problem.reason in _MISSING or problem.reason is R.PULL_SECRET_MALFORMED:
        return True
    return problem.reason in _OF_LOGIN and not answer.by_node


def _proves(trouble: Trouble, problem: Problem) -> bool:
    if problem.reason in _MISSING:
        return trouble.reason in (R.IMAGE_NOT_FOUND, R.IMAGE_PULL_FAILED)
    if problem.reason is R.PULL_SECRET_MALFORMED:
        return trouble.reason in (R.IMAGE_DENIED, R.IMAGE_PULL_FAILED)
    return trouble.reason is R.IMAGE_DENIED or (trouble.reason is R.IMAGE_PULL_FAILED and trouble.vague)


def _of_registry(reason: Reason, words: Mapping[str, Any]) -> Trouble:
    return Trouble(
        reason=reason, words={"tag_source": OF_POD, "path": OF_POD, **words}, explained_by=EXPLAINED_BY_IMAGE
    )
