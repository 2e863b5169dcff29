"""Secrets of Google's Secret Manager. Source: ``core/gcp/secrets.py`` and ``db/base.py`` of model engine."""

import base64
import re
from typing import Final

from mehc_checks.clients.google.identity import GoogleProblem
from mehc_checks.clients.google.reasons import NOT_FOUND, ZONE
from mehc_checks.clients.network.connect import NetworkProblem
from mehc_checks.core.errors import Problem
from mehc_checks.installation.cloudsecrets.shared import is_named, kept, not_verified
from mehc_checks.installation.context import Context
from mehc_checks.installation.environment import Environment
from mehc_checks.installation.google import google
from mehc_checks.modelengine.database import SECRET_PROJECT, SECRET_PROJECT_PLACE, SourceKind
from mehc_checks.modelengine.secrets import CloudSecret

_ADDRESS: Final = "https://secretmanager.googleapis.com/v1"
_ROLE: Final = "roles/secretmanager.secretAccessor"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9.:-]{0,62}")
_FULL: Final = re.compile(
    r"projects/(?P<project>[a-z0-9.:-]{1,63})/secrets/(?P<name>[A-Za-z0-9_-]{1,255})/versions/[A-Za-z0-9_-]{1,63}"
)


async def google_secret(context: Context, name: str, environment: Environment) -> CloudSecret:
    """The secret ``name``, of the project that a process with ``environment`` reads it from.

    Where values may be anyone's, it is read only if the installation's live objects name it, and its project.
    """
    place = SECRET_PROJECT_PLACE
    if context.is_deputy and not (environment.is_live and await is_named(context, name)):
        return not_verified(context, name, str(SourceKind.GCP_SECRET))
    path, project, wrong = _path(name, environment.get(SECRET_PROJECT))
    if wrong:
        return CloudSecret(name=name, trouble=wrong, place=place)
    what = f"secret {name} of project {project}"
    try:
        answer = await google(context).call(f"{_ADDRESS}/{path}:access", what=what, role=_ROLE)
    except GoogleProblem as failure:
        if failure.reason is NOT_FOUND:
            trouble = f"does not exist in Secret Manager of project {project}, or has no version"
            return CloudSecret(name=name, trouble=trouble, place=place)
        if state := failure.words.get("state"):
            version = path.rpartition("/")[2]
            trouble = f"cannot be read: its version {version} is {state} in project {project}"
            return CloudSecret(name=name, trouble=trouble, place=place)
        return CloudSecret(name=name, failure=failure)
    except NetworkProblem as failure:
        return CloudSecret(name=name, failure=Problem(failure.reason, **{**failure.words, "source": ZONE}))
    try:
        text = base64.b64decode(answer.json()["payload"]["data"], validate=True).decode()
    except (TypeError, KeyError, ValueError):
        return CloudSecret(name=name, trouble="has no text", place=place)
    return kept(context, CloudSecret.of(name, text, place=place))


def _path(name: str, project: str | None) -> tuple[str, str, str]:
    """The resource, its project, and what makes it none: without a project, the platform takes ``name`` for the whole.

    An empty project is one, of which Google knows none.
    """
    if project is None:
        if full := _FULL.fullmatch(name):
            return name, full["project"], ""
        return "", "", f"has no project: {SECRET_PROJECT} is not set, and it is no full name of a version"
    if not _PROJECT.fullmatch(project):
        return "", "", f"has no project: {SECRET_PROJECT} is {project!r}, which is no project's ID"
    if not _NAME.fullmatch(name):
        return "", "", "cannot exist in Secret Manager, whose names have letters, digits, - and _ only"
    return f"projects/{project}/secrets/{name}/versions/latest", project, ""
