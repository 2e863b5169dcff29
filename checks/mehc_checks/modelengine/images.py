"""Which images an installation uses, resolved as model engine resolves them.

Source: model engine's ``infra/repositories/*_docker_repository.py``, ``core/config.py`` (registry classes),
``live_docker_image_batch_job_gateway.py`` and ``llm_model_endpoint_use_cases.py``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mehc_checks.clients.registry.reference import ecr_registry
from mehc_checks.modelengine.values import Values

FRAMEWORK_CONFIG_MAP: Final = "model-engine-inference-framework-latest-config"
"""The name that the gateway asks for, whatever the chart's own prefix of names."""

LATEST: Final = "latest"

_RELATIVE = re.compile(r"[a-z0-9\-_/]*")
_PREFIX: Final = "config.values.infra.docker_repo_prefix"
_LAUNCH: Final = "config.values.launch"
_PLACEHOLDERS: Final = ("000000000000.", "myregistry.azurecr.io", "gcr.io/my-gcp-project")
"""The values reference's own examples, and the chart's default account."""
_VENDOR: Final = ("692474966980.",)
"""The platform vendor's private registry, which the vendor's own values name."""


class RegistryClass(StrEnum):
    """Model engine's classes of registries; they differ in how a reference is put together."""

    ECR = "ecr"
    ACR = "acr"
    GAR = "gar"
    ONPREM = "onprem"
    GENERIC = "generic"


class Role(StrEnum):
    """What a repository is for, which decides its rule of resolution and what breaks without it."""

    LLM = "llm"
    BATCH = "batch"
    BUNDLE = "bundle"
    BUILD = "build"
    FORWARDER = "forwarder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One repository that the configuration uses.

    ``reference`` is what a pod asks for, with its tag; without one where only requests say the tag.
    ``doubled`` tells that the registry prefix stands in it twice.
    """

    path: str
    repository: str
    role: Role
    reference: str
    tag: str
    tag_source: str
    doubled: bool

    @property
    def decisive(self) -> bool:
        """Whether this is the vLLM image, which the check is about."""
        return self.path == f"{_LAUNCH}.vllm_repository"

    @property
    def full_path(self) -> bool:
        """Whether the repository is written as a full path, or read as one."""
        return not is_relative(self.repository)


@dataclass(frozen=True, slots=True)
class _Use:
    key: str
    role: Role
    frameworks: tuple[str, ...] = ()
    default: str = ""


_USES: Final = (
    _Use("vllm_repository", Role.LLM, ("vllm",), "vllm"),
    _Use("tgi_repository", Role.LLM, ("text_generation_inference",)),
    _Use("lightllm_repository", Role.LLM, ("lightllm",)),
    _Use("tensorrt_llm_repository", Role.LLM, ("tensorrt_llm",)),
    _Use("sglang_repository", Role.LLM),
    _Use("batch_inference_vllm_repository", Role.BATCH, ("vllm_batch_v2", "vllm_batch")),
    _Use("user_inference_base_repository", Role.BUNDLE),
    _Use("user_inference_pytorch_repository", Role.BUNDLE),
    _Use("user_inference_tensorflow_repository", Role.BUNDLE),
    _Use("docker_image_layer_cache_repository", Role.BUILD),
)


def prefix(values: Values) -> str:
    """The registry that relative repositories are completed with; "" when unset."""
    return values.text(_PREFIX) or ""


def registry_class(values: Values) -> RegistryClass:
    """The class that the gateway picks: by ``docker_registry_type``, else by the prefix."""
    named = (values.text("config.values.infra.docker_registry_type") or "").lower()
    if named in set(RegistryClass):
        return RegistryClass(named)
    registry = prefix(values)
    if ".dkr.ecr." in registry and ".amazonaws.com" in registry:
        return RegistryClass.ECR
    if ".azurecr.io" in registry:
        return RegistryClass.ACR
    if "-docker.pkg.dev" in registry:
        return RegistryClass.GAR
    return RegistryClass.GENERIC


def is_relative(repository: str) -> bool:
    """Whether model engine completes ``repository`` with the prefix: it has no dot, colon or upper-case letter."""
    return _RELATIVE.fullmatch(repository) is not None


def resolve(repository: str, *, role: Role, kind: RegistryClass, registry: str) -> str:
    """The name that pods use, without a tag."""
    always = kind is RegistryClass.GAR or role is Role.BATCH
    return f"{registry}/{repository}" if always or is_relative(repository) else repository


def images(values: Values, *, tag: str | None, frameworks: Mapping[str, str] | None) -> Iterator[Image]:
    """All repositories in use, vLLM's first.

    ``tag`` is the one to probe vLLM with, where it is not the default; ``frameworks`` is the content of the
    framework ConfigMap (None where it cannot be read), by which the gateway replaces ``latest``.
    """
    kind, registry = registry_class(values), prefix(values)
    for use in _USES:
        repository = values.text(f"{_LAUNCH}.{use.key}") or use.default
        if not repository:
            continue
        name = resolve(repository, role=use.role, kind=kind, registry=registry)
        chosen, source = _tag(use, tag, frameworks)
        yield Image(
            path=f"{_LAUNCH}.{use.key}",
            repository=repository,
            role=use.role,
            reference=f"{name}:{chosen}" if chosen else name,
            tag=chosen,
            tag_source=source,
            doubled=name != repository and not is_relative(repository),
        )
    forwarder, version = values.text("image.forwarderRepository"), values.text("tag")
    if forwarder:
        yield Image(
            path="image.forwarderRepository",
            repository=forwarder,
            role=Role.FORWARDER,
            reference=f"{forwarder}:{version}" if version else forwarder,
            tag=version or "",
            tag_source="tag" if version else "",
            doubled=False,
        )


def is_placeholder(reference: str) -> bool:
    """Whether ``reference`` points at an example of the documentation, or at no AWS account at all."""
    return reference.startswith(_PLACEHOLDERS)


def is_vendor(reference: str) -> bool:
    """Whether ``reference`` points at the platform vendor's private registry."""
    return any(ecr_registry(reference.partition("/")[0])) and reference.startswith(_VENDOR)


def _tag(use: _Use, tag: str | None, frameworks: Mapping[str, str] | None) -> tuple[str, str]:
    if not use.frameworks:
        return "", ""
    if tag and "vllm" in use.frameworks:
        return tag, "parameters.tag"
    for framework in use.frameworks:
        if frameworks and frameworks.get(framework):
            return frameworks[framework].strip(), f"ConfigMap {FRAMEWORK_CONFIG_MAP}, key {framework}"
    return LATEST, "the default of a request"
