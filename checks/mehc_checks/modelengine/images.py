"""Which images an installation uses, resolved as model engine resolves them.

Source: model engine's ``live_docker_image_batch_job_gateway.py`` and ``llm_model_endpoint_use_cases.py``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mehc_checks.clients.registry.reference import ecr_registry
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.paths import LAUNCH, TAG, VLLM_REPOSITORY
from mehc_checks.modelengine.registries import Registries, is_relative

FRAMEWORK_CONFIG_MAP: Final = "model-engine-inference-framework-latest-config"
"""The name that the gateway asks for, whatever the chart's own prefix of names."""

LATEST: Final = "latest"

VLLM: Final = "vllm_repository"
_PLACEHOLDERS: Final = ("000000000000.", "myregistry.azurecr.io", "gcr.io/my-gcp-project")
"""The values reference's own examples, and the chart's default account."""
_VENDOR: Final = ("692474966980.",)
"""The platform vendor's private registry, which the vendor's own values name."""


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
    ``doubled``: the registry prefix is prepended to a full path.
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
        return self.path == VLLM_REPOSITORY

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
    _Use(VLLM, Role.LLM, ("vllm",), "vllm"),
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


def images(
    configuration: Configuration, *, tag: str | None, frameworks: Mapping[str, str] | None
) -> Iterator[Image]:
    """All repositories in use, vLLM's first.

    ``tag`` is the one to probe vLLM with, where it is not the default; ``frameworks`` is the content of the
    framework ConfigMap (None where it cannot be read), by which the gateway replaces ``latest``.
    """
    registries = Registries.of(configuration)
    for use in _USES:
        path = f"{LAUNCH}.{use.key}"
        repository = str(configuration.read(path) or "") if configuration.has(path) else use.default
        if not repository and use.key != VLLM:
            continue
        chosen, source = _tag(use, tag, frameworks)
        named = registries.of_batch_job if use.role is Role.BATCH else registries.pulled
        yield Image(
            path=path,
            repository=repository,
            role=use.role,
            reference=named(repository, chosen),
            tag=chosen,
            tag_source=source,
            doubled=use.role is Role.BATCH and not is_relative(repository),
        )
    forwarder, version = configuration.text("image.forwarderRepository"), configuration.text(TAG)
    if forwarder:
        yield Image(
            path="image.forwarderRepository",
            repository=forwarder,
            role=Role.FORWARDER,
            reference=f"{forwarder}:{version}" if version else forwarder,
            tag=version,
            tag_source="tag" if version else "",
            doubled=False,
        )


def prefetched(configuration: Configuration) -> tuple[str, ...]:
    """The images of fixed versions that the cacher has GPU nodes prefetch whatever the values say."""
    vllm, tgi = (configuration.text(f"{LAUNCH}.{key}") for key in (VLLM, "tgi_repository"))
    return Registries.of(configuration).prefetched(vllm=vllm, tgi=tgi)


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
