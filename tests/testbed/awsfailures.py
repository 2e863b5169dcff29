"""Ways in which AWS does not answer a process: each an environment, and the reason that a check should then give."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed import ports
from testbed.aws import Aws
from testbed.httpserver import Reply, Request, ScriptedServer
from testbed.pki import CertificateAuthority

Environment = dict[str, str]

IDENTITY = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


def isolation(directory: Path) -> Environment:
    """Variables by which a process finds nothing of the developer's AWS; "" unsets."""
    return {
        "AWS_CONFIG_FILE": str(directory / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        **dict.fromkeys(
            (
                "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "AWS_PROFILE",
                "AWS_DEFAULT_REGION",
                "AWS_ENDPOINT_URL",
                "AWS_ROLE_ARN",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CA_BUNDLE",
            ),
            "",
        ),
    }


def live(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Make ``environment`` this process's: "" unsets."""
    for name, value in environment.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)


def error(code: str, status: int = 400) -> Callable[[Request], Reply]:
    """A script that answers the error ``code`` in the protocol in which it was asked."""

    def answer(request: Request) -> Reply:
        if "X-Amz-Target" in request.headers:
            return Reply(status, json.dumps({"__type": code, "message": "remote words"}).encode())
        inner = f"<Error><Code>{code}</Code><Message>remote words</Message></Error>"
        whole = f"<ErrorResponse>{inner}</ErrorResponse>" if request.method == "POST" else inner
        return Reply(status, whole.encode())

    return answer


def answering(code: str, status: int = 400) -> "Stage":
    """A stage whose AWS answers ``code`` to everything."""

    def stage(stack: contextlib.ExitStack, _: Aws, __: Path) -> Environment:
        return {**IDENTITY, "AWS_ENDPOINT_URL": stack.enter_context(ScriptedServer(error(code, status))).url}

    return stage


Stage = Callable[[contextlib.ExitStack, Aws, Path], Environment]


def _no_credentials(_: contextlib.ExitStack, aws: Aws, __: Path) -> Environment:
    return {"AWS_ENDPOINT_URL": aws.url}


def _no_profile(_: contextlib.ExitStack, aws: Aws, __: Path) -> Environment:
    return {"AWS_ENDPOINT_URL": aws.url, "AWS_PROFILE": "absent"}


def _no_token(_: contextlib.ExitStack, aws: Aws, directory: Path) -> Environment:
    return {
        "AWS_ENDPOINT_URL": aws.url,
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(directory / "no-token"),
    }


def _role_refused(stack: contextlib.ExitStack, _: Aws, directory: Path) -> Environment:
    token = directory / "token"
    token.write_text("a.web.token")
    refusing = stack.enter_context(ScriptedServer(error("AccessDenied", 403)))
    return {
        "AWS_ENDPOINT_URL": refusing.url,
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
    }


def _unreachable(stack: contextlib.ExitStack, _: Aws, __: Path) -> Environment:
    host, port = stack.enter_context(ports.refused_port())
    return {**IDENTITY, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}


def _untrusted(stack: contextlib.ExitStack, _: Aws, __: Path) -> Environment:
    certificate = CertificateAuthority().issue()
    server = ScriptedServer(error("AccessDenied"), certificate=certificate)
    return {**IDENTITY, "AWS_ENDPOINT_URL": stack.enter_context(server).url}


@dataclass(frozen=True, slots=True)
class AwsCase:
    id: str
    reason: str
    stage: Stage
    says: str = ""


CASES = (
    AwsCase("no credentials", "AWSNoCredentials", _no_credentials, "no AWS credentials"),
    AwsCase("no profile", "AWSProfileNotFound", _no_profile, "no profile absent"),
    AwsCase("no web identity token", "AWSNoCredentials", _no_token, "web identity token"),
    AwsCase("role refused", "AWSAssumeRoleDenied", _role_refused, "AWS denied sts:AssumeRoleWithWebIdentity"),
    AwsCase("unreachable", "AWSUnreachable", _unreachable, "EndpointConnectionError"),
    AwsCase("untrusted", "AWSEndpointUntrusted", _untrusted, "TLS handshake"),
    AwsCase("denied", "AWSAccessDenied", answering("AccessDenied", 403), "AccessDenied"),
    AwsCase("throttled", "AWSThrottled", answering("ThrottlingException"), "ThrottlingException"),
    AwsCase("expired", "AWSCredentialsRejected", answering("ExpiredToken"), "ExpiredToken"),
    AwsCase(
        "clock", "AWSCredentialsRejected", answering("RequestTimeTooSkewed", 403), "RequestTimeTooSkewed"
    ),
    AwsCase("other", "AWSError", answering("InternalFailure", 500), "InternalFailure"),
)
"""What every check that asks AWS must tell apart."""


@contextlib.contextmanager
def staged(case: AwsCase, aws: Aws, directory: Path) -> Iterator[Mapping[str, str]]:
    """The environment of ``case`` while its servers run; variables that are "" are to be unset."""
    with contextlib.ExitStack() as stack:
        yield {**isolation(directory), **case.stage(stack, aws, directory)}
