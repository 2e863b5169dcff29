"""Images are resolved as model engine resolves them."""

from typing import Any

import pytest

from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.images import (
    FRAMEWORK_CONFIG_MAP,
    Image,
    images,
    is_placeholder,
    is_vendor,
)
from mehc_checks.modelengine.values import Layer, Values

ECR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
GAR = "us-docker.pkg.dev/project/repo"


def values(
    registry: str | None, *, type: str | None = None, top: dict[str, Any] | None = None, **launch: str
) -> Values:
    infra = {"docker_repo_prefix": registry, "docker_registry_type": type}
    tree = {"config": {"values": {"infra": infra, "launch": launch}}, **(top or {})}
    return Values.merged([Layer(source="test", values=tree)])


def listed(tree: Values, **given: Any) -> dict[str, Image]:
    found = images(Configuration(tree), tag=given.get("tag"), frameworks=given.get("frameworks"))
    return {image.path.rpartition(".")[2]: image for image in found}


def test_vllm_is_always_there_and_first() -> None:
    found = list(images(Configuration(values(ECR)), tag=None, frameworks=None))
    assert [image.reference for image in found] == [f"{ECR}/vllm:latest"]
    assert found[0].decisive


def test_every_repository_of_the_values_is_probed() -> None:
    found = listed(
        values(
            ECR,
            top={"tag": "abc", "image": {"forwarderRepository": "public.ecr.aws/x/model-engine"}},
            vllm_repository="vllm",
            tgi_repository="text-generation-inference",
            lightllm_repository="lightllm",
            tensorrt_llm_repository="tensorrt-llm",
            sglang_repository="sglang",
            batch_inference_vllm_repository="llm-engine/batch-infer-vllm",
            user_inference_base_repository="launch/inference",
            user_inference_pytorch_repository="launch/inference/pytorch",
            user_inference_tensorflow_repository="launch/inference/tf",
            docker_image_layer_cache_repository="launch-docker-build-cache",
        ),
        frameworks={"vllm": "0.10.2", "vllm_batch_v2": "7", "vllm_batch": "6", "lightllm": "3\n"},
    )
    assert {name: image.reference.removeprefix(f"{ECR}/") for name, image in found.items()} == {
        "vllm_repository": "vllm:0.10.2",
        "tgi_repository": "text-generation-inference:latest",
        "lightllm_repository": "lightllm:3",
        "tensorrt_llm_repository": "tensorrt-llm:latest",
        "sglang_repository": "sglang",
        "batch_inference_vllm_repository": "llm-engine/batch-infer-vllm:7",
        "user_inference_base_repository": "launch/inference",
        "user_inference_pytorch_repository": "launch/inference/pytorch",
        "user_inference_tensorflow_repository": "launch/inference/tf",
        "docker_image_layer_cache_repository": "launch-docker-build-cache",
        "forwarderRepository": "public.ecr.aws/x/model-engine:abc",
    }
    assert [name for name, image in found.items() if image.decisive] == ["vllm_repository"]
    assert found["vllm_repository"].tag_source == f"ConfigMap {FRAMEWORK_CONFIG_MAP}, key vllm"


def test_a_tag_asked_for_is_vllm_s_only() -> None:
    found = listed(values(ECR, tgi_repository="tgi"), tag="0.9", frameworks={"vllm": "0.10.2"})
    assert found["vllm_repository"].tag == "0.9"
    assert found["tgi_repository"].tag == "latest"


@pytest.mark.parametrize(("repository", "doubled"), [("batch", False), (f"{GAR}/batch", True)])
def test_a_double_prefix_of_batch_jobs_is_seen(repository: str, doubled: bool) -> None:
    found = listed(values(GAR, batch_inference_vllm_repository=repository))
    assert found["batch_inference_vllm_repository"].doubled is doubled


def test_a_repository_that_is_given_as_empty_text_is_no_default() -> None:
    assert listed(values(ECR, vllm_repository=""))["vllm_repository"].reference == f"{ECR}/:latest"


@pytest.mark.parametrize(
    ("reference", "placeholder", "vendor"),
    [
        ("000000000000.dkr.ecr.us-east-1.amazonaws.com/vllm:1", True, False),
        ("myregistry.azurecr.io/vllm:1", True, False),
        ("gcr.io/my-gcp-project/vllm:1", True, False),
        ("692474966980.dkr.ecr.us-west-2.amazonaws.com/vllm:1", False, True),
        ("692474966980.example.com/vllm:1", False, False),
        (f"{ECR}/vllm:1", False, False),
    ],
)
def test_registries_that_nobody_here_has(reference: str, placeholder: bool, vendor: bool) -> None:
    assert (is_placeholder(reference), is_vendor(reference)) == (placeholder, vendor)
