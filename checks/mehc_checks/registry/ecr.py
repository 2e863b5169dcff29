"""Tokens for Amazon ECR, as the nodes' credential provider gets them."""

import asyncio
import base64
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from mehc_checks.registry.keyring import Login
from mehc_checks.registry.trouble import RegistryFailure, Trouble

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")
_CODE = re.compile(r"[A-Za-z]{1,64}")
_THREADS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="ecr")
_CONNECT_SECONDS: Final = 3
_READ_SECONDS: Final = 5


def region_of(host: str) -> str:
    """The region of a private ECR registry, or "" for any other host."""
    found = _HOST.fullmatch(host)
    return found["region"] if found else ""


def account_of(host: str) -> str:
    """The AWS account of a private ECR registry, or ""."""
    found = _HOST.fullmatch(host)
    return found["account"] if found else ""


async def login(region: str, *, timeout: float) -> Login:
    """A token for the registries of ``region`` by the process's own AWS identity. Raises RegistryFailure."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            return await loop.run_in_executor(_THREADS, _login, region)
    except TimeoutError:
        raise RegistryFailure(
            Trouble.AWS_UNREACHABLE, f"AWS gave no ECR token for {region} within {timeout:g} s"
        ) from None


def _login(region: str) -> Login:
    # botocore takes a third of a second and 20 MB to import: only installations on ECR pay for it
    from botocore import exceptions

    try:
        answer = _client(region).get_authorization_token()
        token = answer["authorizationData"][0]["authorizationToken"]
        username, _, password = base64.b64decode(token).decode().partition(":")
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.ProfileNotFound,
        exceptions.TokenRetrievalError,
    ):
        raise RegistryFailure(
            Trouble.AWS_NO_CREDENTIALS, f"there are no AWS credentials to get an ECR token for {region} with"
        ) from None
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        named = code if _CODE.fullmatch(code) else "error"
        raise RegistryFailure(Trouble.AWS_DENIED, f"AWS gives no ECR token for {region} ({named})") from None
    except (exceptions.BotoCoreError, OSError) as error:
        raise RegistryFailure(
            Trouble.AWS_UNREACHABLE, f"the ECR API of {region} cannot be asked ({type(error).__name__})"
        ) from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise RegistryFailure(Trouble.AWS_DENIED, f"AWS gives an unusable ECR token for {region}") from None
    return Login(username=username, password=password, source=f"an ECR token of region {region}")


def _client(region: str) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    # outside AWS nothing answers at the instance metadata address: never wait for it
    session.set_config_variable("metadata_service_timeout", 1)
    session.set_config_variable("metadata_service_num_attempts", 1)
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1},
    )
    return boto3.Session(botocore_session=session).client("ecr", region_name=region, config=config)
