"""Asks AWS, never for long: by the process's own identity, in threads, each failure with a name of its own."""

import asyncio
import importlib
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Final, NamedTuple

METADATA_ADDRESS: Final = "169.254.169.254"
"""Where an EC2 instance finds its credentials, and where outside EC2 nothing answers."""

_THREADS = ThreadPoolExecutor(max_workers=16, thread_name_prefix="aws")
_CONNECT_SECONDS: Final = 2
_READ_SECONDS: Final = 4
_METADATA_SECONDS: Final = 1
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")


class Trouble(StrEnum):
    """Why AWS did not answer what was asked."""

    NO_CREDENTIALS = "no credentials"
    NO_PROFILE = "no profile"
    ROLE_REFUSED = "role refused"
    CREDENTIALS_REJECTED = "credentials rejected"
    """Expired, unknown or wrongly signed: the clock of this machine may be wrong."""
    DENIED = "denied"
    NOT_FOUND = "not found"
    REGION = "region"
    """None is set, it does not exist, or the object lies in another."""
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    """The certificate of the endpoint is not trusted here."""
    THROTTLED = "throttled"
    OTHER = "other"


class AwsFailure(Exception):  # noqa: N818
    """A call failed. ``str()`` is one line that names service, operation and AWS's code, none of its words.

    ``action`` is the IAM action that the call needs: "sqs:GetQueueUrl".
    """

    def __init__(self, trouble: Trouble, message: str, *, action: str = "", code: str = "") -> None:
        super().__init__(message)
        self.trouble = trouble
        self.action = action
        self.code = code


_CODES: Mapping[Trouble, frozenset[str]] = {
    Trouble.DENIED: frozenset(
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
    Trouble.NOT_FOUND: frozenset(
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "ResourceNotFoundException",
            "NoSuchBucket",
            "NoSuchKey",
            "404",
        )
    ),
    Trouble.REGION: frozenset(
        ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301")
    ),
    Trouble.THROTTLED: frozenset(
        (
            "RequestLimitExceeded",
            "RequestThrottled",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        )
    ),
    Trouble.CREDENTIALS_REJECTED: frozenset(
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
_ACTIONS: Final = {"HeadBucket": "ListBucket", "ListObjectsV2": "ListBucket", "HeadObject": "GetObject"}
"""Operations whose IAM action has another name."""


_OF_THE_IDENTITY = frozenset(
    (Trouble.NO_CREDENTIALS, Trouble.NO_PROFILE, Trouble.ROLE_REFUSED, Trouble.CREDENTIALS_REJECTED)
)
"""Troubles after which credentials are looked for anew: a client keeps what it found, and that it found nothing."""


class _Wanted(NamedTuple):
    """What makes a client another one."""

    service: str
    region: str | None
    endpoint: str | None
    ca: str | None


class _Identity:
    """Who this process is to AWS, and its clients: making one takes a tenth of a second and some megabytes.

    Files of configuration and credentials are read anew after a while; roles renew their credentials in any case.
    """

    _KEPT_SECONDS: Final = 900
    _NOBODY_SECONDS: Final = 5
    """For so long nobody looks for credentials again: where there are none, that takes two seconds."""
    _MOST: Final = 32

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: Any = None
        self._since = 0.0
        self._nobody_until = 0.0
        self._clients: OrderedDict[_Wanted, Any] = OrderedDict()

    def client(self, wanted: _Wanted) -> Any:
        """A client, which threads may share; making them, they may not. Raises what botocore raises."""
        from botocore.exceptions import NoCredentialsError

        with self._lock:
            now = time.monotonic()
            if self._session is None or now - self._since > self._KEPT_SECONDS:
                self._forget()
                self._session, self._since = _session(), now
            if now < self._nobody_until:
                raise NoCredentialsError
            if self._session.get_credentials() is None:
                self._nobody_until = time.monotonic() + self._NOBODY_SECONDS
                raise NoCredentialsError
            if wanted not in self._clients:
                self._clients[wanted] = _client(self._session, wanted)
            self._clients.move_to_end(wanted)
            if len(self._clients) > self._MOST:
                self._clients.popitem(last=False)
            return self._clients[wanted]

    def forget(self) -> None:
        """Look for credentials anew next time."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._session = None
        self._clients.clear()


_IDENTITIES: Final[dict[tuple[tuple[str, str], ...], _Identity]] = {}
"""By the variables that configure AWS's clients, which in a pod are always the same."""


def _identity() -> _Identity:
    environment = tuple(
        sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    )
    return _IDENTITIES.setdefault(environment, _Identity())


def _session() -> Any:
    import boto3
    from botocore.session import Session

    session = Session()
    # outside AWS nothing answers at the instance metadata address: never wait for it
    session.set_config_variable("metadata_service_timeout", _METADATA_SECONDS)
    session.set_config_variable("metadata_service_num_attempts", 1)
    return boto3.Session(botocore_session=session)


def _client(session: Any, wanted: _Wanted) -> Any:
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"} if wanted.endpoint else None,
    )
    return session.client(
        wanted.service,
        region_name=wanted.region,
        endpoint_url=wanted.endpoint,
        verify=wanted.ca,
        config=config,
    )


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
        """The answer to ``operation`` ("GetQueueUrl") of ``service`` ("sqs"). Raises AwsFailure."""
        run = asyncio.get_running_loop().run_in_executor
        # Not in the time of the call: it is this machine that is slow, once, and not AWS.
        await run(_THREADS, importlib.import_module, "boto3")
        try:
            async with asyncio.timeout(self._timeout):
                return await run(_THREADS, self._call, service, operation, parameters)
        except TimeoutError:
            what = f"{service} {operation} was not answered within {self._timeout:g} s{self._where()}"
            raise AwsFailure(
                Trouble.UNREACHABLE, what + _metadata_too(), action=action(service, operation)
            ) from None

    def _call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        # botocore takes a third of a second and 20 MB to import: only installations on AWS pay for it
        from botocore import exceptions, xform_name

        identity = _identity()
        try:
            client = identity.client(_Wanted(service, self.region, self._endpoint, self._ca))
            answer: Mapping[str, Any] = getattr(client, xform_name(operation))(**parameters)
        except (exceptions.BotoCoreError, exceptions.ClientError, OSError, ValueError) as error:
            failure = self._failure(error, service, operation)
            if failure.trouble in _OF_THE_IDENTITY:
                identity.forget()
            raise failure from None
        return answer

    def _where(self) -> str:
        return f" in region {self.region}" if self.region else ""

    def _failure(self, error: Exception, service: str, operation: str) -> AwsFailure:
        from botocore import exceptions

        needs, where = action(service, operation), self._where()
        if isinstance(error, exceptions.ClientError):
            return self._refusal(error, service, operation)
        if isinstance(error, exceptions.ProfileNotFound):
            name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
            return AwsFailure(
                Trouble.NO_PROFILE, f"the AWS configuration has no profile {name}", action=needs
            )
        if isinstance(error, exceptions.NoRegionError | exceptions.InvalidRegionError):
            given = f"{self.region} is none" if self.region else "none is set"
            return AwsFailure(Trouble.REGION, f"{service} needs a region, and {given}", action=needs)
        if isinstance(
            error,
            exceptions.NoCredentialsError
            | exceptions.PartialCredentialsError
            | exceptions.CredentialRetrievalError
            | exceptions.TokenRetrievalError
            | exceptions.InvalidConfigError,
        ):
            return AwsFailure(
                Trouble.NO_CREDENTIALS,
                f"this process has no AWS credentials for {needs}{_metadata_too()}",
                action=needs,
            )
        if isinstance(error, FileNotFoundError | PermissionError):
            words = "the web identity token of this process cannot be read"
            return AwsFailure(Trouble.NO_CREDENTIALS, f"{words} ({type(error).__name__})", action=needs)
        if isinstance(error, exceptions.SSLError):
            return AwsFailure(
                Trouble.UNTRUSTED, f"the TLS handshake with {service}{where} failed", action=needs
            )
        return AwsFailure(
            Trouble.UNREACHABLE, f"{service}{where} cannot be asked ({type(error).__name__})", action=needs
        )

    def _refusal(self, error: Any, service: str, operation: str) -> AwsFailure:
        """The trouble behind a code of AWS's; the message that came with it is not repeated."""
        code = str(error.response.get("Error", {}).get("Code", ""))
        shown = code if _CODE.fullmatch(code) else "an error"
        where = self._where()
        if str(error.operation_name).startswith("AssumeRole"):
            words = f"AWS does not let this process assume its role ({error.operation_name}: {shown})"
            return AwsFailure(Trouble.ROLE_REFUSED, words, action=f"sts:{error.operation_name}", code=code)
        trouble = next((trouble for trouble, codes in _CODES.items() if code in codes), Trouble.OTHER)
        words = f"{service} {operation}{where} answered {shown}"
        return AwsFailure(trouble, words, action=action(service, operation), code=code)


def action(service: str, operation: str) -> str:
    """The IAM action that an operation needs."""
    return f"{service}:{_ACTIONS.get(operation, operation)}"


def _metadata_too() -> str:
    """The words that say that instance metadata was tried too, where it was."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return ""
    return f" (instance metadata at {METADATA_ADDRESS} was tried too)"
