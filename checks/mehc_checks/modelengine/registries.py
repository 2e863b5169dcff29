"""How model engine names images, and where it looks for them before it creates an LLM endpoint.

Gateway and cacher choose a class of registries by ``docker_registry_type``, else by the prefix; the builder, which
makes the pods, by the cloud. So the image that is looked for and the one that pods pull can be two.

Source: model engine's ``infra/repositories/*_docker_repository.py``, ``core/config.py``, ``infra/services/
image_cache_service.py`` and ``service_builder/tasks_v1.py``.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from mehc_checks.modelengine import paths
from mehc_checks.modelengine.configuration import Configuration

_RELATIVE = re.compile(r"[a-z0-9\-_/]*")
_ARTIFACT_REGISTRY: Final = "-docker.pkg.dev"
PREFETCHED: Final = (
    "gcr.io/istio-release/proxyv2:1.15.0",
    "{prefix}/{tgi}:1.1.0",
    "{prefix}/{vllm}:0.2.7",
    "{prefix}/{vllm}:0.3.2",
)
"""What the cacher has nodes prefetch whatever the values say: versions of its own time."""


class RegistryClass(StrEnum):
    """Model engine's classes of registries."""

    ECR = "ecr"
    ACR = "acr"
    GAR = "gar"
    ONPREM = "onprem"
    GENERIC = "generic"


class Api(StrEnum):
    """By what the gateway looks for an image."""

    ECR = "ecr DescribeImages"
    ACR = "acr manifest"
    GAR = "gar tag"
    HTTP = "HTTP HEAD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Where the gateway looks for an image, and by whose name.

    ``registry`` is an account with ``region`` for ECR, the endpoint of ACR, ``LOCATION/PROJECT/REPOSITORY`` for
    Artifact Registry, and ``host[:port]`` otherwise. Only the last is asked anonymously, by HTTPS with public
    authorities, without following redirects.
    """

    api: Api
    registry: str
    repository: str
    region: str = ""

    def reference(self, tag: str) -> str:
        """The image that is looked for, as a pod would name it; "" where account or region is not known."""
        match self.api:
            case Api.ECR if not (self.registry and self.region):
                return ""
            case Api.ECR:
                domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
                host = f"{self.registry}.dkr.ecr.{self.region}.{domain}"
            case Api.GAR:
                location, _, below = self.registry.partition("/")
                host = f"{location}{_ARTIFACT_REGISTRY}/{below}"
            case _:
                host = self.registry.removeprefix("https://")
        return _tagged(f"{host}/{self.repository}", tag)


class Answer(StrEnum):
    """What a registry can make of the gateway's question."""

    FOUND = "found"
    NO_TAG = "tag absent"
    NO_REPOSITORY = "repository absent"
    DENIED = "no permission"
    NOT_SIGNED_IN = "not signed in"
    UNREACHABLE = "unreachable"


NOT_FOUND: Final = "DockerImageNotFoundException"
"""The error that the API answers with 404; any other it answers with 500."""
_ERRORS: Final = {
    (RegistryClass.ECR, Answer.NO_REPOSITORY): "RepositoryNotFoundException",
    (RegistryClass.ECR, Answer.DENIED): "ClientError",
    (RegistryClass.ECR, Answer.NOT_SIGNED_IN): "NoCredentialsError",
    (RegistryClass.ECR, Answer.UNREACHABLE): "EndpointConnectionError",
    (RegistryClass.ACR, Answer.DENIED): "HttpResponseError",
    (RegistryClass.ACR, Answer.NOT_SIGNED_IN): "ClientAuthenticationError",
    (RegistryClass.ACR, Answer.UNREACHABLE): "ServiceRequestError",
    (RegistryClass.GAR, Answer.DENIED): "PermissionDenied",
    (RegistryClass.GAR, Answer.NOT_SIGNED_IN): "DefaultCredentialsError",
    (RegistryClass.GAR, Answer.UNREACHABLE): "ServiceUnavailable",
}
"""The errors of the clouds' clients that reach the API; all else is NOT_FOUND."""


class SearchFails(Exception):  # noqa: N818 - what the gateway does, not what went wrong here
    """The gateway raises before it looks, whatever the registry has. ``str()`` is the error's class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registries:
    """The registry of an installation, as its processes take it. ``account`` and ``region`` are AWS's."""

    prefix: str
    gateway: RegistryClass
    builder: RegistryClass
    account: str = ""
    region: str = ""

    @classmethod
    def of(cls, configuration: Configuration) -> Self:
        """By the values, as they reach the processes."""
        prefix = str(configuration.read(paths.DOCKER_REPO_PREFIX) or "")
        named = configuration.read(paths.DOCKER_REGISTRY_TYPE)
        return cls(
            prefix=prefix,
            gateway=_named(str(named)) if named else _inferred(prefix),
            builder=_of_builder(configuration.cloud, prefix),
            account=str(configuration.read(paths.ML_ACCOUNT_ID) or ""),
            region=str(configuration.read(paths.DEFAULT_REGION) or ""),
        )

    def pulled(self, repository: str, tag: str) -> str:
        """The image that endpoint pods name; the builder writes it. Without a tag where ``tag`` is ""."""
        return self._named_by(self.builder, repository, tag)

    def named_by_gateway(self, repository: str, tag: str) -> str:
        """The image that the gateway would name."""
        return self._named_by(self.gateway, repository, tag)

    def of_batch_job(self, repository: str, tag: str) -> str:
        """The image of batch jobs: the prefix is prepended whatever the repository looks like."""
        return _tagged(f"{self.prefix}/{repository}", tag)

    def prefetched(self, *, vllm: str, tgi: str) -> tuple[str, ...]:
        """The images with a fixed tag that the cacher has nodes prefetch, by the configured repositories."""
        return tuple(image.format(prefix=self.prefix, vllm=vllm, tgi=tgi) for image in PREFETCHED)

    def search(self, repository: str) -> Search | None:
        """Where the gateway looks for ``repository``; None where it takes every image to exist. Raises SearchFails."""
        match self.gateway:
            case RegistryClass.ONPREM:
                return None
            case RegistryClass.ECR:
                return Search(api=Api.ECR, registry=self.account, repository=repository, region=self.region)
            case RegistryClass.ACR:
                return Search(api=Api.ACR, registry=f"https://{self.prefix}", repository=repository)
            case RegistryClass.GAR:
                return Search(api=Api.GAR, registry=self._artifact_repository(), repository=repository)
            case RegistryClass.GENERIC:
                host, _, path = self.prefix.rstrip("/").partition("/")
                whole = f"{path}/{repository}" if path else repository
                return Search(api=Api.HTTP, registry=host, repository=whole)

    def creation_error(self, answer: Answer) -> str:
        """The class of the error with which the creation of an LLM endpoint fails; "" if it does not."""
        try:
            search = self.search("")
        except SearchFails as error:
            return str(error)
        if search is None or answer is Answer.FOUND:
            return ""
        return _ERRORS.get((self.gateway, answer), NOT_FOUND)

    def cacher_error(self, answer: Answer) -> str:
        """The class of the error with which the cacher ends, where the registry has ``answer`` for batch_; "" if not.

        The cacher asks for the newest tag of a batch repository; that there is none it takes, other errors it does not.
        """
        if self.gateway in (RegistryClass.ONPREM, RegistryClass.GENERIC):
            return "NotImplementedError"
        error = self.creation_error(answer)
        return "" if error == NOT_FOUND else error

    def _artifact_repository(self) -> str:
        host, *parts = self.prefix.split("/")
        if len(parts) < len(("project", "repository")):
            raise SearchFails("IndexError")
        return "/".join((host.replace(_ARTIFACT_REGISTRY, ""), *parts[:2]))

    def _named_by(self, kind: RegistryClass, repository: str, tag: str) -> str:
        if kind is RegistryClass.ONPREM and not repository:
            return tag
        bare = kind is RegistryClass.ONPREM and not self.prefix
        if kind is RegistryClass.GAR or (is_relative(repository) and not bare):
            return _tagged(f"{self.prefix}/{repository}", tag)
        return _tagged(repository, tag)


def is_relative(repository: str) -> bool:
    """Whether model engine completes ``repository`` with the prefix: it has no dot, colon or upper-case letter."""
    return _RELATIVE.fullmatch(repository) is not None


def _tagged(name: str, tag: str) -> str:
    return f"{name}:{tag}" if tag else name


def _named(text: str) -> RegistryClass:
    """Exactly a class's name; anything else, "ECR" and "docker" too, is generic."""
    return RegistryClass(text) if text in set(RegistryClass) else RegistryClass.GENERIC


def _inferred(prefix: str) -> RegistryClass:
    if ".dkr.ecr." in prefix and ".amazonaws.com" in prefix:
        return RegistryClass.ECR
    if ".azurecr.io" in prefix:
        return RegistryClass.ACR
    if _ARTIFACT_REGISTRY in prefix:
        return RegistryClass.GAR
    return RegistryClass.GENERIC


def _of_builder(cloud: str, prefix: str) -> RegistryClass:
    if cloud == "onprem":
        return RegistryClass.ONPREM
    if cloud == "azure" or prefix.endswith("azurecr.io"):
        return RegistryClass.ACR
    return RegistryClass.ECR
