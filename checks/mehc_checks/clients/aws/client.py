"""Asks AWS, never for long: by the process's own identity, in threads, each failure a Problem with its own reason."""

import importlib
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from mehc_checks.clients.aws.bounded import Exchange
from mehc_checks.clients.aws.identity import METADATA_ADDRESS, Wanted, asks_metadata, current
from mehc_checks.clients.aws.reasons import NOT_FOUND, AwsReasons
from mehc_checks.clients.network.connect import require_foreign
from mehc_checks.core.deadline import queued
from mehc_checks.core.errors import Problem
from mehc_checks.core.outcome import Reason
from mehc_checks.core.threads import Threads

R = AwsReasons
_THREADS: Final = Threads("requests to AWS", 16)
_IMPORT_SECONDS: Final = 120.0
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")


class AwsProblem(Problem):
    """A call failed: one of ``AwsReasons``, or ``NOT_FOUND``. It names service, operation and code, and none of AWS's
    sentences."""


_CODES: Final[Mapping[Reason, frozenset[str]]] = {
    R.DENIED: frozenset(
        (
            "AccessDenied",
            "AccessDeniedException",
            "AllAccessDisabled",
            "AuthorizationError",
            "KmsAccessDenied",
            "UnauthorizedOperation",
            "403",
        )
    ),
    NOT_FOUND: frozenset(
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "ResourceNotFoundException",
            "NoSuchBucket",
            "NoSuchKey",
            "404",
        )
    ),
    R.REGION: frozenset(
        ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301")
    ),
    R.THROTTLED: frozenset(
        (
            "RequestLimitExceeded",
            "RequestThrottled",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        )
    ),
    R.CREDENTIALS_REJECTED: frozenset(
        (
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        )
    ),
}
"""The codes by which AWS's services answer, by what they mean."""
_ACTIONS: Final = {"HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "HeadObject": "GetObject"}
"""Operations whose IAM action has another name."""
_OF_THE_IDENTITY: Final = frozenset((R.NO_CREDENTIALS, R.NO_PROFILE, R.ROLE_DENIED, R.CREDENTIALS_REJECTED))
"""After these credentials are looked for again: a client keeps what it found, and that it found nothing."""


class Aws:
    """AWS in one region. ``region`` None or "" is that of the process; ``endpoint`` None is AWS_ENDPOINT_URL's or AWS.

    ``timeout`` is in seconds, for one call with all that getting credentials takes. ``ca`` names a file of
    certificates to trust, None is the process's (AWS_CA_BUNDLE).
    """

    def __init__(
        self, *, region: str | None, timeout: float, endpoint: str | None = None, ca: str | None = None
    ) -> None:
        self.region = region or None
        self._timeout = timeout
        self._endpoint = endpoint
        self._ca = ca

    async def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """The answer to ``operation`` ("GetQueueUrl") of ``service`` ("sqs"). Raises AwsProblem."""
        with queued():  # not in the time of the call: it is this machine that is slow, once, and not AWS
            await _THREADS.run(importlib.import_module, "boto3", seconds=_IMPORT_SECONDS)
        exchange = Exchange()
        place = self._endpoint or f"{service} {self.region}"
        try:
            return await _THREADS.run(
                self._call, exchange, service, operation, parameters, seconds=self._timeout, key=place
            )
        except TimeoutError:
            late = f"no answer to {operation} within {self._timeout:g} s{_metadata_too()}"
            raise self._problem(R.UNREACHABLE, service, operation, detail=late) from None
        finally:
            exchange.abort()

    def _call(
        self, exchange: Exchange, service: str, operation: str, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        # botocore takes a third of a second and 20 MB to import: only installations on AWS pay for it
        from botocore import exceptions, xform_name
        from botocore.parsers import ResponseParserError

        identity = current()
        try:
            client = identity.client(Wanted(service, self.region, self._endpoint, self._ca))
            with exchange.carried_out():
                answer: Mapping[str, Any] = getattr(client, xform_name(operation))(**parameters)
        except (exceptions.BotoCoreError, exceptions.ClientError, OSError, ValueError) as error:
            require_foreign(error)
            problem = self._classify(error, service, operation)
            if problem.reason in _OF_THE_IDENTITY:
                identity.forget()
            raise problem from None
        except ResponseParserError:  # of an error whose body is none of AWS's
            raise self._problem(R.OTHER, service, operation, code="an unusable answer") from None
        return answer

    def _classify(self, error: Exception, service: str, operation: str) -> AwsProblem:
        from botocore import exceptions

        def problem(reason: Reason, **words: object) -> AwsProblem:
            return self._problem(reason, service, operation, **words)

        if isinstance(error, exceptions.ClientError):
            return self._answered(error, service, operation)
        if isinstance(error, exceptions.ProfileNotFound):
            name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
            return problem(R.NO_PROFILE, profile=name)
        if isinstance(error, exceptions.NoRegionError | exceptions.InvalidRegionError):
            wrong = f"{self.region} is not a region" if self.region else "no region is set"
            return AwsProblem(R.REGION, service=service, operation=operation, where="", detail=wrong)
        if isinstance(
            error,
            exceptions.NoCredentialsError
            | exceptions.PartialCredentialsError
            | exceptions.CredentialRetrievalError
            | exceptions.TokenRetrievalError
            | exceptions.InvalidConfigError,
        ):
            return problem(R.NO_CREDENTIALS, detail=_metadata_too())
        if isinstance(error, FileNotFoundError | PermissionError):
            return problem(
                R.NO_CREDENTIALS, detail=f": its web identity token cannot be read ({type(error).__name__})"
            )
        if isinstance(error, exceptions.SSLError):
            return problem(R.UNTRUSTED)
        return problem(R.UNREACHABLE, detail=type(error).__name__)

    def _answered(self, error: Any, service: str, operation: str) -> AwsProblem:
        """The problem behind a code of AWS's; the sentence that came with it is not repeated."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        shown = code if _CODE.fullmatch(code) else "an error"
        if str(error.operation_name).startswith("AssumeRole"):
            return AwsProblem(R.ROLE_DENIED, action=f"sts:{error.operation_name}", code=shown)
        reason = next((reason for reason, codes in _CODES.items() if code in codes), R.OTHER)
        return self._problem(reason, service, operation, code=shown, detail=f"AWS returned {shown}")

    def _problem(self, reason: Reason, service: str, operation: str, **words: object) -> AwsProblem:
        return AwsProblem(
            reason,
            service=service,
            operation=operation,
            where=f" in region {self.region}" if self.region else "",
            action=f"{service}:{_ACTIONS.get(operation, operation)}",
            **words,
        )


def _metadata_too() -> str:
    """The words that say that instance metadata was tried too, where it was."""
    return f" (instance metadata at {METADATA_ADDRESS} was tried too)" if asks_metadata() else ""
